"""What is too old, in PostgreSQL. Each function is one statement, and none of them locks a gate."""

from collections.abc import Collection
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

from server.kit.db import Connection


async def wait_at_most(conn: Connection, lock_ms_max: int) -> None:
    """Let the transaction give up where it waits longer for a lock."""
    # Milliseconds of our own, no caller's text: SET takes no parameters.
    await conn.execute(f"SET LOCAL lock_timeout = '{int(lock_ms_max)}ms'")


async def clock(conn: Connection) -> datetime:
    """Return what time it is for ``main``."""
    found: datetime = await conn.fetchval("SELECT clock_timestamp()")
    return found


class Removed(NamedTuple):
    rows: int = 0
    positions: int = 0
    oldest_at: datetime | None = None
    found: int = 0
    """How many there were to remove; somebody else may have taken some meanwhile."""


async def lock_company(conn: Connection, company_id: UUID) -> None:
    """Let nobody change it, or write what it promises into a consent, until we are done."""
    await conn.execute("SELECT FROM company WHERE company_id = $1 FOR NO KEY UPDATE", company_id)


async def set_track_days(conn: Connection, company_id: UUID, days: int) -> bool:
    """Set it where phones may hold nothing back for longer; tell whether that was so."""
    found = await conn.fetchval(
        """
        UPDATE company SET track_days = $2
         WHERE company_id = $1 AND buffer_max_s <= $2::integer * 86400
        RETURNING true
        """,
        company_id,
        days,
    )
    return bool(found)


async def old_tracks(
    conn: Connection, company_id: UUID, before: datetime, *, held: Collection[UUID] = ()
) -> Removed:
    """Return what is older than that, driver by driver along the primary key; but of the held."""
    row = await conn.fetchrow(
        """
        SELECT count(*) AS rows, coalesce(sum(o.count), 0)::bigint AS positions,
               min(o.first_at) AS oldest_at, count(*) AS found
          FROM gate g
         CROSS JOIN LATERAL (
                SELECT c.count, c.first_at FROM chunk c
                 WHERE c.company_id = $1 AND c.driver_id = g.driver_id AND c.last_at < $2) AS o
         WHERE g.company_id = $1 AND g.driver_id <> ALL($3::uuid[])
        """,
        company_id,
        before,
        list(held),
    )
    return Removed() if row is None else Removed(*row)


async def delete_tracks(
    conn: Connection,
    company_id: UUID,
    before: datetime,
    *,
    held: Collection[UUID] = (),
    limit: int,
) -> Removed:
    """Delete rows whose last position is older than that, at most so many; none of the held.

    Whoever merges them just now is waited for, and then they are somebody else's.
    """
    row = await conn.fetchrow(
        """
        WITH old AS MATERIALIZED (
            SELECT o.driver_id, o.last_at, o.upload_id
              FROM gate g
             CROSS JOIN LATERAL (
                    SELECT c.driver_id, c.last_at, c.upload_id FROM chunk c
                     WHERE c.company_id = $1 AND c.driver_id = g.driver_id AND c.last_at < $2
                     ORDER BY c.last_at
                     LIMIT $3) AS o
             WHERE g.company_id = $1 AND g.driver_id <> ALL($4::uuid[])
             LIMIT $3
        ),
        gone AS (
            DELETE FROM chunk c
             USING old
             WHERE c.company_id = $1 AND c.driver_id = old.driver_id
               AND c.last_at = old.last_at AND c.upload_id = old.upload_id
            RETURNING c.count, c.first_at
        )
        SELECT count(*) AS rows, coalesce(sum(count), 0)::bigint AS positions,
               min(first_at) AS oldest_at, (SELECT count(*) FROM old) AS found
          FROM gone
        """,
        company_id,
        before,
        limit,
        list(held),
    )
    return Removed() if row is None else Removed(*row)


async def drivers_with_tracks(
    conn: Connection, company_id: UUID, before: datetime | None
) -> list[UUID]:
    """Return the drivers of whom something older than that is there; anything, where it is None."""
    rows = await conn.fetch(
        """
        SELECT g.driver_id
          FROM gate g
         WHERE g.company_id = $1
           AND EXISTS (SELECT FROM chunk c
                        WHERE c.company_id = $1 AND c.driver_id = g.driver_id
                          AND c.last_at < coalesce($2::timestamptz, 'infinity'))
        """,
        company_id,
        before,
    )
    return [row["driver_id"] for row in rows]


async def old_counters(
    conn: Connection, company_id: UUID, before: date, *, held: Collection[UUID]
) -> tuple[int, date | None]:
    """Return how many counters of refusals are of days before that, but of the held; the oldest."""
    row = await conn.fetchrow(
        """
        SELECT count(*) AS rows, min(day) AS oldest FROM refusal_count
         WHERE company_id = $1 AND day < $2 AND driver_id <> ALL($3::uuid[])
        """,
        company_id,
        before,
        list(held),
    )
    return (0, None) if row is None else (row["rows"], row["oldest"])


