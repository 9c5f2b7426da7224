"""Counting what there is of a driver, from the catalogue: no table is forgotten."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from server.erasure_preview.model import Counted, OpenOrder
from server.kit.db import Connection

OPEN_ORDERS_MAX: Final = 200
TOLD_OF: Final = {
    "disclosure": "state = 'released' AND (sealed_until IS NULL OR sealed_until <= $3)"
}
"""By table, the rows that the driver may know of: what an authority sealed, no count tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table with a column that names a person, and how its rows are counted."""

    table: str
    category: str
    eraser: str
    count_statement: str


async def tables(conn: Connection) -> list[Table]:
    """Return every table that names a person, with what the column's comment says."""
    rows = await conn.fetch(
        r"""
        SELECT c.relname AS "table",
               substring(col_description(c.oid, a.attnum) FROM 'class=personal/(\w+)') AS category,
               substring(col_description(c.oid, a.attnum) FROM 'eraser=([\w:]+)') AS eraser,
               format('SELECT count(*) AS rows, %s AS first_at, %s AS last_at FROM %I.%I'
                      ' WHERE company_id = $1 AND %I = $2 AND $3::timestamptz IS NOT NULL',
                      coalesce('least(' || t.first_at || ')', 'NULL::timestamptz'),
                      coalesce('greatest(' || t.last_at || ')', 'NULL::timestamptz'),
                      n.nspname, c.relname, a.attname) AS count_statement
          FROM pg_class c
          JOIN pg_namespace n ON n.oid = c.relnamespace
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
         CROSS JOIN LATERAL (
                SELECT string_agg(format('min(%I) FILTER (WHERE %I <= $3)', b.attname, b.attname),
                                  ', ') AS first_at,
                       string_agg(format('max(%I) FILTER (WHERE %I <= $3)', b.attname, b.attname),
                                  ', ') AS last_at
                  FROM pg_attribute b
                 WHERE b.attrelid = c.oid AND b.attnum > 0 AND NOT b.attisdropped
                   AND b.atttypid = 'timestamptz'::regtype
                   AND col_description(c.oid, b.attnum) LIKE 'class=personal/%') AS t
         WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition
           AND a.attname IN ('member_id', 'driver_id')
           AND c.relname <> 'erasure_request'
         ORDER BY c.relname, a.attname
        """
    )
    return [Table(**dict(row)) for row in rows]


async def count(
    conn: Connection, table: Table, company_id: UUID, driver_id: UUID, now: datetime
) -> Counted:
    # The names in the statement are the catalogue's own, quoted by PostgreSQL.
    statement = f"{table.count_statement} AND {TOLD_OF.get(table.table, 'true')}"
    row = await conn.fetchrow(statement, company_id, driver_id, now)
    return Counted(
        table=table.table,
        category=table.category,
        eraser=table.eraser,
        rows=0 if row is None else row["rows"],
        first_at=None if row is None else row["first_at"],
        last_at=None if row is None else row["last_at"],
    )


async def open_orders(
    conn: Connection, company_id: UUID, driver_id: UUID, now: datetime
) -> list[OpenOrder]:
    """Return the driver's routes that are not over, the next first."""
    rows = await conn.fetch(
        """
        SELECT route_id, date FROM route
         WHERE company_id = $1 AND driver_id = $2 AND ends_at > $3 AND cancelled_at IS NULL
         ORDER BY starts_at, route_id
         LIMIT $4
        """,
        company_id,
        driver_id,
        now,
        OPEN_ORDERS_MAX,
    )
    return [OpenOrder(route_id=row["route_id"], day=row["date"]) for row in rows]
