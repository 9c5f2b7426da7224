"""The gate and the recording windows in PostgreSQL. Each function is one statement."""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from uuid import UUID

from server.gate.model import Gate, GateItem, Reach, Source, Window
from server.kit.db import Connection, Record


async def insert(conn: Connection, company_id: UUID, driver_id: UUID) -> None:
    await conn.execute(
        "INSERT INTO gate (company_id, driver_id, account_active) VALUES ($1, $2, false)",
        company_id,
        driver_id,
    )


async def read(conn: Connection, company_id: UUID, driver_id: UUID) -> Gate | None:
    found = await read_some(conn, company_id, [driver_id])
    return found[0] if found else None


async def read_all(conn: Connection, company_id: UUID) -> list[Gate]:
    rows = await conn.fetch(
        """
        SELECT g.company_id, g.driver_id, g.account_active, g.location_since, g.dispatch_since,
               g.plan_fact_since, g.epoch, g.rev, g.credential_epoch, g.key_epoch,
               g.location_always, g.location_sources, g.location_background,
               g.location_until, g.dispatch_until, g.plan_fact_until, g.stopped, g.acted_at,
               EXISTS (SELECT FROM gate_closing c
                        WHERE c.company_id = g.company_id AND c.driver_id = g.driver_id) AS closing
          FROM gate g
         WHERE g.company_id = $1
        """,
        company_id,
    )
    return [_gate(row) for row in rows]


async def read_some(conn: Connection, company_id: UUID, driver_ids: Sequence[UUID]) -> list[Gate]:
    rows = await conn.fetch(
        """
        SELECT g.company_id, g.driver_id, g.account_active, g.location_since, g.dispatch_since,
               g.plan_fact_since, g.epoch, g.rev, g.credential_epoch, g.key_epoch,
               g.location_always, g.location_sources, g.location_background,
               g.location_until, g.dispatch_until, g.plan_fact_until, g.stopped, g.acted_at,
               EXISTS (SELECT FROM gate_closing c
                        WHERE c.company_id = g.company_id AND c.driver_id = g.driver_id) AS closing
          FROM gate g
         WHERE g.company_id = $1 AND g.driver_id = ANY($2::uuid[])
        """,
        company_id,
        driver_ids,
    )
    return [_gate(row) for row in rows]


async def lock(conn: Connection, company_id: UUID, driver_id: UUID) -> bool:
    """Lock the gate for a change, so that changes of one driver come one after the other."""
    found = await conn.fetchval(
        "SELECT true FROM gate WHERE company_id = $1 AND driver_id = $2 FOR NO KEY UPDATE",
        company_id,
        driver_id,
    )
    return bool(found)


async def set_since(
    conn: Connection,
    company_id: UUID,
    driver_id: UUID,
    item: GateItem,
    since: datetime | None,
    *,
    reach: Reach,
    until: datetime | None,
) -> int | None:
    """Set when the consent was given (None: it is not) and count it; return the new epoch."""
    epoch: int | None = await conn.fetchval(
        """
        UPDATE gate
           SET location_since  = CASE $3 WHEN 'location' THEN $4 ELSE location_since END,
               dispatch_since  = CASE $3 WHEN 'dispatch_tracking' THEN $4 ELSE dispatch_since END,
               plan_fact_since = CASE $3 WHEN 'plan_fact' THEN $4 ELSE plan_fact_since END,
               location_always = CASE $3 WHEN 'location' THEN $5 ELSE location_always END,
               location_sources = CASE $3 WHEN 'location' THEN $6 ELSE location_sources END,
               location_background = CASE $3 WHEN 'location' THEN $7 ELSE location_background END,
               location_until  = CASE $3 WHEN 'location' THEN $8 ELSE location_until END,
               dispatch_until  = CASE $3 WHEN 'dispatch_tracking' THEN $8 ELSE dispatch_until END,
               plan_fact_until = CASE $3 WHEN 'plan_fact' THEN $8 ELSE plan_fact_until END,
               epoch = epoch + 1
         WHERE company_id = $1 AND driver_id = $2
        RETURNING epoch
        """,
        company_id,
        driver_id,
        item.value,
        since,
        reach.always,
        sorted(source.value for source in reach.sources),
        reach.background,
        until,
    )
    return epoch


