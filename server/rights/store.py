"""What the database's own catalogue says is kept of a person. Each function is one statement."""

from typing import NamedTuple
from uuid import UUID

from server.kit.db import Connection
from server.rights.kept import Column, Counted, KeptDays


class Place(NamedTuple):
    """A table whose rows name a person, and how to count those of one."""

    table: str
    statement: str


async def columns(conn: Connection) -> list[Column]:
    rows = await conn.fetch(
        """
        SELECT c.relname AS "table", a.attname AS name,
               col_description(c.oid, a.attnum) AS comment
          FROM pg_class c
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
           AND NOT c.relispartition
         ORDER BY c.relname, a.attnum
        """
    )
    return [Column(**dict(row)) for row in rows]


async def places(conn: Connection) -> list[Place]:
    """Return every table that has a column for whose a row is; the first time in a row is its."""
    rows = await conn.fetch(
        """
        SELECT c.relname AS "table",
               format('SELECT count(*) AS rows, min(%1$s) AS since, max(%1$s) AS until FROM %2$I'
                      ' WHERE company_id = $1 AND %3$I = $2',
                      coalesce(quote_ident(at.attname), 'NULL::timestamptz'), c.relname, a.attname)
                   AS statement
          FROM pg_class c
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                             AND a.attname IN ('member_id', 'driver_id')
          LEFT JOIN LATERAL (
                SELECT t.attname FROM pg_attribute t
                 WHERE t.attrelid = c.oid AND t.attnum > 0 AND NOT t.attisdropped AND t.attnotnull
                   AND t.atttypid = 'timestamptz'::regtype
                   AND t.attname NOT IN ('expires_at', 'until', 'ends_by', 'before')
                 ORDER BY t.attnum LIMIT 1) AS at ON true
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
           AND NOT c.relispartition
         ORDER BY c.relname
        """
    )
    return [Place(*row) for row in rows]


async def count(conn: Connection, place: Place, company_id: UUID, member_id: UUID) -> Counted:
    # The names in the statement are the catalogue's own, quoted by PostgreSQL.
    row = await conn.fetchrow(place.statement, company_id, member_id)
    return Counted(rows=0, since=None, until=None) if row is None else Counted(**dict(row))


async def kept_days(conn: Connection, company_id: UUID) -> KeptDays:
    row = await conn.fetchrow(
        "SELECT track_days, report_days, plan_days FROM company WHERE company_id = $1", company_id
    )
    if row is None:
        return KeptDays(track_days=None, report_days=None, plan_days=None)
    return KeptDays(**dict(row))
