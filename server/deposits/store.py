"""The one statement that may store positions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg

from server.deposits.model import Deposit
from server.gate.model import LOCK, LOCK_OR_SKIP
from server.kit import db
from server.kit.db import Connection

WAITED_TOO_LONG: Final = (asyncpg.QueryCanceledError, asyncpg.LockNotAvailableError)


def build_statement(lock: str) -> str:
    """Return the storing statement. ``lock`` is a parameter so that the race proof can remove it.

    The gate's rows are locked and compared with what was believed when the uploads were filtered
    and sealed; only what matches is inserted. Rows come sorted, so that two statements never wait
    for each other's.
    """
    return f"""
        WITH req AS MATERIALIZED (
            SELECT *
              FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[],
                          $6::bigint[], $7::boolean[], $8::timestamptz[], $9::uuid[],
                          $10::timestamptz[], $11::timestamptz[], $12::integer[], $13::uuid[],
                          $14::bytea[])
                AS r (company_id, driver_id, epoch, rev, credential_epoch, key_epoch, only_latest,
                      stored_at, upload_id, first_at, last_at, count, key_id, blob)
        ),
        ok AS MATERIALIZED (
            SELECT g.company_id, g.driver_id, g.epoch, g.rev, g.credential_epoch, g.key_epoch
              FROM gate g
             WHERE g.company_id = ANY($1::uuid[]) AND g.driver_id = ANY($2::uuid[])
               AND g.account_active
               AND g.location_since IS NOT NULL
               AND (g.dispatch_since IS NOT NULL OR g.plan_fact_since IS NOT NULL)
               AND NOT EXISTS (SELECT FROM gate_closing c
                                WHERE c.company_id = g.company_id AND c.driver_id = g.driver_id)
               {lock}
        ),
        allowed AS MATERIALIZED (
            SELECT r.*
              FROM req r
              JOIN ok USING (company_id, driver_id, epoch, rev, credential_epoch, key_epoch)
        ),
        stored AS (
            INSERT INTO chunk (company_id, driver_id, last_at, upload_id, first_at, stored_at,
                               count, key_id, blob)
            SELECT company_id, driver_id, last_at, upload_id, first_at, stored_at, count, key_id,
                   blob
              FROM allowed
             WHERE NOT only_latest
             ORDER BY company_id, driver_id, last_at, upload_id
            ON CONFLICT DO NOTHING
            RETURNING upload_id
        ),
        kept AS (
            INSERT INTO latest_position AS l
                   (company_id, driver_id, recorded_at, stored_at, key_id, blob)
            SELECT DISTINCT ON (company_id, driver_id)
                   company_id, driver_id, last_at, stored_at, key_id, blob
              FROM allowed
             WHERE only_latest
             ORDER BY company_id, driver_id, last_at DESC
            ON CONFLICT (company_id, driver_id) DO UPDATE
               SET recorded_at = excluded.recorded_at, stored_at = excluded.stored_at,
                   key_id = excluded.key_id, blob = excluded.blob
             WHERE l.recorded_at <= excluded.recorded_at
            RETURNING l.driver_id, l.recorded_at
        )
        SELECT (SELECT array_agg(driver_id) FROM ok) AS locked,
               (SELECT array_agg(upload_id) FROM allowed) AS allowed,
               (SELECT array_agg(upload_id) FROM stored) AS stored,
               (SELECT array_agg(driver_id) FROM kept) AS kept,
               (SELECT array_agg(recorded_at) FROM kept) AS kept_at
    """  # noqa: S608 - two constants of this module, no caller's text


STORE_OR_SKIP: Final = build_statement(LOCK_OR_SKIP)
STORE_OR_WAIT: Final = build_statement(LOCK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What the storing statement says."""

    locked: frozenset[UUID]
    """The drivers whose gate was open and was locked."""
    allowed: frozenset[UUID]
    """The upload ids whose belief was true."""
    stored: frozenset[UUID]
    """The upload ids of new rows of ``chunk``; an allowed one not among them was there already."""
    kept: dict[UUID, datetime]
    """By driver, the time of the position that ``latest_position`` took."""


async def open_committer(dsn: str) -> Connection:
    """Open one connection of the committer."""
    conn = await db.connect(dsn, role=db.ROLE_COMMITTER)
    try:
        # Planning costs more than running: one plan for every batch size.
        await conn.execute("SET plan_cache_mode = force_generic_plan")
    except BaseException:
        conn.terminate()
        raise
    return conn


async def store(conn: Connection, statement: str, deposits: Sequence[Deposit]) -> Stored:
    """Store what the gates let through, in one statement and one commit."""
    rows = sorted(
        (d.company_id, d.driver_id, row.last_at, row.upload_id, place, row)
        for place, d in enumerate(deposits)
        for row in d.rows
    )
    of = [deposits[entry[4]] for entry in rows]
    found = await conn.fetchrow(
        statement,
        [entry[0] for entry in rows],
        [entry[1] for entry in rows],
        [d.epoch for d in of],
        [d.rev for d in of],
        [d.credential_epoch for d in of],
        [d.key_epoch for d in of],
        [d.only_latest for d in of],
        [d.stored_at for d in of],
        [entry[3] for entry in rows],
        [entry[5].first_at for entry in rows],
        [entry[2] for entry in rows],
        [entry[5].size for entry in rows],
        [entry[5].key_id for entry in rows],
        [entry[5].blob for entry in rows],
    )
    if found is None:  # an aggregate always answers
        raise asyncpg.InterfaceError("no answer")
    return Stored(
        locked=frozenset(found["locked"] or ()),
        allowed=frozenset(found["allowed"] or ()),
        stored=frozenset(found["stored"] or ()),
        kept=dict(zip(found["kept"] or (), found["kept_at"] or (), strict=True)),
    )


async def store_waiting(
    conn: Connection, statement: str, deposit: Deposit, *, wait_ms_max: int
) -> Stored:
    """Store one deposit, waiting for its gate at most so long."""
    async with conn.transaction():
        # Milliseconds of our own, no caller's text: SET takes no parameters.
        await conn.execute(f"SET LOCAL statement_timeout = '{int(wait_ms_max)}ms'")
        return await store(conn, statement, [deposit])


async def notify(conn: Connection, channel: str, company_ids: Sequence[UUID]) -> None:
    await conn.execute(
        "SELECT pg_notify($1, company_id::text) FROM unnest($2::uuid[]) AS c (company_id)",
        channel,
        company_ids,
    )
