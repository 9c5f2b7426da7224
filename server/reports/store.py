"""Stored reports in PostgreSQL, and what the live ones are made of. Each function is one statement.

What a report holds is sealed; only whose it is, of which plan and when it was made stands in clear.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from server.kit.db import Connection
from server.reports.model import PLAN_VERSION_MAX, SealedReport, Settings
from server.routes.model import TAIL
from server.tracking.model import SealedChunk, end_of_month


async def settings(conn: Connection, company_id: UUID) -> Settings | None:
    row = await conn.fetchrow(
        """
        SELECT report_days, speed_limit_kmh, buffer_max_s, track_days
          FROM company WHERE company_id = $1
        """,
        company_id,
    )
    return None if row is None else Settings(**row)


async def set_settings(
    conn: Connection, company_id: UUID, *, report_days: int | None, speed_limit_kmh: int | None
) -> bool:
    """Set both, unless reports would be kept for longer than before; tell whether that was so."""
    found = await conn.fetchval(
        """
        UPDATE company SET report_days = $2, speed_limit_kmh = $3
         WHERE company_id = $1
           AND ($2::smallint IS NULL OR report_days >= $2::smallint)
        RETURNING true
        """,
        company_id,
        report_days,
        speed_limit_kmh,
    )
    return bool(found)


async def get(conn: Connection, company_id: UUID, route_id: UUID) -> SealedReport | None:
    """Return a route's report; None where there is none, or nothing was to be told."""
    row = await conn.fetchrow(
        """
        SELECT p.route_id, p.driver_id, p.plan_version, p.algorithm_version, p.computed_at,
               r.ends_at, p.since, p.sealed, p.sums_sealed,
               (SELECT max(a.before) FROM set_apart a
                 WHERE a.company_id = $1 AND a.driver_id = p.driver_id) AS apart
          FROM plan_fact_report p
          JOIN route r ON r.company_id = $1 AND r.route_id = p.route_id
         WHERE p.company_id = $1 AND p.route_id = $2 AND p.sealed IS NOT NULL
        """,
        company_id,
        route_id,
    )
    return None if row is None else SealedReport(**row)


async def put(
    conn: Connection, company_id: UUID, report: SealedReport, *, epoch: int, now: datetime
) -> bool:
    """Store a report in place of the one before; False if it may not be.

    That is where the gate is not what it was made under, or the route is another driver's now. The
    gate is held as by whoever stores positions: a withdrawal waits for this, or is seen here.
    """
    found = await conn.fetchval(
        """
        INSERT INTO plan_fact_report (company_id, route_id, driver_id, tried_at, tried_version,
                                      failed, computed_at, plan_version, algorithm_version, since,
                                      sealed, sums_sealed)
        SELECT $1, $2, g.driver_id, $5, $7, false, $6, $7, $8, $9, $10, $11
          FROM gate g
          JOIN route r ON r.company_id = $1 AND r.route_id = $2 AND r.driver_id = g.driver_id
         WHERE g.company_id = $1 AND g.driver_id = $3 AND g.epoch = $4
           FOR SHARE OF g
            ON CONFLICT (company_id, route_id) DO UPDATE
           SET driver_id = excluded.driver_id, tried_at = excluded.tried_at,
               tried_version = excluded.tried_version, failed = excluded.failed,
               computed_at = excluded.computed_at, plan_version = excluded.plan_version,
               algorithm_version = excluded.algorithm_version, since = excluded.since,
               sealed = excluded.sealed, sums_sealed = excluded.sums_sealed
        RETURNING true
        """,
        company_id,
        report.route_id,
        report.driver_id,
        epoch,
        now,
        report.computed_at,
        report.plan_version,
        report.algorithm_version,
        report.since,
        report.sealed,
        report.sums_sealed,
    )
    return bool(found)


class Due(NamedTuple):
    """A route whose report is to be made, as it is when that is found."""

    route_id: UUID
    driver_id: UUID
    plan_version: int


