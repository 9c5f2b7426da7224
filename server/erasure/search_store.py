"""The last look for a driver, in PostgreSQL: what is looked for, where, and what was found."""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from server.erasure.model import Part, Search
from server.kit.db import Connection

NATIONAL_DIGITS: Final = 10
ALIKE_CHARS_MIN: Final = 4
"""A shorter text stands in many words."""
PLAIN_CHARS_MIN: Final = 8
"""A shorter one may stand in a hash by chance."""
LOOK_S_MAX: Final = 120.0
"""For one table: every row of it is read."""
TYPED: Final = frozenset(
    {
        "api_token.name",
        "company.name",
        "consent_record.record",  # names the company and its contact; the driver has a column
        "controller_change.name",
        "controller_change.privacy_contact",
        "policy_controller.privacy_contact",
        "policy_text.text",
        "vehicle.name",
        "vehicle.plate",
    }
)
"""Texts that people type. An id in them was typed too, and blocks nothing: nobody but people can
take it out again, so whoever typed it could hold up an erasure for ever."""
_BETWEEN: Final = re.compile("[ ()-]")
_LIKE: Final = re.compile(r"([\\%_])")
_ESCAPED: Final = r"\\\1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """What is looked for: what the server wrote, and what people know the driver by."""

    driver_id: UUID
    key_ids: tuple[UUID, ...]
    texts: tuple[str, ...] = field(repr=False)
    """The driver's name, phone and e-mail."""

    @property
    def ids(self) -> list[UUID]:
        return [self.driver_id, *self.key_ids]

    @property
    def spelled(self) -> list[str]:
        """Return patterns of the ways in which a text spells the driver's id."""
        return [f"%{self.driver_id}%", f"%{self.driver_id.hex}%"]

    @property
    def alike(self) -> list[str]:
        """Return patterns of texts and id, as they read without blanks, brackets and dashes."""
        read = [self.driver_id.hex, *(_joined(text) for text in self.texts)]
        return [f"%{_LIKE.sub(_ESCAPED, text)}%" for text in read]

    @property
    def plain(self) -> list[bytes]:
        """Return what stands in no bytes but those that somebody forgot to seal."""
        written = [self.driver_id.bytes, str(self.driver_id).encode()]
        return written + [text.encode() for text in self.texts if len(text) >= PLAIN_CHARS_MIN]

    @property
    def headers(self) -> list[bytes]:
        """Return by what a sealed value names one of the keys."""
        return [key_id.bytes for key_id in self.key_ids]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table of the company's, and how its rows are looked through."""

    name: str
    columns: tuple[str, ...]
    search_statement: str


async def insert(
    conn: Connection, company_id: UUID, request_id: UUID, *, sought_sealed: bytes | None
) -> None:
    """Write what will be looked for."""
    await conn.execute(
        """
        INSERT INTO erasure_search (company_id, request_id, sought_sealed, key_ids)
        VALUES ($1, $2, $3, '{}')
        ON CONFLICT (company_id, request_id) DO UPDATE SET sought_sealed = excluded.sought_sealed
        """,
        company_id,
        request_id,
        sought_sealed,
    )


async def set_ledger_entries(
    conn: Connection, company_id: UUID, request_id: UUID, entries: int
) -> None:
    await conn.execute(
        """
        UPDATE erasure_search SET ledger_entries = $3 WHERE company_id = $1 AND request_id = $2
        """,
        company_id,
        request_id,
        entries,
    )


async def set_searched(
    conn: Connection,
    company_id: UUID,
    request_id: UUID,
    *,
    key_ids: Collection[UUID],
    protocol: str,
) -> None:
    """Write what came of the search."""
    await conn.execute(
        """
        UPDATE erasure_search SET key_ids = $3, protocol = $4
         WHERE company_id = $1 AND request_id = $2
        """,
        company_id,
        request_id,
        list(key_ids),
        protocol,
    )


async def end(conn: Connection, company_id: UUID, request_id: UUID, *, protocol: str) -> None:
    """Write what came of the last look of all, and forget what was looked for."""
    await conn.execute(
        """
        UPDATE erasure_search SET sought_sealed = NULL, protocol = $3
         WHERE company_id = $1 AND request_id = $2
        """,
        company_id,
        request_id,
        protocol,
    )


async def search(conn: Connection, company_id: UUID, request_id: UUID) -> Search | None:
    row = await conn.fetchrow(
        """
        SELECT sought_sealed, key_ids, ledger_entries, protocol FROM erasure_search
         WHERE company_id = $1 AND request_id = $2
        """,
        company_id,
        request_id,
    )
    return None if row is None else Search(**{**row, "key_ids": tuple(row["key_ids"])})


