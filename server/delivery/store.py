"""What waits to go out, and where the company's messages stand. Each function is one statement.

Reads only: what becomes of a delivery is written down by ``notices``, which it belongs to.
"""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from server.kit.db import Connection, Record
from server.notice_kinds.kinds import Channel, NoticeKind
from server.notices.model import Delivery, DeliveryEvent, DeliveryState, Event, Reason


async def unprepared(
    conn: Connection, company_id: UUID, *, member_id: UUID | None = None, limit: int
) -> list[UUID]:
    """Return notices (of one reader, or all) whose text is not written yet, oldest first."""
    rows = await conn.fetch(
        """
        SELECT notice_id FROM notice
         WHERE company_id = $1 AND prepared_at IS NULL
           AND ($3::uuid IS NULL OR member_id = $3)
         ORDER BY notice_id LIMIT $2
        """,
        company_id,
        limit,
        member_id,
    )
    return [row["notice_id"] for row in rows]


async def due(
    conn: Connection,
    company_id: UUID,
    now: datetime,
    *,
    notice_id: UUID | None = None,
    member_id: UUID | None = None,
    limit: int,
) -> list[tuple[UUID, Channel]]:
    """Return the deliveries (of one notice, of one reader, or of all) whose time has come."""
    rows = await conn.fetch(
        """
        SELECT notice_id, channel FROM notice_delivery
         WHERE company_id = $1 AND state = 'queued' AND next_attempt_at <= $2
           AND ($3::uuid IS NULL OR notice_id = $3)
           AND ($5::uuid IS NULL OR member_id = $5)
         ORDER BY next_attempt_at, notice_id, channel LIMIT $4
        """,
        company_id,
        now,
        notice_id,
        limit,
        member_id,
    )
    return [(row["notice_id"], Channel(row["channel"])) for row in rows]


async def waiting(
    conn: Connection, company_id: UUID, member_id: UUID, kinds: Collection[NoticeKind]
) -> int:
    """Return how many messages of these kinds to a reader are not written or not handed over."""
    count: int = await conn.fetchval(
        """
        SELECT count(*)
          FROM notice n
          LEFT JOIN notice_delivery d ON d.company_id = n.company_id AND d.notice_id = n.notice_id
                                     AND d.state = 'queued'
         WHERE n.company_id = $1 AND n.member_id = $2 AND n.kind = ANY($3::text[])
           AND (n.prepared_at IS NULL OR d.notice_id IS NOT NULL)
        """,
        company_id,
        member_id,
        [kind.value for kind in kinds],
    )
    return count


async def lock_due(
    conn: Connection, company_id: UUID, notice_id: UUID, channel: Channel, now: datetime
) -> Delivery | None:
    """Return the delivery, locked; None if it is not due, or somebody is at it."""
    row = await conn.fetchrow(
        """
        SELECT d.notice_id, d.channel, d.member_id, n.kind, d.state, d.attempts,
               d.next_attempt_at, n.queued_at, d.changed_at
          FROM notice_delivery d
          JOIN notice n ON n.company_id = d.company_id AND n.notice_id = d.notice_id
         WHERE d.company_id = $1 AND d.notice_id = $2 AND d.channel = $3
           AND d.state = 'queued' AND d.next_attempt_at <= $4
           FOR KEY SHARE OF n SKIP LOCKED
           FOR UPDATE OF d SKIP LOCKED
        """,
        company_id,
        notice_id,
        channel.value,
        now,
    )
    return None if row is None else _delivery(row)


async def deliveries(
    conn: Connection,
    company_id: UUID,
    *,
    member_id: UUID | None,
    kind: NoticeKind | None,
    state: DeliveryState | None,
    but: Collection[NoticeKind],
    before: UUID | None,
    limit: int,
) -> list[Delivery]:
    """Return the deliveries of the newest ``limit`` notices that have a fitting one.

    Those of the kinds ``but`` are left out.
    """
    rows = await conn.fetch(
        """
        WITH page AS (
            SELECT n.notice_id, n.kind, n.queued_at FROM notice n
             WHERE n.company_id = $1
               AND ($2::uuid IS NULL OR n.member_id = $2)
               AND ($3::text IS NULL OR n.kind = $3)
               AND n.kind <> ALL($7::text[])
               AND ($5::uuid IS NULL OR n.notice_id < $5)
               AND EXISTS (SELECT FROM notice_delivery d
                            WHERE d.company_id = $1 AND d.notice_id = n.notice_id
                              AND ($4::text IS NULL OR d.state = $4))
             ORDER BY n.notice_id DESC LIMIT $6
        )
        SELECT d.notice_id, d.channel, d.member_id, p.kind, d.state, d.attempts,
               d.next_attempt_at, p.queued_at, d.changed_at
          FROM page p
          JOIN notice_delivery d ON d.company_id = $1 AND d.notice_id = p.notice_id
         WHERE $4::text IS NULL OR d.state = $4
         ORDER BY d.notice_id DESC, d.channel
        """,
        company_id,
        member_id,
        None if kind is None else kind.value,
        None if state is None else state.value,
        before,
        limit,
        [one.value for one in but],
    )
    return [_delivery(row) for row in rows]


async def events(
    conn: Connection, company_id: UUID, notice_id: UUID, *, but: Collection[NoticeKind]
) -> list[DeliveryEvent]:
    """Return what happened to a notice's deliveries; nothing, if it is of the kinds ``but``."""
    rows = await conn.fetch(
        """
        SELECT e.channel, e.event, e.reason, e.at
          FROM notice_event e
          JOIN notice n ON n.company_id = e.company_id AND n.notice_id = e.notice_id
         WHERE e.company_id = $1 AND e.notice_id = $2 AND n.kind <> ALL($3::text[])
         ORDER BY e.at, e.channel, e.number
        """,
        company_id,
        notice_id,
        [one.value for one in but],
    )
    return [_event(row) for row in rows]


async def events_of_member(
    conn: Connection, company_id: UUID, member_id: UUID
) -> dict[UUID, list[DeliveryEvent]]:
    rows = await conn.fetch(
        """
        SELECT notice_id, channel, event, reason, at FROM notice_event
         WHERE company_id = $1 AND member_id = $2
         ORDER BY notice_id, at, channel, number
        """,
        company_id,
        member_id,
    )
    found: dict[UUID, list[DeliveryEvent]] = {}
    for row in rows:
        found.setdefault(row["notice_id"], []).append(_event(row))
    return found


def _delivery(row: Record) -> Delivery:
    return Delivery(
        **{
            **row,
            "channel": Channel(row["channel"]),
            "kind": NoticeKind(row["kind"]),
            "state": DeliveryState(row["state"]),
        }
    )


def _event(row: Record) -> DeliveryEvent:
    return DeliveryEvent(
        channel=Channel(row["channel"]),
        event=Event(row["event"]),
        reason=None if row["reason"] is None else Reason(row["reason"]),
        at=row["at"],
    )
