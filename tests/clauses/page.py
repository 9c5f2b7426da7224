"""docs/reference/clauses.md, made of the catalogue and of the tests that say what they prove."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

from tests.clauses.catalogue import WANTED, Clause, Proofs, clauses, refuse_unknown

FILE: Final = Path(__file__).parents[2] / "docs" / "reference" / "clauses.md"
HEAD: Final = """# Promises of real policies, and the tests that keep them

Five privacy policies of freight and delivery services were taken apart into single promises
([clauses.csv](clauses.csv)). Each is named here with the tests that prove that Jolda keeps it. A
row without a test is not proved, whatever the code may do.

This page is written by `python -m tests.clauses`. A test names its clauses with
`@pytest.mark.proves("...")`; `make test` fails if a clause is unknown, if such a test is skipped,
or if this page is not what the tests say.
"""


def page(proofs: Proofs) -> str:
    """Return the page.

    Raises
    ------
    NoSuchClause
    """
    refuse_unknown(proofs)
    parts = [HEAD, "\n".join(_shares(proofs))]
    for system, rows in groupby(clauses(), key=lambda one: one.system):
        parts.append(f"## {system}\n\n" + "\n".join(_table(tuple(rows), proofs)))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _shares(proofs: Proofs) -> Iterator[str]:
    yield "| policy | core | should |"
    yield "|---|---|---|"
    systems = dict.fromkeys(one.system for one in clauses())
    for system in systems:
        own = [one for one in clauses() if one.system == system]
        yield f"| {system} | " + " | ".join(_share(own, scope, proofs) for scope in WANTED) + " |"
    yield "| **all** | " + " | ".join(_share(clauses(), scope, proofs) for scope in WANTED) + " |"


def _share(rows: Sequence[Clause], scope: str, proofs: Proofs) -> str:
    wanted = [one for one in rows if one.scope == scope]
    if not wanted:
        return "none"
    proved = sum(bool(proofs.get(one.id)) for one in wanted)
    return f"{proved} of {len(wanted)}, {100 * proved // len(wanted)} %"


def _table(rows: Sequence[Clause], proofs: Proofs) -> Iterator[str]:
    yield "| id | promise | here | scope | proved by |"
    yield "|---|---|---|---|---|"
    for one in rows:
        scope = one.scope if one.is_wanted else "out"
        cells = (one.id.split(":")[1], one.restated, one.feature, scope, _proved_by(one, proofs))
        yield "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |"


def _proved_by(one: Clause, proofs: Proofs) -> str:
    if not one.is_wanted:
        return one.scope.removeprefix("out: ")
    return (
        "<br>".join(f"`{test.removeprefix('tests/')}`" for test in proofs.get(one.id, ()))
        or "not proved"
    )
