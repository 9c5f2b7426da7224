"""The requirements of ASVS that we keep name tests that exist, and no requirement is left out."""

import ast
import csv
import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
ROWS: Final = ROOT / "docs" / "reference" / "asvs.csv"
OTHERS: Final = ROOT / "docs" / "reference" / "asvs.md"
APPLY: Final = 192
"""Of the 345 requirements of version 5.0.0."""
ID: Final = re.compile(r"\d+\.\d+\.\d+")


def rows() -> list[dict[str, str]]:
    with ROWS.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def others() -> list[str]:
    """Return the ids in the first cells of the page's tables."""
    lines = OTHERS.read_text(encoding="utf-8").splitlines()
    cells = [line.split("|")[1] for line in lines if line.startswith("| ")]
    return [one for cell in cells for one in ID.findall(cell)]


@cache
def written_in(path: Path) -> dict[str, list[str]]:
    """Return the file's tests, each with its decorators."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        node.name: [ast.unparse(one) for one in node.decorator_list]
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def missing(test: str) -> str | None:
    """Return why the test keeps nothing; None where it does."""
    file, _, name = test.partition("::")
    path = ROOT / file
    if not path.is_file():
        return "no such file"
    if name not in written_in(path):
        return "no such test"
    if any("skip" in one or "xfail" in one for one in written_in(path)[name]):
        return "it may be skipped"
    return None


@pytest.mark.parametrize("row", rows(), ids=lambda row: row["id"])
def test_what_is_kept_names_a_test_that_exists_and_where_it_is_kept(row: dict[str, str]) -> None:
    assert missing(row["test"]) is None
    assert row["where"] == "/openapi.json" or (ROOT / row["where"]).exists()
    assert row["level"] in {"1", "2", "3"}


def test_every_requirement_that_applies_stands_once_here_or_there() -> None:
    found = Counter([row["id"] for row in rows()] + others())

    assert [one for one, times in found.items() if times > 1] == []
    assert len(found) == APPLY
    assert all(ID.fullmatch(one) for one in found)


@pytest.mark.parametrize(
    ("test", "reason"),
    [
        ("tests/test_nothing.py::test_x", "no such file"),
        ("tests/test_asvs.py::test_x", "no such test"),
        ("tests/test_asvs.py::test_control_of_what_may_be_skipped", "it may be skipped"),
    ],
)
def test_control_a_row_whose_test_is_gone_is_found(test: str, reason: str) -> None:
    assert missing(test) == reason


@pytest.mark.skipif(condition=False, reason="it is the control of the rule above")
def test_control_of_what_may_be_skipped() -> None:
    assert rows()
