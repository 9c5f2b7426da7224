"""What a data map must keep: each rule yields a sentence for every column that breaks it."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from server.credentials.access import Access
from server.erasure.model import Step
from server.vault.model import Category
from tests.data_map.catalogue import Column, Mapped, Unmapped, read
from tests.data_map.words import (
    CATEGORIES,
    FORMS,
    NONE,
    NOT_ERASED,
    NOT_EXPORTED,
    ORGANISATIONS,
    PLAIN,
    PURPOSES,
    RETENTIONS,
)

DIRECT: Final = re.compile("name|phone|email|login|password|birth|plate")
"""How a column begins that tells who somebody is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """What of the map there is in the code."""

    erasers: Collection[Step]
    """The steps of the erasing job that remove something."""
    accesses: Mapping[str, Access]
    """Who may call it, by the name of an operation."""
    jobs: Collection[str]


def wrong(found: Iterable[Column], code: Code) -> list[str]:
    """Return a sentence for each thing that is wrong, or missing, in the comments."""
    return [sentence for column in found for sentence in _wrong_of(column, code)]


def _wrong_of(column: Column, code: Code) -> Iterator[str]:
    try:
        mapped = read(column)
    except Unmapped as error:
        yield str(error)
        return
    for rule in (_class, _form, _retention, _eraser, _exporter):
        sentence = rule(mapped, code)
        if sentence is not None:
            yield f"{column} {sentence}"


def _class(mapped: Mapped, _code: Code) -> str | None:
    if mapped.kind != PLAIN and mapped.category not in CATEGORIES:
        return f"is of a class that there is not: {mapped.kind}."
    if mapped.category is not None and not PURPOSES.get(mapped.category):
        return f"is of a category that nobody says why it is needed: {mapped.category}."
    if mapped.kind == PLAIN and _is_direct(mapped.column):
        return "is said to be plain, and tells who somebody is or how they are reached."
    return None


def _is_direct(column: Column) -> bool:
    if f"{column.table}.{column.name}" in ORGANISATIONS:
        return False
    return column.name.endswith("_sealed") or DIRECT.match(column.name) is not None


def _form(mapped: Mapped, _code: Code) -> str | None:
    if mapped.form not in FORMS:
        return f"has a form that there is not: {mapped.form}."
    if mapped.form == "sealed" and mapped.category not in set(Category):
        return f"is sealed, and no key is of the category {mapped.kind}."
    is_sealed = mapped.form == "sealed"
    if mapped.column.name.endswith("_sealed") and not is_sealed:
        return "is said not to be sealed, whatever its name says."
    return None


def _retention(mapped: Mapped, code: Code) -> str | None:
    retention = RETENTIONS.get(mapped.retention)
    if retention is None:
        return f"has a retention that there is not: {mapped.retention}."
    if retention.job is not None and retention.job not in code.jobs:
        return f"is removed by a job that there is not: {retention.job}."
    return None


def _eraser(mapped: Mapped, code: Code) -> str | None:
    if mapped.eraser is None:
        return None
    reason = _reason(mapped.eraser)
    if reason is None:
        return None if mapped.eraser in code.erasers else f"has no such eraser: {mapped.eraser}."
    if reason not in NOT_ERASED:
        return f"is not erased for a reason that there is not: {reason}."
    if mapped.retention == "erasure" and reason != "staff":
        return "stays until the person is erased, and nothing erases it."
    return None


def _exporter(mapped: Mapped, code: Code) -> str | None:
    if mapped.exporter is None:
        return None
    reason = _reason(mapped.exporter)
    if reason is not None:
        unknown = reason not in NOT_EXPORTED
        return f"is not exported for a reason that there is not: {reason}." if unknown else None
    access = code.accesses.get(mapped.exporter)
    if access is None:
        return f"has no such exporter: {mapped.exporter}."
    if not access.public and not access.roles:
        return f"is exported by what nobody may call for themself: {mapped.exporter}."
    return None


def _reason(word: str) -> str | None:
    return word.removeprefix(NONE) if word.startswith(NONE) else None