async def tables(conn: Connection) -> list[Table]:
    """Return every table of companies with the columns that could hold something of a person.

    From the catalogue: texts, documents, bytes and ids. Left out are the tables that the request
    itself leaves behind, and those of positions: millions of rows that each name their driver and
    their key in columns of their own. By the driver they are counted afterwards, with an index, and
    what is sealed in them opens for nobody else.

    Of :data:`TYPED`, and of what a notice's facts say of the company, is only told what reads
    like the driver.
    """
    rows = await conn.fetch(
        r"""
        WITH found AS (
            SELECT c.oid, n.nspname, c.relname, a.attname, a.attnum,
                   CASE WHEN c.relname || '.' || a.attname = ANY ($1::text[]) THEN 'typed'
                        WHEN c.relname || '.' || a.attname = 'notice.facts' THEN 'facts'
                        WHEN t.typname IN ('text', 'varchar', 'json', 'jsonb', '_text') THEN 'text'
                        ELSE t.typname::text END AS kind,
                   count(*) FILTER (WHERE a.attname IN ('key_id', 'driver_id')) OVER of_table = 2
                   AS is_named
              FROM pg_class c
              JOIN pg_namespace n ON n.oid = c.relnamespace
              JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
              JOIN pg_type t ON t.oid = a.atttypid
             WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition
               AND c.relname NOT IN ('erasure_request', 'erasure_search')
               AND has_column_privilege(c.oid, a.attnum, 'SELECT')
               AND EXISTS (SELECT FROM pg_attribute o
                            WHERE o.attrelid = c.oid AND o.attname = 'company_id')
            WINDOW of_table AS (PARTITION BY c.oid)
        )
        SELECT f.relname::text AS name, array_agg(f.attname::text ORDER BY f.attnum) AS columns,
               format(
                   'SELECT count(*) FILTER (WHERE %s) AS found, count(*) FILTER (WHERE %s) AS alike'
                   ' FROM %I.%I t CROSS JOIN (SELECT $2::uuid[] AS ids,'
                   ' ARRAY(SELECT lower(p) FROM unnest($3::text[]) p) AS spelled,'
                   ' ARRAY(SELECT lower(p) FROM unnest($4::text[]) p) AS alike,'
                   ' $5::bytea[] AS headers, $6::bytea[] AS plain) s'
                   ' WHERE t.company_id = $1',
                   string_agg(format(
                       CASE f.kind
                       WHEN 'uuid' THEN 't.%1$I = ANY (s.ids)'
                       WHEN '_uuid' THEN 't.%1$I && s.ids'
                       WHEN 'typed' THEN 'false'
                       WHEN 'facts' THEN
                           '(lower((t.%1$I - ''{name,contact}''::text[])::text) LIKE ANY (spelled))'
                       WHEN 'text' THEN
                           '(length(t.%1$I::text) >= 32 AND lower(t.%1$I::text) LIKE ANY (spelled))'
                       ELSE 'CASE WHEN substring(t.%1$I FROM 1 FOR 1) = ''\x01''::bytea'
                            ' THEN substring(t.%1$I FROM 2 FOR 16) = ANY (s.headers)'
                            ' ELSE EXISTS (SELECT FROM unnest(s.plain) AS p (one)'
                            ' WHERE position(p.one IN t.%1$I) > 0) END'
                       END, f.attname), ' OR ' ORDER BY f.attnum),
                   coalesce(string_agg(format(
                       'lower(replace(replace(replace(replace(t.%I::text,'
                       ' '' '', ''''), ''('', ''''), '')'', ''''), ''-'', ''''))'
                       ' LIKE ANY (s.alike)', f.attname),
                       ' OR ' ORDER BY f.attnum)
                       FILTER (WHERE f.kind IN ('text', 'typed', 'facts')), 'false'),
                   f.nspname, f.relname) AS search_statement
          FROM found f
         WHERE f.kind IN ('text', 'typed', 'facts', 'uuid', '_uuid', 'bytea') AND NOT f.is_named
         GROUP BY f.oid, f.nspname, f.relname
         ORDER BY f.relname
        """,
        sorted(TYPED),
    )
    return [Table(**{**row, "columns": tuple(row["columns"])}) for row in rows]


async def look(conn: Connection, table: Table, company_id: UUID, sought: Sought) -> tuple[int, int]:
    """Return in how many rows the server wrote of the driver, and how many read like them."""
    # The names in the statement are the catalogue's own, quoted by PostgreSQL.
    row = await conn.fetchrow(
        table.search_statement,
        company_id,
        sought.ids,
        sought.spelled,
        sought.alike,
        sought.headers,
        sought.plain,
        timeout=LOOK_S_MAX,
    )
    return (0, 0) if row is None else (row["found"], row["alike"])


async def put_part(
    conn: Connection,
    company_id: UUID,
    request_id: UUID,
    *,
    held: str,
    key_ids: Collection[UUID],
    at: datetime,
) -> None:
    """Note what is held, and which keys go before the rest; those noted before stay noted."""
    await conn.execute(
        """
        INSERT INTO erasure_part (company_id, request_id, done_at, held, key_ids)
        VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (company_id, request_id)
        DO UPDATE SET held = excluded.held, key_ids = array(
            SELECT unnest(erasure_part.key_ids) UNION SELECT unnest(excluded.key_ids))
        """,
        company_id,
        request_id,
        at,
        held,
        list(key_ids),
    )


async def part(conn: Connection, company_id: UUID, request_id: UUID) -> Part | None:
    row = await conn.fetchrow(
        """
        SELECT done_at, held, key_ids FROM erasure_part WHERE company_id = $1 AND request_id = $2
        """,
        company_id,
        request_id,
    )
    if row is None:
        return None
    return Part(done_at=row["done_at"], held=row["held"], key_ids=tuple(row["key_ids"]))


def sought_of(driver_id: UUID, key_ids: Collection[UUID], texts: Collection[str | None]) -> Sought:
    """Return what to look for, of a driver's texts as far as they are known.

    Of a phone its last ten digits: people write the others in several ways.
    """
    kept = [
        text[-NATIONAL_DIGITS:] if text.startswith("+") else text
        for text in texts
        if text is not None and len(_joined(text)) >= ALIKE_CHARS_MIN
    ]
    known = tuple(dict.fromkeys(kept))
    return Sought(driver_id=driver_id, key_ids=tuple(key_ids), texts=known)


def _joined(text: str) -> str:
    return _BETWEEN.sub("", text)