async def note_tried(
    conn: Connection, company_id: UUID, of: Due, *, failed: bool, now: datetime
) -> None:
    """Remember that it is tried, or that nothing came of it: so it is not tried every minute.

    A report that is stored of the same driver stays: it is shown only while they share it. One of
    another goes. Nothing is remembered where the route is not that driver's any more.
    """
    await conn.execute(
        """
        INSERT INTO plan_fact_report AS p (company_id, route_id, driver_id, tried_at,
                                           tried_version, failed)
        SELECT $1, $2, g.driver_id, $4, $5, $6
          FROM gate g
          JOIN route r ON r.company_id = $1 AND r.route_id = $2 AND r.driver_id = g.driver_id
         WHERE g.company_id = $1 AND g.driver_id = $3
           FOR SHARE OF g
            ON CONFLICT (company_id, route_id) DO UPDATE
           SET driver_id = excluded.driver_id, tried_at = excluded.tried_at,
               tried_version = excluded.tried_version, failed = excluded.failed,
               (computed_at, plan_version, algorithm_version, since, sealed, sums_sealed) =
               (SELECT p.computed_at, p.plan_version, p.algorithm_version, p.since, p.sealed,
                       p.sums_sealed
                 WHERE p.driver_id = excluded.driver_id)
        """,
        company_id,
        of.route_id,
        of.driver_id,
        now,
        of.plan_version,
        failed,
    )


async def take_back_try(conn: Connection, company_id: UUID, of: Due, *, tried_at: datetime) -> None:
    """Let what was noted as failed at that time be due again, after all that was tried before.

    It names a version that no plan has, so that the present one counts as not tried.
    """
    await conn.execute(
        """
        UPDATE plan_fact_report SET failed = false, tried_version = $4
         WHERE company_id = $1 AND route_id = $2 AND tried_at = $3 AND failed
        """,
        company_id,
        of.route_id,
        tried_at,
        PLAN_VERSION_MAX,
    )


async def due(
    conn: Connection,
    company_id: UUID,
    *,
    ended_after: datetime,
    begun_after: datetime | None,
    settles_after: timedelta,
    settles_within: timedelta | None,
    also_failed: bool,
    limit: int,
    now: datetime,
) -> list[Due]:
    """Return routes that are over and whose report is to be made: the first time, or anew.

    Anew where the plan or the driver changed since, and once more when nothing can come any more,
    ``settles_after`` the end of the plan, or ``settles_within`` its start, while the track is still
    whole. None whose track is kept only from a time after ``begun_after``. Those whose report
    failed only if they are asked for. Never tried come first, then those that were tried longest
    ago.
    """
    rows = await conn.fetch(
        """
        SELECT r.route_id, r.driver_id, r.plan_version
          FROM route r
          LEFT JOIN LATERAL (
                SELECT * FROM plan_fact_report
                 WHERE company_id = $1 AND route_id = r.route_id
                 LIMIT 1) AS p ON true  -- one by one, not all of a year
         CROSS JOIN LATERAL (
                SELECT GREATEST(
                    r.ends_at + $9::interval,
                    LEAST(r.ends_at + $5::interval, r.starts_at + $10::interval)) AS at) AS settles
         WHERE r.company_id = $1 AND r.driver_id IS NOT NULL
           AND r.ends_at >= $2 AND r.ends_at < $3
           AND ($4::timestamptz IS NULL OR r.starts_at >= $4)
           AND CASE
               WHEN p.route_id IS NULL THEN true
               WHEN p.failed THEN $7
               ELSE p.tried_version <> r.plan_version
                    OR p.driver_id <> r.driver_id
                    OR (settles.at <= $6 AND p.tried_at < settles.at)
               END
         ORDER BY p.tried_at NULLS FIRST, r.ends_at, r.route_id
         LIMIT $8
        """,
        company_id,
        ended_after,
        now - TAIL,
        begun_after,
        settles_after,
        now,
        also_failed,
        limit,
        TAIL,
        settles_within,
    )
    return [Due(*row) for row in rows]


class SealedSums(NamedTuple):
    """The sums of one route's report, and what they may be grouped by."""

    route_id: UUID
    driver_id: UUID
    vehicle_id: UUID | None
    date: date
    since: datetime
    apart: datetime | None
    sums_sealed: bytes


async def sums(
    conn: Connection,
    company_id: UUID,
    *,
    first: date,
    last: date,
    ended_after: datetime,
    limit: int,
) -> list[SealedSums]:
    """Return the sealed sums of the routes of these days, both included."""
    rows = await conn.fetch(
        """
        SELECT p.route_id, p.driver_id, r.vehicle_id, r.date, p.since,
               (SELECT max(a.before) FROM set_apart a
                 WHERE a.company_id = $1 AND a.driver_id = p.driver_id) AS apart,
               p.sums_sealed
          FROM route r
          JOIN plan_fact_report p ON p.company_id = $1 AND p.route_id = r.route_id
         WHERE r.company_id = $1 AND r.date BETWEEN $2 AND $3 AND r.ends_at >= $4
           AND p.driver_id = r.driver_id AND p.sums_sealed IS NOT NULL
         ORDER BY r.date, r.route_id
         LIMIT $5
        """,
        company_id,
        first,
        last,
        ended_after,
        limit,
    )
    return [SealedSums(*row) for row in rows]


