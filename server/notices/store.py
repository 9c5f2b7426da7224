"""Notices, their deliveries and the evidence, in PostgreSQL. Each function is one statement.

Whoever works on a delivery holds its notice (FOR KEY SHARE) before the delivery itself, as erasing
holds the notices before it deletes: nobody waits for somebody who waits for them.
"""

import json
from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from server.kit.db import Connection, Record
from server.notice_kinds.kinds import Channel, NoticeKind
from server.notices.model import DeliveryEvent, DeliveryState, Elsewhere, Notice, NoticeText


async def insert_notice(
    conn: Connection, company_id: UUID, notice: Notice, *, dedupe: str | None
) -> bool:
    """Add the notice; tell whether it is new: False if one with this ``dedupe`` is there."""
    found = await conn.fetchval(
        """
        INSERT INTO notice (company_id, notice_id, member_id, kind, dedupe, facts, queued_at,
                            elsewhere, address_sealed)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
        ON CONFLICT (company_id, member_id, kind, dedupe) DO NOTHING
        RETURNING true
        """,
        company_id,
        notice.notice_id,
        notice.member_id,
        notice.kind.value,
        dedupe,
        json.dumps(dict(notice.facts)),
        notice.queued_at,
        None if notice.elsewhere is None else notice.elsewhere.channel.value,
        None if notice.elsewhere is None else notice.elsewhere.address_sealed,
    )
    return bool(found)


async def notice_of_dedupe(
    conn: Connection, company_id: UUID, member_id: UUID, kind: NoticeKind, dedupe: str | None
) -> UUID | None:
    found: UUID | None = await conn.fetchval(
        """
        SELECT notice_id FROM notice
         WHERE company_id = $1 AND member_id = $2 AND kind = $3 AND dedupe = $4
        """,
        company_id,
        member_id,
        kind.value,
        dedupe,
    )
    return found


async def members_told(
    conn: Connection, company_id: UUID, member_ids: Collection[UUID], kind: NoticeKind, dedupe: str
) -> list[UUID]:
    rows = await conn.fetch(
        """
        SELECT member_id FROM notice
         WHERE company_id = $1 AND member_id = ANY($2::uuid[]) AND kind = $3 AND dedupe = $4
        """,
        company_id,
        list(member_ids),
        kind.value,
        dedupe,
    )
    return [row["member_id"] for row in rows]


async def insert_persons(
    conn: Connection, company_id: UUID, notice_id: UUID, member_ids: Collection[UUID]
) -> None:
    await conn.execute(
        """
        INSERT INTO notice_person (company_id, notice_id, member_id)
        SELECT $1, $2, unnest($3::uuid[])
        """,
        company_id,
        notice_id,
        list(member_ids),
    )


async def persons(
    conn: Connection, company_id: UUID, notice_ids: Collection[UUID]
) -> list[tuple[UUID, UUID]]:
    """Return whom these notices name besides their readers: each notice with each of them."""
    rows = await conn.fetch(
        """
        SELECT notice_id, member_id FROM notice_person
         WHERE company_id = $1 AND notice_id = ANY($2::uuid[])
        """,
        company_id,
        list(notice_ids),
    )
    return [(row["notice_id"], row["member_id"]) for row in rows]


async def lock_unprepared(conn: Connection, company_id: UUID, notice_id: UUID) -> Notice | None:
    """Return the notice, locked; None if its text is written, or somebody is writing it."""
    row = await conn.fetchrow(
        """
        SELECT notice_id, member_id, kind, facts, queued_at, language, text_sealed,
               NULL::timestamptz AS seen_at, elsewhere, address_sealed
          FROM notice
         WHERE company_id = $1 AND notice_id = $2 AND prepared_at IS NULL
           FOR UPDATE SKIP LOCKED
        """,
        company_id,
        notice_id,
    )
    return None if row is None else _notice(row)


async def lock_all_unprepared(
    conn: Connection, company_id: UUID, notice_ids: Collection[UUID]
) -> list[Notice]:
    """Return those of the notices that are not written yet, locked; waits for who writes one."""
    rows = await conn.fetch(
        """
        SELECT notice_id, member_id, kind, facts, queued_at, language, text_sealed,
               NULL::timestamptz AS seen_at, elsewhere, address_sealed
          FROM notice
         WHERE company_id = $1 AND notice_id = ANY($2::uuid[]) AND prepared_at IS NULL
         ORDER BY notice_id
           FOR UPDATE
        """,
        company_id,
        list(notice_ids),
    )
    return [_notice(row) for row in rows]


