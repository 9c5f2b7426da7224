"""Where the program names the members of an enumeration, other than to compare with them."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from enum import StrEnum
from functools import cache
from pathlib import Path

TOP = Path(__file__).parents[1]


@cache
def call_sites(of: type[StrEnum]) -> dict[StrEnum, set[str]]:
    """Return by member the files of the server that use it, beside the one that defines it."""
    found: dict[StrEnum, set[str]] = defaultdict(set)
    for path in sorted((TOP / "server").rglob("*.py")):
        tree = ast.parse(path.read_text())
        names = set(_names(tree, of))
        compared = {
            id(inside)
            for node in ast.walk(tree)
            if isinstance(node, ast.Compare)
            for inside in ast.walk(node)
        }
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id in names
                and id(node) not in compared
            ):
                found[of[node.attr]].add(path.relative_to(TOP / "server").as_posix())
    return dict(found)


def _names(tree: ast.Module, of: type[StrEnum]) -> Iterator[str]:
    """Return what a module calls the enumeration that it imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == of.__module__:
            for alias in node.names:
                if alias.name == of.__name__:
                    yield alias.asname or alias.name