async def count_routes(conn: Connection, company_id: UUID, *, first: date, last: date) -> int:
    """Return how many routes of these days were given to a driver, and not cancelled before."""
    count: int = await conn.fetchval(
        """
        SELECT count(*) FROM route
         WHERE company_id = $1 AND date BETWEEN $2 AND $3 AND driver_id IS NOT NULL
           AND (cancelled_at > starts_at) IS NOT FALSE
        """,
        company_id,
        first,
        last,
    )
    return count


async def count_old(
    conn: Connection, company_id: UUID, *, ended_before: datetime | None, at: datetime
) -> tuple[int, date | None]:
    """Return how many reports :func:`delete_old` would delete, and the first day."""
    row = await conn.fetchrow(
        """
        SELECT count(*) AS reports, min(r.date) AS oldest
          FROM plan_fact_report p
          JOIN route r ON r.company_id = $1 AND r.route_id = p.route_id
         WHERE p.company_id = $1 AND ($2::timestamptz IS NULL OR r.ends_at < $2)
           AND NOT EXISTS (SELECT FROM hold h
                            WHERE h.company_id = $1 AND h.driver_id = p.driver_id
                              AND h.category = 'report' AND h.state = 'placed' AND h.until > $3)
        """,
        company_id,
        ended_before,
        at,
    )
    return (0, None) if row is None else (row["reports"], row["oldest"])


async def delete_old(
    conn: Connection,
    company_id: UUID,
    *,
    ended_before: datetime | None,
    at: datetime,
    limit: int,
) -> int:
    """Delete reports of routes whose plan ended before that (None: all), and of nobody held."""
    rows = await conn.fetch(
        """
        DELETE FROM plan_fact_report d
         USING (SELECT p.route_id
                  FROM plan_fact_report p
                  JOIN route r ON r.company_id = $1 AND r.route_id = p.route_id
                 WHERE p.company_id = $1
                   AND ($2::timestamptz IS NULL OR r.ends_at < $2)
                   AND NOT EXISTS (SELECT FROM hold h
                    WHERE h.company_id = $1 AND h.driver_id = p.driver_id
                      AND h.category = 'report' AND h.state = 'placed' AND h.until > $4)
                 LIMIT $3) AS old
         WHERE d.company_id = $1 AND d.route_id = old.route_id
        RETURNING d.route_id
        """,
        company_id,
        ended_before,
        limit,
        at,
    )
    return len(rows)


async def delete_driver(conn: Connection, company_id: UUID, driver_id: UUID) -> int:
    rows = await conn.fetch(
        """
        DELETE FROM plan_fact_report WHERE company_id = $1 AND driver_id = $2
        RETURNING route_id
        """,
        company_id,
        driver_id,
    )
    return len(rows)


class Fresh(NamedTuple):
    driver_id: UUID
    chunk: SealedChunk


async def fresh(
    conn: Connection,
    company_id: UUID,
    driver_ids: Sequence[UUID],
    since: Sequence[datetime],
    *,
    stored_after: datetime,
    until: datetime,
) -> list[Fresh]:
    """Return rows that were stored after that time, of positions from each driver's since on.

    What is merged is as old as the newest of its parts, so it does not come again.
    """
    rows = await conn.fetch(
        """
        SELECT d.driver_id, stored.upload_id, stored.key_id, stored.blob
          FROM unnest($2::uuid[], $3::timestamptz[]) AS d (driver_id, since)
         CROSS JOIN LATERAL (
                SELECT c.upload_id, c.key_id, c.blob, c.last_at
                  FROM chunk c
                 WHERE c.company_id = $1 AND c.driver_id = d.driver_id
                   AND c.last_at >= d.since AND c.last_at < $6 AND c.first_at < $5
                   AND c.stored_at > $4) AS stored
         ORDER BY stored.last_at
        """,
        company_id,
        driver_ids,
        since,
        stored_after,
        until,
        end_of_month(until),
    )
    return [Fresh(driver_id, SealedChunk(*chunk)) for driver_id, *chunk in rows]


async def set_apart_before(
    conn: Connection, company_id: UUID, driver_ids: Sequence[UUID]
) -> dict[UUID, datetime]:
    """Return by driver the time before which the company sees nothing of them any more."""
    rows = await conn.fetch(
        """
        SELECT driver_id, max(before) AS before FROM set_apart
         WHERE company_id = $1 AND driver_id = ANY($2::uuid[])
         GROUP BY driver_id
        """,
        company_id,
        driver_ids,
    )
    return {row["driver_id"]: row["before"] for row in rows}