async def set_text(
    conn: Connection,
    company_id: UUID,
    notice_id: UUID,
    text: NoticeText,
    sealed: bytes,
    now: datetime,
) -> None:
    """Keep the sealed text; what it was written from goes."""
    await conn.execute(
        """
        UPDATE notice SET facts = '{}', language = $3, text_sealed = $4, prepared_at = $5
         WHERE company_id = $1 AND notice_id = $2
        """,
        company_id,
        notice_id,
        text.language,
        sealed,
        now,
    )


async def hold_notice(
    conn: Connection, company_id: UUID, member_id: UUID, notice_id: UUID
) -> Notice | None:
    """Return a notice of this reader, which stays there until the transaction ends."""
    row = await conn.fetchrow(
        """
        SELECT notice_id, member_id, kind, facts, queued_at, language, text_sealed,
               NULL::timestamptz AS seen_at, elsewhere, address_sealed
          FROM notice
         WHERE company_id = $1 AND member_id = $2 AND notice_id = $3
           FOR KEY SHARE
        """,
        company_id,
        member_id,
        notice_id,
    )
    return None if row is None else _notice(row)


async def in_app(
    conn: Connection,
    company_id: UUID,
    member_id: UUID,
    *,
    unseen: bool,
    before: UUID | None,
    limit: int,
) -> list[Notice]:
    """Return what the reader finds in the app, newest first."""
    rows = await conn.fetch(
        """
        SELECT n.notice_id, n.member_id, n.kind, n.facts, n.queued_at, n.language, n.text_sealed,
               CASE WHEN d.state = 'seen' THEN d.changed_at END AS seen_at
          FROM notice n
          JOIN notice_delivery d ON d.company_id = n.company_id AND d.notice_id = n.notice_id
                                AND d.channel = 'in_app'
         WHERE n.company_id = $1 AND n.member_id = $2
           AND ($3::uuid IS NULL OR n.notice_id < $3)
           AND (NOT $4 OR d.state <> 'seen')
         ORDER BY n.notice_id DESC LIMIT $5
        """,
        company_id,
        member_id,
        before,
        unseen,
        limit,
    )
    return [_notice(row) for row in rows]


async def every_notice(conn: Connection, company_id: UUID, member_id: UUID) -> list[Notice]:
    """Return all of a reader's notices, on whatever channel, oldest first."""
    rows = await conn.fetch(
        """
        SELECT n.notice_id, n.member_id, n.kind, n.facts, n.queued_at, n.language, n.text_sealed,
               CASE WHEN d.state = 'seen' THEN d.changed_at END AS seen_at
          FROM notice n
          LEFT JOIN notice_delivery d ON d.company_id = n.company_id AND d.notice_id = n.notice_id
                                     AND d.channel = 'in_app'
         WHERE n.company_id = $1 AND n.member_id = $2
         ORDER BY n.notice_id
        """,
        company_id,
        member_id,
    )
    return [_notice(row) for row in rows]


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


async def lock_notices_of_person(conn: Connection, company_id: UUID, member_id: UUID) -> list[UUID]:
    """Return the notices that the member reads or is named in, locked."""
    rows = await conn.fetch(
        """
        SELECT notice_id FROM notice
         WHERE company_id = $1
           AND (member_id = $2
                OR notice_id IN (SELECT notice_id FROM notice_person
                                  WHERE company_id = $1 AND member_id = $2))
         ORDER BY notice_id
           FOR UPDATE
        """,
        company_id,
        member_id,
    )
    return [row["notice_id"] for row in rows]


async def delete_notices(conn: Connection, company_id: UUID, notice_ids: Collection[UUID]) -> int:
    """Delete the notices with all that belongs to them; return how many rows went.

    Foreign keys are looked at when the statement ends, so one statement may take all of it.
    """
    count: int = await conn.fetchval(
        """
        WITH d AS (DELETE FROM notice_delivery
                    WHERE company_id = $1 AND notice_id = ANY($2::uuid[]) RETURNING 1),
             e AS (DELETE FROM notice_event
                    WHERE company_id = $1 AND notice_id = ANY($2::uuid[]) RETURNING 1),
             p AS (DELETE FROM notice_person
                    WHERE company_id = $1 AND notice_id = ANY($2::uuid[]) RETURNING 1),
             n AS (DELETE FROM notice
                    WHERE company_id = $1 AND notice_id = ANY($2::uuid[]) RETURNING 1)
        SELECT (SELECT count(*) FROM d) + (SELECT count(*) FROM e) + (SELECT count(*) FROM p)
             + (SELECT count(*) FROM n)
        """,
        company_id,
        list(notice_ids),
    )
    return count


def _notice(row: Record) -> Notice:
    columns = {**row, "kind": NoticeKind(row["kind"]), "facts": json.loads(row["facts"])}
    channel, address = columns.pop("elsewhere", None), columns.pop("address_sealed", None)
    if channel is None:
        return Notice(**columns)
    return Notice(**columns, elsewhere=Elsewhere(channel=Channel(channel), address_sealed=address))