async def set_account_active(
    conn: Connection, company_id: UUID, driver_id: UUID, *, active: bool
) -> int | None:
    epoch: int | None = await conn.fetchval(
        """
        UPDATE gate SET account_active = $3, epoch = epoch + 1
         WHERE company_id = $1 AND driver_id = $2
        RETURNING epoch
        """,
        company_id,
        driver_id,
        active,
    )
    return epoch


async def set_stopped(
    conn: Connection, company_id: UUID, driver_id: UUID, *, stopped: bool
) -> None:
    await conn.execute(
        "UPDATE gate SET stopped = $3 WHERE company_id = $1 AND driver_id = $2",
        company_id,
        driver_id,
        stopped,
    )


async def act(
    conn: Connection, company_id: UUID, driver_id: UUID, now: datetime
) -> datetime | None:
    """Note that the gate is acted on; return the moment, never before the last one."""
    at: datetime | None = await conn.fetchval(
        """
        UPDATE gate SET acted_at = greatest(acted_at, $3)
         WHERE company_id = $1 AND driver_id = $2
        RETURNING acted_at
        """,
        company_id,
        driver_id,
        now,
    )
    return at


async def bump_credentials(conn: Connection, company_id: UUID, driver_id: UUID) -> None:
    await conn.execute(
        """
        UPDATE gate SET credential_epoch = credential_epoch + 1
         WHERE company_id = $1 AND driver_id = $2
        """,
        company_id,
        driver_id,
    )


async def bump_rev(conn: Connection, company_id: UUID, driver_id: UUID) -> int | None:
    rev: int | None = await conn.fetchval(
        """
        UPDATE gate SET rev = rev + 1
         WHERE company_id = $1 AND driver_id = $2
        RETURNING rev
        """,
        company_id,
        driver_id,
    )
    return rev


async def insert_closing(
    conn: Connection, company_id: UUID, driver_id: UUID, closing_id: UUID, now: datetime
) -> None:
    await conn.execute(
        """
        INSERT INTO gate_closing (company_id, driver_id, closing_id, started_at)
        VALUES ($1, $2, $3, $4)
        """,
        company_id,
        driver_id,
        closing_id,
        now,
    )


async def delete_closing(
    conn: Connection, company_id: UUID, driver_id: UUID, closing_id: UUID
) -> None:
    await conn.execute(
        """
        DELETE FROM gate_closing
         WHERE company_id = $1 AND driver_id = $2 AND closing_id = $3
        """,
        company_id,
        driver_id,
        closing_id,
    )


async def delete_closings_before(conn: Connection, company_id: UUID, before: datetime) -> int:
    rows = await conn.fetch(
        """
        DELETE FROM gate_closing WHERE company_id = $1 AND started_at < $2 RETURNING closing_id
        """,
        company_id,
        before,
    )
    return len(rows)


async def insert_window(
    conn: Connection,
    company_id: UUID,
    driver_id: UUID,
    window_id: UUID,
    *,
    opened_at: datetime,
    expires_at: datetime,
) -> None:
    await conn.execute(
        """
        INSERT INTO recording_window (company_id, driver_id, window_id, opened_at, expires_at)
        VALUES ($1, $2, $3, $4, $5)
        """,
        company_id,
        driver_id,
        window_id,
        opened_at,
        expires_at,
    )


async def close_window(conn: Connection, company_id: UUID, driver_id: UUID, at: datetime) -> None:
    """Close the open window at ``at``, or at its own end if that was earlier."""
    await conn.execute(
        """
        UPDATE recording_window SET closed_at = greatest(opened_at, least($3, expires_at))
         WHERE company_id = $1 AND driver_id = $2 AND closed_at IS NULL
        """,
        company_id,
        driver_id,
        at,
    )


async def move_window_end(
    conn: Connection, company_id: UUID, driver_id: UUID, expires_at: datetime
) -> None:
    await conn.execute(
        """
        UPDATE recording_window SET expires_at = $3
         WHERE company_id = $1 AND driver_id = $2 AND closed_at IS NULL
        """,
        company_id,
        driver_id,
        expires_at,
    )


async def windows(
    conn: Connection,
    company_id: UUID,
    driver_id: UUID,
    *,
    since: datetime,
    until: datetime,
) -> list[Window]:
    """Return the windows that touch ``[since, until]`` and are not empty, oldest first."""
    rows = await conn.fetch(
        """
        SELECT opened_at, coalesce(closed_at, expires_at) AS "end"
          FROM recording_window
         WHERE company_id = $1 AND driver_id = $2
           AND coalesce(closed_at, expires_at) > greatest($3, opened_at) AND opened_at <= $4
         ORDER BY opened_at
        """,
        company_id,
        driver_id,
        since,
        until,
    )
    return [Window(opened_at=row["opened_at"], end=row["end"]) for row in rows]


