"""The rules of scale that a table can break, read off PostgreSQL's catalogue."""

from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    import asyncpg


class TableRule(StrEnum):
    COMPANY = "each table has a company_id, a uuid and NOT NULL"
    KEY = "each table has a primary key"
    LEADS = "company_id leads every primary key, unique constraint and index"
    POINTS = "a foreign key is named, and company_id leads it on both sides"
    CHUNK = "no foreign key on chunk"
    COUNTER = "no serial or identity column, no sequence, no default that differs from row to row"
    IDS = "an id is a uuid"
    TRIGGER = "no triggers for rules"
    PARTITION = "no partitions"
    POLICY = "row-level security admits the rows of current_company()"


class Fault(NamedTuple):
    rule: TableRule
    of: str


# Of the schema `public`: the job queue is a local table in a schema of its own, with its own
# serials, and is never distributed.
_FAULTS: Final[dict[TableRule, str]] = {
    TableRule.COMPANY: """
        SELECT t.relname FROM tables t
         WHERE NOT EXISTS (SELECT FROM pg_attribute a
                            WHERE a.attrelid = t.oid AND a.attname = 'company_id'
                              AND a.atttypid = 'uuid'::regtype AND a.attnotnull)
    """,
    TableRule.KEY: """
        SELECT t.relname FROM tables t
         WHERE NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = t.oid AND i.indisprimary)
    """,
    TableRule.LEADS: """
        SELECT i.indexrelid::regclass::text
          FROM pg_index i JOIN tables t ON t.oid = i.indrelid
          LEFT JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = i.indkey[0]
         WHERE a.attname IS DISTINCT FROM 'company_id'
    """,
    # What PostgreSQL names by itself ends in _fkey, with a number behind where one was there.
    TableRule.POINTS: """
        SELECT t.relname || '.' || c.conname
          FROM pg_constraint c JOIN tables t ON t.oid = c.conrelid
          JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
          JOIN pg_attribute b ON b.attrelid = c.confrelid AND b.attnum = c.confkey[1]
         WHERE c.contype = 'f'
           AND (a.attname <> 'company_id' OR b.attname <> 'company_id'
                OR c.conname ~ '_fkey[0-9]*$')
    """,
    TableRule.CHUNK: """
        SELECT t.relname || '.' || c.conname
          FROM pg_constraint c JOIN tables t ON t.oid = c.conrelid
         WHERE c.contype = 'f' AND to_regclass('chunk') IN (c.conrelid, c.confrelid)
    """,
    TableRule.COUNTER: """
        SELECT s.relname FROM pg_class s
         WHERE s.relkind = 'S' AND s.relnamespace = 'public'::regnamespace
        UNION
        SELECT t.relname || '.' || a.attname
          FROM pg_attribute a JOIN tables t ON t.oid = a.attrelid
          LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
         WHERE a.attidentity <> '' OR pg_get_expr(d.adbin, d.adrelid) ~ '\\(|CURRENT_'
    """,
    TableRule.IDS: """
        SELECT t.relname || '.' || a.attname
          FROM pg_attribute a JOIN tables t ON t.oid = a.attrelid
         WHERE a.attname ~ '(^|_)id$' AND a.atttypid <> 'uuid'::regtype
    """,
    TableRule.TRIGGER: """
        SELECT t.relname || '.' || g.tgname
          FROM pg_trigger g JOIN tables t ON t.oid = g.tgrelid
         WHERE NOT g.tgisinternal
    """,
    TableRule.PARTITION: """
        SELECT t.relname FROM tables t
         WHERE t.relkind = 'p' OR t.relispartition
            OR EXISTS (SELECT FROM pg_inherits i WHERE t.oid IN (i.inhrelid, i.inhparent))
    """,
    # A restrictive policy only takes away from what the others admit.
    TableRule.POLICY: """
        SELECT t.relname || '.' || p.polname
          FROM pg_policy p JOIN tables t ON t.oid = p.polrelid
         WHERE p.polpermissive
           AND coalesce(pg_get_expr(p.polqual, p.polrelid),
                        pg_get_expr(p.polwithcheck, p.polrelid))
               !~ '^\\(*company_id = current_company\\(\\)\\)( AND .*)?$'
    """,
}


async def faults(conn: "asyncpg.Connection[asyncpg.Record]") -> set[Fault]:
    """Return what the tables of the schema ``public`` do against the rules."""
    return {
        Fault(rule, str(row[0])) for rule in _FAULTS for row in await conn.fetch(_statement(rule))
    }


def _statement(rule: TableRule) -> str:
    return f"""
        WITH tables AS MATERIALIZED (
            SELECT c.* FROM pg_class c
             WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace)
        {_FAULTS[rule]}
    """  # noqa: S608 - the constants above


async def with_companies(conn: "asyncpg.Connection[asyncpg.Record]") -> frozenset[str]:
    """Return the tables of the schema ``public`` that have companies."""
    rows = await conn.fetch(
        """
        SELECT c.relname FROM pg_class c
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'company_id'
         WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace
        """
    )
    return frozenset(row["relname"] for row in rows)
