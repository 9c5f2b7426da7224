"""The promises of five real policies, as restated in docs/reference/clauses.csv."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

FILE: Final = Path(__file__).parents[2] / "docs" / "reference" / "clauses.csv"
WANTED: Final = ("core", "should")

Proofs = Mapping[str, Sequence[str]]
"""By clause, the tests that prove it: ``tests/x/test_y.py::test_z``, each once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    id: str
    system: str
    clause: str
    restated: str
    feature: str
    scope: str
    """``core``, ``should``, or ``out: `` and why."""
    test: str
    """What a test of it would have to show."""

    @property
    def is_wanted(self) -> bool:
        return self.scope in WANTED


class NoSuchClause(Exception):
    """A test claims to prove what no policy promises."""


@cache
def clauses() -> tuple[Clause, ...]:
    with FILE.open(encoding="utf-8", newline="") as file:
        return tuple(Clause(**row) for row in csv.DictReader(file))


def refuse_unknown(proofs: Proofs) -> None:
    """Refuse proofs of clauses that are not in the catalogue.

    Raises
    ------
    NoSuchClause
    """
    known = {one.id for one in clauses()}
    for clause, tests in proofs.items():
        if clause not in known:
            raise NoSuchClause(f"{clause}, in {', '.join(tests)}")
