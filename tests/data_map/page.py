"""docs/reference/data-map.md, made of what the columns say of themselves."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

from tests.data_map.catalogue import DATABASES, Column, Mapped, read
from tests.data_map.words import (
    CATEGORIES,
    FORMS,
    NONE,
    NOT_ERASED,
    NOT_EXPORTED,
    PLAIN,
    PURPOSES,
    RETENTIONS,
)

LINK: Final = re.compile(r"\[([^]]*)\]\([^)]*\)")
FILE: Final = Path(__file__).parents[2] / "docs" / "reference" / "data-map.md"
HEAD: Final = """# Data map

Each column of both databases says itself what it holds, in its comment (`\\d+ member` in `psql`
shows it). This page is written from those comments by `python -m tests.data_map`. `make test`
fails if a column has none, if one names an eraser, a job or an operation that there is not, if an
eraser has no statement that deletes its rows or sets it, or if this page is not what the columns
say.

- *class*: `plain` says nothing of a person. `personal/` and a category does, be it only by an id.
- *stays until*: what ends it without anybody asking for it.
  [How long things are kept](../explanation/retention.md) says when the jobs run, and
  `jolda retention --dry-run` what they would remove. Where a driver is erased, that comes first.
- *eraser*: the step of [the erasing job](../how-to/delete-a-driver.md) that removes it.
- *exporter*: the operation of the API through which the person sees it of themself.

`GET /v1/data-map` gives the columns that are not `plain` to anybody, for programs to read. It is
written at the same time, and `make test` fails if it is not what the columns say.

How values are sealed and hashed, and who may read which table, is in
[data at rest](data-at-rest.md).
"""


def page(found: Iterable[Column]) -> str:
    """Return the page.

    Raises
    ------
    Unmapped
    """
    mapped = [read(column) for column in found]
    parts = [HEAD, "## How much there is\n\n" + "\n".join(_sums(mapped))]
    parts.append("## What the words mean")
    parts.append(_legend("category", CATEGORIES))
    parts.append(_legend("needed, because", PURPOSES))
    parts.append(_legend("form", FORMS))
    until = {name: _until(name) for name in RETENTIONS}
    parts.append(_legend("retention", until))
    parts.append(_legend("not erased", NOT_ERASED))
    parts.append(_legend("not exported", NOT_EXPORTED))
    for database in DATABASES:
        parts.append(f"## Database `{database}`")
        own = [one for one in mapped if one.column.database == database]
        for table, rows in groupby(own, key=lambda one: one.column.table):
            parts.append(f"### `{table}`\n\n" + "\n".join(_table(tuple(rows))))
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _sums(mapped: Sequence[Mapped]) -> Iterator[str]:
    yield "| class | columns | sealed | hashed | in clear | none erases | none exports |"
    yield "|---|---|---|---|---|---|---|"
    for kind in (PLAIN, *(f"personal/{category}" for category in CATEGORIES)):
        own = [one for one in mapped if one.kind == kind]
        cells = (
            len(own),
            *(sum(one.form == form for one in own) for form in ("sealed", "hashed", "clear")),
            *(sum((word or "").startswith(NONE) for word in words) for words in _ends(own)),
        )
        yield f"| `{kind}` | " + " | ".join(str(cell) for cell in cells) + " |"


def _ends(own: Sequence[Mapped]) -> tuple[list[str | None], list[str | None]]:
    return [one.eraser for one in own], [one.exporter for one in own]


def _table(rows: Sequence[Mapped]) -> Iterator[str]:
    yield "| column | class | form | stays until | eraser | exporter |"
    yield "|---|---|---|---|---|---|"
    for one in rows:
        cells = (
            f"`{one.column.name}`",
            one.kind,
            one.form,
            one.retention,
            _end(one.eraser),
            _end(one.exporter),
        )
        yield "| " + " | ".join(cells) + " |"
    said = [one for one in rows if one.text]
    if said:
        yield ""
    for one in said:
        yield f"- `{one.column.name}`: {one.text}"


def _end(word: str | None) -> str:
    if word is None:
        return ""
    return f"none: {word.removeprefix(NONE)}" if word.startswith(NONE) else f"`{word}`"


def _until(name: str) -> str:
    retention = RETENTIONS[name]
    return retention.until if retention.job is None else f"{retention.until} (`{retention.job}`)"


def _legend(heading: str, words: Mapping[str, str]) -> str:
    rows = "\n".join(f"| {word} | {meaning} |" for word, meaning in words.items())
    return f"| {heading} | |\n|---|---|\n{rows}"


def document(found: Iterable[Column]) -> str:
    """Return the columns that say something about a person, for ``GET /v1/data-map``.

    Raises
    ------
    Unmapped
    """
    rows = [
        {
            "database": one.column.database,
            "table": one.column.table,
            "column": one.column.name,
            "category": one.category,
            "purpose": PURPOSES[one.category],
            "form": FORMS[one.form],
            "kept_until": RETENTIONS[one.retention].until.replace("`", ""),
            **_ended("erased_by", "not_erased", one.eraser, NOT_ERASED),
            **_ended("given_by", "not_given", one.exporter, NOT_EXPORTED),
        }
        for one in map(read, found)
        if one.category is not None
    ]
    return json.dumps(rows, indent=1, ensure_ascii=False) + "\n"


def _ended(
    by: str, without: str, word: str | None, reasons: Mapping[str, str]
) -> dict[str, str | None]:
    if word is None or not word.startswith(NONE):
        return {by: word, without: None}
    reason = LINK.sub(r"\1", reasons[word.removeprefix(NONE)]).replace("`", "")
    return {by: None, without: reason}
