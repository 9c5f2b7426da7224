"""Writes docs/reference/clauses.md anew."""

from tests.clauses.collecting import proofs
from tests.clauses.page import FILE, page

if __name__ == "__main__":
    FILE.write_text(page(proofs()), encoding="utf-8")