async def windows_of(
    conn: Connection,
    company_id: UUID,
    driver_ids: Sequence[UUID],
    *,
    since: datetime,
    until: datetime,
) -> list[tuple[UUID, Window]]:
    """Return the windows of these drivers as :func:`windows` does of one, oldest first."""
    rows = await conn.fetch(
        """
        SELECT driver_id, opened_at, coalesce(closed_at, expires_at) AS "end"
          FROM recording_window
         WHERE company_id = $1 AND driver_id = ANY($2::uuid[])
           AND coalesce(closed_at, expires_at) > greatest($3, opened_at) AND opened_at <= $4
         ORDER BY opened_at
        """,
        company_id,
        driver_ids,
        since,
        until,
    )
    return [(row["driver_id"], Window(opened_at=row["opened_at"], end=row["end"])) for row in rows]


async def drivers_in_a_window(conn: Connection, company_id: UUID, at: datetime) -> list[UUID]:
    rows = await conn.fetch(
        """
        SELECT driver_id FROM recording_window
         WHERE company_id = $1 AND closed_at IS NULL AND opened_at <= $2 AND expires_at > $2
        """,
        company_id,
        at,
    )
    return [row["driver_id"] for row in rows]


async def delete_driver(conn: Connection, company_id: UUID, driver_id: UUID) -> int:
    """Delete the driver's gate with its windows and closings; return how many rows went."""
    count: int = await conn.fetchval(
        """
        WITH w AS (DELETE FROM recording_window WHERE company_id = $1 AND driver_id = $2
                   RETURNING 1),
             c AS (DELETE FROM gate_closing WHERE company_id = $1 AND driver_id = $2
                   RETURNING 1),
             g AS (DELETE FROM gate WHERE company_id = $1 AND driver_id = $2 RETURNING 1)
        SELECT (SELECT count(*) FROM w) + (SELECT count(*) FROM c) + (SELECT count(*) FROM g)
        """,
        company_id,
        driver_id,
    )
    return count


async def share_live_barrier(conn: Connection, company_id: UUID) -> None:
    await conn.execute(
        "SELECT pg_advisory_xact_lock_shared(hashtextextended($1, 7242003))", str(company_id)
    )


async def pass_live_barrier(conn: Connection, company_id: UUID, *, lock_ms_max: int) -> None:
    # Milliseconds of our own, no caller's text: SET takes no parameters.
    await conn.execute(f"SET LOCAL lock_timeout = '{int(lock_ms_max)}ms'")
    await conn.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended($1, 7242003))", str(company_id)
    )


def _gate(row: Record) -> Gate:
    columns = dict(row)
    always, background = columns.pop("location_always"), columns.pop("location_background")
    sources = columns.pop("location_sources")
    names = None if sources is None else tuple(sources)
    return Gate(**columns, reach=_reach(always, names, background))


@lru_cache(maxsize=64)
def _reach(always: bool, names: tuple[str, ...] | None, background: bool) -> Reach:  # noqa: FBT001 - columns of a row
    """Return one value for all drivers who agreed to the same: thousands are held at once."""
    sources = frozenset(Source) if names is None else frozenset(map(Source, names))
    return Reach(always=always, sources=sources, background=background)


async def screen_epochs(conn: Connection, company_id: UUID, at: datetime) -> dict[UUID, int]:
    """Return by driver how often it had begun or ended by ``at`` that screens may show them.

    What ended by itself since the gate was acted on last counts at once; the next act counts it
    in the row instead, which then changes nothing here.
    """
    rows = await conn.fetch(
        """
        SELECT g.driver_id,
               g.screen_epoch
               + (g.on_screen
                  AND (g.location_until <= $2 IS TRUE
                       OR g.dispatch_until <= $2 IS TRUE
                       OR NOT EXISTS (SELECT FROM recording_window w
                                       WHERE w.company_id = $1 AND w.driver_id = g.driver_id
                                         AND w.closed_at IS NULL AND w.expires_at > $2)))::int
               AS epoch
          FROM gate g
         WHERE g.company_id = $1
        """,
        company_id,
        at,
    )
    return {row["driver_id"]: row["epoch"] for row in rows}
