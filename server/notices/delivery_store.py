"""Deliveries and their evidence in PostgreSQL. Each function is one statement.

Whoever works on a delivery holds its notice (FOR KEY SHARE) before the delivery itself, as erasing
holds the notices before it deletes: nobody waits for somebody who waits for them.
"""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from server.kit.db import Connection, Record
from server.notices.kinds import Channel, NoticeKind
from server.notices.model import Delivery, DeliveryEvent, DeliveryState, Event, Reason


async def insert_delivery(
    conn: Connection,
    company_id: UUID,
    notice_id: UUID,
    member_id: UUID,
    channel: Channel,
    state: DeliveryState,
    *,
    next_attempt_at: datetime | None,
    now: datetime,
) -> None:
    await conn.execute(
        """
        INSERT INTO notice_delivery (company_id, notice_id, channel, member_id, state,
                                     next_attempt_at, changed_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        """,
        company_id,
        notice_id,
        channel.value,
        member_id,
        state.value,
        next_attempt_at,
        now,
    )


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


async def hold_on_its_way(conn: Connection, company_id: UUID, member_id: UUID) -> bool:
    """Say that a message to the member is on its way until the transaction ends.

    False while somebody waits for those on their way: a further one would overtake them.
    """
    held: bool = await conn.fetchval(
        "SELECT pg_try_advisory_xact_lock_shared(hashtextextended($1, 7242004))",
        f"{company_id} {member_id}",
    )
    return held


async def pass_on_their_way(
    conn: Connection, company_id: UUID, member_id: UUID, *, lock_ms_max: int
) -> None:
    """Wait for every message to the member that is on its way.

    Raises
    ------
    LockTimeout
    """
    # Milliseconds of our own, no caller's text: SET takes no parameters.
    await conn.execute(f"SET LOCAL lock_timeout = '{int(lock_ms_max)}ms'")
    await conn.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended($1, 7242004))", f"{company_id} {member_id}"
    )


async def move(
    conn: Connection,
    company_id: UUID,
    notice_id: UUID,
    channel: Channel,
    *,
    before: DeliveryState,
    after: DeliveryState,
    tried: bool,
    next_attempt_at: datetime | None,
    now: datetime,
) -> bool:
    """Change where the delivery stands; tell whether it stood at ``before``."""
    found = await conn.fetchval(
        """
        UPDATE notice_delivery
           SET state = $5, attempts = attempts + CASE WHEN $6 THEN 1 ELSE 0 END,
               next_attempt_at = $7, changed_at = $8
         WHERE company_id = $1 AND notice_id = $2 AND channel = $3 AND state = $4
        RETURNING true
        """,
        company_id,
        notice_id,
        channel.value,
        before.value,
        after.value,
        tried,
        next_attempt_at,
        now,
    )
    return bool(found)


async def insert_event(
    conn: Connection,
    company_id: UUID,
    notice_id: UUID,
    member_id: UUID,
    happened: DeliveryEvent,
) -> None:
    """Add to the evidence; the caller holds the delivery's row, so numbers do not meet."""
    await conn.execute(
        """
        INSERT INTO notice_event (company_id, notice_id, channel, number, member_id, event, reason,
                                  at)
        SELECT $1, $2, $3, 1 + count(*), $4, $5, $6, $7
          FROM notice_event WHERE company_id = $1 AND notice_id = $2 AND channel = $3
        """,
        company_id,
        notice_id,
        happened.channel.value,
        member_id,
        happened.event.value,
        happened.reason,
        happened.at,
    )


async def deliveries(
    conn: Connection,
    company_id: UUID,
    *,
    member_id: UUID | None,
    kind: NoticeKind | None,
    state: DeliveryState | None,
    before: UUID | None,
    limit: int,
) -> list[Delivery]:
    """Return the deliveries of the newest ``limit`` notices that have a fitting one."""
    rows = await conn.fetch(
        """
        WITH page AS (
            SELECT n.notice_id, n.kind, n.queued_at FROM notice n
             WHERE n.company_id = $1
               AND ($2::uuid IS NULL OR n.member_id = $2)
               AND ($3::text IS NULL OR n.kind = $3)
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
    )
    return [_delivery(row) for row in rows]


async def events(conn: Connection, company_id: UUID, notice_id: UUID) -> list[DeliveryEvent]:
    rows = await conn.fetch(
        """
        SELECT channel, event, reason, at FROM notice_event
         WHERE company_id = $1 AND notice_id = $2
         ORDER BY at, channel, number
        """,
        company_id,
        notice_id,
    )
    return [
        DeliveryEvent(
            channel=Channel(row["channel"]),
            event=Event(row["event"]),
            reason=None if row["reason"] is None else Reason(row["reason"]),
            at=row["at"],
        )
        for row in rows
    ]


def _delivery(row: Record) -> Delivery:
    return Delivery(
        **{
            **row,
            "channel": Channel(row["channel"]),
            "kind": NoticeKind(row["kind"]),
            "state": DeliveryState(row["state"]),
        }
    )
