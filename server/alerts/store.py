"""Alerts, limits and wishes in PostgreSQL. Each function is one statement."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from server.alerts.model import AlertHead, AlertKind, Limits, SealedAlert
from server.kit.db import Connection, Record


async def limits(conn: Connection, company_id: UUID) -> Limits | None:
    row = await conn.fetchrow(
        """
        SELECT late_min, off_route_m, off_route_min, no_signal_min, long_stop_min
          FROM alert_limit
         WHERE company_id = $1
        """,
        company_id,
    )
    return None if row is None else Limits(**dict(row))


async def set_limits(conn: Connection, company_id: UUID, new: Limits, *, now: datetime) -> None:
    await conn.execute(
        """
        INSERT INTO alert_limit (company_id, late_min, off_route_m, off_route_min, no_signal_min,
                                 long_stop_min, changed_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (company_id) DO UPDATE
           SET late_min = $2, off_route_m = $3, off_route_min = $4, no_signal_min = $5,
               long_stop_min = $6, changed_at = $7
        """,
        company_id,
        new.late_min,
        new.off_route_m,
        new.off_route_min,
        new.no_signal_min,
        new.long_stop_min,
        now,
    )


async def wishes(
    conn: Connection, company_id: UUID, member_ids: Sequence[UUID]
) -> dict[UUID, dict[AlertKind, bool]]:
    """Return by member what they chose."""
    rows = await conn.fetch(
        """
        SELECT member_id, kind, wanted FROM alert_wish
         WHERE company_id = $1 AND member_id = ANY($2::uuid[])
        """,
        company_id,
        member_ids,
    )
    found: dict[UUID, dict[AlertKind, bool]] = {}
    for row in rows:
        found.setdefault(row["member_id"], {})[AlertKind(row["kind"])] = row["wanted"]
    return found


async def set_wishes(
    conn: Connection,
    company_id: UUID,
    member_id: UUID,
    new: Mapping[AlertKind, bool],
    *,
    now: datetime,
) -> None:
    await conn.execute(
        """
        INSERT INTO alert_wish (company_id, member_id, kind, wanted, changed_at)
        SELECT $1::uuid, $2::uuid, w.kind, w.wanted, $5::timestamptz
          FROM unnest($3::text[], $4::boolean[]) AS w (kind, wanted)
        ON CONFLICT (company_id, member_id, kind) DO UPDATE
           SET wanted = excluded.wanted, changed_at = excluded.changed_at
        """,
        company_id,
        member_id,
        [kind.value for kind in new],
        list(new.values()),
        now,
    )


async def insert(conn: Connection, company_id: UUID, new: SealedAlert) -> bool:
    """Raise an alert as the next of its kind on its route.

    False where one is open, where the last one was cleared at that time or later (whoever raises
    knows less than whoever cleared it), or where somebody else raises it at this moment.
    """
    head = new.head
    raised = await conn.fetchval(
        """
        INSERT INTO alert (company_id, alert_id, route_id, driver_id, kind, occurrence, raised_at,
                           particulars_sealed)
        SELECT $1::uuid, $2::uuid, $3::uuid, $4::uuid, $5::text, coalesce(max(a.occurrence), 0) + 1,
               $6::timestamptz, $7::bytea
          FROM alert a
         WHERE a.company_id = $1 AND a.route_id = $3 AND a.kind = $5
        HAVING coalesce(bool_and(a.cleared_at IS NOT NULL AND a.cleared_at < $6), true)
        ON CONFLICT DO NOTHING
        RETURNING true
        """,
        company_id,
        head.alert_id,
        head.route_id,
        head.driver_id,
        head.kind.value,
        head.raised_at,
        new.particulars_sealed,
    )
    return bool(raised)


async def open_alerts(conn: Connection, company_id: UUID) -> list[AlertHead]:
    rows = await conn.fetch(
        """
        SELECT alert_id, kind, route_id, driver_id, occurrence, raised_at, calm_since, cleared_at,
               acknowledged_at, acknowledged_by
          FROM alert
         WHERE company_id = $1 AND cleared_at IS NULL
        """,
        company_id,
    )
    return [_head(row) for row in rows]


async def begin_calm(
    conn: Connection, company_id: UUID, alert_ids: Sequence[UUID], *, now: datetime
) -> None:
    await conn.execute(
        """
        UPDATE alert SET calm_since = $3
         WHERE company_id = $1 AND alert_id = ANY($2::uuid[])
           AND cleared_at IS NULL AND calm_since IS NULL
        """,
        company_id,
        alert_ids,
        now,
    )


async def end_calm(
    conn: Connection, company_id: UUID, alert_ids: Sequence[UUID], *, now: datetime
) -> None:
    await conn.execute(
        """
        UPDATE alert SET calm_since = NULL
         WHERE company_id = $1 AND alert_id = ANY($2::uuid[])
           AND cleared_at IS NULL AND calm_since <= $3
        """,
        company_id,
        alert_ids,
        now,
    )


async def clear(
    conn: Connection,
    company_id: UUID,
    alert_ids: Sequence[UUID],
    *,
    calm_since: datetime | None,
    now: datetime,
) -> int:
    """Clear those that are open; with ``calm_since`` only what is calm at least since then.

    Asked of the row as it is now: somebody who knows more may have ended the calm meanwhile.
    """
    rows = await conn.fetch(
        """
        UPDATE alert SET cleared_at = $4
         WHERE company_id = $1 AND alert_id = ANY($2::uuid[])
           AND cleared_at IS NULL AND raised_at <= $4
           AND ($3::timestamptz IS NULL OR calm_since <= $3)
        RETURNING alert_id
        """,
        company_id,
        alert_ids,
        calm_since,
        now,
    )
    return len(rows)


async def page(
    conn: Connection,
    company_id: UUID,
    shared: Mapping[UUID, datetime],
    *,
    is_open: bool | None,
    route_id: UUID | None,
    driver_id: UUID | None,
    before: UUID | None,
    limit: int,
) -> list[SealedAlert]:
    """Return alerts about these drivers, raised since their time, newest first."""
    rows = await conn.fetch(
        """
        SELECT a.alert_id, a.kind, a.route_id, a.driver_id, a.occurrence, a.raised_at,
               a.calm_since, a.cleared_at, a.acknowledged_at, a.acknowledged_by,
               a.particulars_sealed
          FROM alert a
          JOIN unnest($2::uuid[], $3::timestamptz[]) AS d (driver_id, since)
            ON d.driver_id = a.driver_id AND a.raised_at >= d.since
         WHERE a.company_id = $1
           AND ($4::boolean IS NULL OR (a.cleared_at IS NULL) = $4)
           AND ($5::uuid IS NULL OR a.route_id = $5)
           AND ($6::uuid IS NULL OR a.driver_id = $6)
           AND ($7::uuid IS NULL OR a.alert_id < $7)
         ORDER BY a.alert_id DESC
         LIMIT $8
        """,
        company_id,
        list(shared),
        list(shared.values()),
        is_open,
        route_id,
        driver_id,
        before,
        limit,
    )
    return [
        SealedAlert(head=_head(row), particulars_sealed=row["particulars_sealed"]) for row in rows
    ]


async def get(conn: Connection, company_id: UUID, alert_id: UUID) -> AlertHead | None:
    row = await conn.fetchrow(
        """
        SELECT alert_id, kind, route_id, driver_id, occurrence, raised_at, calm_since, cleared_at,
               acknowledged_at, acknowledged_by
          FROM alert
         WHERE company_id = $1 AND alert_id = $2
        """,
        company_id,
        alert_id,
    )
    return None if row is None else _head(row)


async def acknowledge(
    conn: Connection, company_id: UUID, alert_id: UUID, member_id: UUID, *, now: datetime
) -> bool:
    """Note who saw to it first; False where somebody did already."""
    acknowledged = await conn.fetchval(
        """
        UPDATE alert SET acknowledged_at = $4, acknowledged_by = $3
         WHERE company_id = $1 AND alert_id = $2 AND acknowledged_at IS NULL
        RETURNING true
        """,
        company_id,
        alert_id,
        member_id,
        now,
    )
    return bool(acknowledged)


async def delete(conn: Connection, company_id: UUID, driver_id: UUID) -> int:
    rows = await conn.fetch(
        "DELETE FROM alert WHERE company_id = $1 AND driver_id = $2 RETURNING true",
        company_id,
        driver_id,
    )
    return len(rows)


async def delete_wishes(conn: Connection, company_id: UUID, member_id: UUID) -> int:
    rows = await conn.fetch(
        "DELETE FROM alert_wish WHERE company_id = $1 AND member_id = $2 RETURNING true",
        company_id,
        member_id,
    )
    return len(rows)


async def count_before(
    conn: Connection, company_id: UUID, before: datetime, *, held: Collection[UUID]
) -> tuple[int, datetime | None]:
    """Return how many alerts were raised before, but of the held, and when the first was."""
    row = await conn.fetchrow(
        """
        SELECT count(*) AS alerts, min(raised_at) AS oldest_at FROM alert
         WHERE company_id = $1 AND raised_at < $2 AND driver_id <> ALL($3::uuid[])
        """,
        company_id,
        before,
        list(held),
    )
    return (0, None) if row is None else (row["alerts"], row["oldest_at"])


async def delete_before(
    conn: Connection, company_id: UUID, before: datetime, *, held: Collection[UUID], limit: int
) -> int:
    """Delete what is older than that, at most so much; nothing of the held."""
    rows = await conn.fetch(
        """
        DELETE FROM alert
         WHERE company_id = $1
           AND alert_id IN (SELECT alert_id FROM alert
                             WHERE company_id = $1 AND raised_at < $2
                               AND driver_id <> ALL($4::uuid[])
                             ORDER BY raised_at LIMIT $3)
        RETURNING true
        """,
        company_id,
        before,
        limit,
        list(held),
    )
    return len(rows)


def _head(row: Record) -> AlertHead:
    return AlertHead(
        alert_id=row["alert_id"],
        kind=AlertKind(row["kind"]),
        route_id=row["route_id"],
        driver_id=row["driver_id"],
        occurrence=row["occurrence"],
        raised_at=row["raised_at"],
        calm_since=row["calm_since"],
        cleared_at=row["cleared_at"],
        acknowledged_at=row["acknowledged_at"],
        acknowledged_by=row["acknowledged_by"],
    )