async def delete_counters(
    conn: Connection, company_id: UUID, before: date, *, held: Collection[UUID] = (), limit: int
) -> int:
    """Delete counters of refusals of days before that, at most so many; none of the held."""
    rows = await conn.fetch(
        """
        DELETE FROM refusal_count r
         USING (SELECT driver_id, day, reason FROM refusal_count
                 WHERE company_id = $1 AND day < $2 AND driver_id <> ALL($4::uuid[])
                 ORDER BY driver_id, day, reason
                 LIMIT $3) AS old
         WHERE r.company_id = $1 AND r.driver_id = old.driver_id
           AND r.day = old.day AND r.reason = old.reason
        RETURNING r.driver_id
        """,
        company_id,
        before,
        limit,
        list(held),
    )
    return len(rows)


async def old_latest(
    conn: Connection, company_id: UUID, before: datetime
) -> tuple[int, datetime | None]:
    """Return how many drivers' latest positions are older than that, and when the oldest was."""
    row = await conn.fetchrow(
        """
        SELECT count(*) AS positions, min(recorded_at) AS oldest FROM latest_position
         WHERE company_id = $1 AND recorded_at < $2
        """,
        company_id,
        before,
    )
    return (0, None) if row is None else (row["positions"], row["oldest"])


class PlanDays(NamedTuple):
    days: int | None


async def plan_days(conn: Connection, company_id: UUID) -> PlanDays | None:
    """Return how long the company keeps plans; None where there is no such company."""
    row = await conn.fetchrow(
        "SELECT plan_days AS days FROM company WHERE company_id = $1", company_id
    )
    return None if row is None else PlanDays(*row)


async def exchange_plan_days(conn: Connection, company_id: UUID, days: int) -> PlanDays | None:
    """Set it, and return what it was."""
    row = await conn.fetchrow(
        """
        WITH before AS (
            SELECT plan_days AS days FROM company WHERE company_id = $1 FOR NO KEY UPDATE
        )
        UPDATE company SET plan_days = $2 FROM before WHERE company_id = $1
        RETURNING before.days
        """,
        company_id,
        days,
    )
    return None if row is None else PlanDays(*row)


async def old_plans(
    conn: Connection, company_id: UUID, ended_before: datetime, *, held: Collection[UUID]
) -> tuple[int, date | None]:
    """Return how many plans ended before that time and nothing is of, and the first day.

    None of them is of a driver who is held.
    """
    row = await conn.fetchrow(
        """
        SELECT count(*) AS plans, min(r.date) AS oldest FROM route r
         WHERE r.company_id = $1 AND r.ends_at < $2
           AND (r.driver_id IS NULL OR r.driver_id <> ALL($3::uuid[]))
           AND NOT EXISTS (SELECT FROM plan_fact_report p
                            WHERE p.company_id = $1 AND p.route_id = r.route_id)
           AND NOT EXISTS (SELECT FROM customer_link l
                            WHERE l.company_id = $1 AND l.route_id = r.route_id)
           AND NOT EXISTS (SELECT FROM stop_event e
                            WHERE e.company_id = $1 AND e.route_id = r.route_id)
           AND NOT EXISTS (SELECT FROM alert a
                            WHERE a.company_id = $1 AND a.route_id = r.route_id)
        """,
        company_id,
        ended_before,
        list(held),
    )
    return (0, None) if row is None else (row["plans"], row["oldest"])


async def delete_plans(
    conn: Connection,
    company_id: UUID,
    ended_before: datetime,
    *,
    held: Collection[UUID],
    limit: int,
) -> int:
    """Delete plans that ended before that time and nothing is of, at most so many; return how many.

    None of them is of a driver who is held.

    One to which somebody adds something at this moment stays until the next run.
    """
    rows = await conn.fetch(
        """
        WITH old AS MATERIALIZED (
            SELECT r.route_id FROM route r
             WHERE r.company_id = $1 AND r.ends_at < $2
               AND (r.driver_id IS NULL OR r.driver_id <> ALL($4::uuid[]))
               AND NOT EXISTS (SELECT FROM plan_fact_report p
                                WHERE p.company_id = $1 AND p.route_id = r.route_id)
               AND NOT EXISTS (SELECT FROM customer_link l
                                WHERE l.company_id = $1 AND l.route_id = r.route_id)
               AND NOT EXISTS (SELECT FROM stop_event e
                                WHERE e.company_id = $1 AND e.route_id = r.route_id)
               AND NOT EXISTS (SELECT FROM alert a
                                WHERE a.company_id = $1 AND a.route_id = r.route_id)
             ORDER BY r.ends_at
             LIMIT $3
               FOR UPDATE SKIP LOCKED
        ),
        versions AS (
            DELETE FROM route_version v USING old
             WHERE v.company_id = $1 AND v.route_id = old.route_id
        )
        DELETE FROM route r USING old
         WHERE r.company_id = $1 AND r.route_id = old.route_id
        RETURNING r.route_id
        """,
        company_id,
        ended_before,
        limit,
        list(held),
    )
    return len(rows)


async def delete_imports(
    conn: Connection, company_id: UUID, before: datetime, *, limit: int
) -> int:
    """Delete imports carried out before that time of whose routes none is left."""
    rows = await conn.fetch(
        """
        DELETE FROM route_import d
         USING (SELECT i.import_id FROM route_import i
                 WHERE i.company_id = $1 AND i.imported_at < $2
                   AND NOT EXISTS (SELECT FROM route r
                                    WHERE r.company_id = $1 AND r.import_id = i.import_id)
                 LIMIT $3) AS old
         WHERE d.company_id = $1 AND d.import_id = old.import_id
        RETURNING d.import_id
        """,
        company_id,
        before,
        limit,
    )
    return len(rows)
