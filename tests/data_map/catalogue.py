"""What the databases' own catalogues say of each column."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import asyncpg

from server.kit import localpg
from server.kit.migrate import migrate

DATABASES: Final = ("main", "keys")
WORDS: Final = ("class", "form", "retention", "eraser", "exporter")

Conn: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class Unmapped(Exception):
    """A column does not say what it holds. ``str`` names the column and what is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column with its comment, as it stands there."""

    database: str
    table: str
    name: str
    comment: str | None

    def __str__(self) -> str:
        return f"{self.database}: {self.table}.{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """A column and what its comment says."""

    column: Column
    kind: str
    """``plain``, or ``personal/`` and a category."""
    form: str
    retention: str
    eraser: str | None
    """None: it is plain."""
    exporter: str | None
    text: str
    """What else the comment says."""

    @property
    def category(self) -> str | None:
        """Return of which kind the personal data are; None: they are not."""
        return self.kind.removeprefix("personal/") if self.is_personal else None

    @property
    def is_personal(self) -> bool:
        return self.kind.startswith("personal/")


async def columns(conn: Conn, database: str) -> list[Column]:
    """Return every column there is, also of tables that are not ours."""
    rows = await conn.fetch(
        """
        SELECT CASE n.nspname WHEN 'public' THEN '' ELSE n.nspname || '.' END
               || c.relname AS "table",
               a.attname AS name, col_description(c.oid, a.attnum) AS comment
          FROM pg_class c
          JOIN pg_namespace n ON n.oid = c.relnamespace
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
         WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm') AND NOT c.relispartition
           AND n.nspname NOT IN ('pg_catalog', 'information_schema')
           AND NOT pg_is_other_temp_schema(n.oid)
         ORDER BY n.nspname <> 'public', "table", a.attnum
        """
    )
    return [Column(database=database, **dict(row)) for row in rows]


async def migrated(folder: Path) -> list[Column]:
    """Return the columns of two new databases, in a server of their own in that folder."""
    found: list[Column] = []
    async with localpg.run(folder / "postgres", unsafe_for_tests=True) as server:
        for database in DATABASES:
            admin = await asyncpg.connect(server.dsn("postgres"))
            await admin.execute(f"CREATE DATABASE {database}")
            await admin.close()
            await migrate(server.dsn(database), database)
            conn = await asyncpg.connect(server.dsn(database))
            found += await columns(conn, database)
            await conn.close()
    return found


def read(column: Column) -> Mapped:
    """Return what a column's comment says of it.

    Raises
    ------
    Unmapped
        It has no comment, or one that is not made of the five words in their order.
    """
    if column.comment is None:
        raise Unmapped(f"{column} has no comment.")
    said, _, text = column.comment.partition(" -- ")
    words = _words(column, said.split(" "))
    return Mapped(
        column=column,
        kind=words["class"],
        form=words["form"],
        retention=words["retention"],
        eraser=words.get("eraser"),
        exporter=words.get("exporter"),
        text=text,
    )


def _words(column: Column, said: Iterable[str]) -> Mapping[str, str]:
    pairs = [word.partition("=") for word in said]
    words = {name: value for name, _, value in pairs}
    is_personal = words.get("class", "").startswith("personal/")
    wanted = WORDS if is_personal else WORDS[:3]
    if tuple(name for name, _, _ in pairs) != wanted or not all(words.values()):
        raise Unmapped(f"{column} has a comment that does not begin with {'=, '.join(wanted)}=.")
    return words
