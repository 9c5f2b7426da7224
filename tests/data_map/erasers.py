"""What the statements of an eraser take away: whole rows, or the columns that they set."""

import re
from collections.abc import Iterator
from typing import Final

_ENDS: Final = re.compile(r"(?:WHERE|FROM|RETURNING)\b", re.IGNORECASE)
_TARGET: Final = re.compile(r"\s*(?:\((?P<several>[^()]*)\)|(?P<one>\w+))\s*=")


def takes_away(statements: str, table: str, column: str) -> bool:
    """Tell whether the rows of a table are deleted there, or this column of theirs is set."""
    if re.search(rf"\bDELETE FROM {table}\b", statements):
        return True
    updates = re.finditer(rf"\bUPDATE {table}(?:\s+(?:AS\s+)?\w+)?\s+SET\b", statements)
    return any(column in _set(statements[update.end() :]) for update in updates)


def _set(clause: str) -> set[str]:
    names: set[str] = set()
    for assignment in _assignments(clause):
        target = _TARGET.match(assignment)
        if target is not None:
            names.update(re.findall(r"\w+", target["several"] or target["one"]))
    return names


def _assignments(clause: str) -> Iterator[str]:
    """Yield what stands between the commas that are in no brackets, up to the clause's end."""
    depth = begin = at = 0
    for at, char in enumerate(clause):
        if char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
        if depth < 0 or (depth == 0 and (char == ";" or _begins_next(clause, at))):
            break
        if depth == 0 and char == ",":
            yield clause[begin:at]
            begin = at + 1
    else:
        at = len(clause)
    yield clause[begin:at]


def _begins_next(clause: str, at: int) -> bool:
    return clause[at - 1 : at].isspace() and _ENDS.match(clause, at) is not None
