"""Where members want marketing, in PostgreSQL. Each function is one statement.

Also the lock on a member's messages that rest on a wish or a consent: an opt-out waits for those on
their way, and no further one begins meanwhile.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from uuid import UUID

from server.kit.db import Connection
from server.notice_kinds.kinds import Channel


async def preferences(
    conn: Connection, company_id: UUID, member_id: UUID
) -> Mapping[Channel, tuple[bool, datetime]]:
    rows = await conn.fetch(
        """
        SELECT channel, marketing, changed_at FROM notice_preference
         WHERE company_id = $1 AND member_id = $2
        """,
        company_id,
        member_id,
    )
    return {Channel(row["channel"]): (row["marketing"], row["changed_at"]) for row in rows}


async def start_marketing(
    conn: Connection,
    company_id: UUID,
    member_id: UUID,
    channels: Collection[Channel],
    now: datetime,
) -> None:
    """Switch marketing on where nothing was chosen yet."""
    await conn.execute(
        """
        INSERT INTO notice_preference (company_id, member_id, channel, marketing, changed_at)
        SELECT $1, $2, unnest($3::text[]), true, $4
        ON CONFLICT (company_id, member_id, channel) DO NOTHING
        """,
        company_id,
        member_id,
        [channel.value for channel in channels],
        now,
    )


async def set_marketing(
    conn: Connection,
    company_id: UUID,
    member_id: UUID,
    channel: Channel,
    *,
    wanted: bool,
    now: datetime,
) -> None:
    await conn.execute(
        """
        INSERT INTO notice_preference (company_id, member_id, channel, marketing, changed_at)
        VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (company_id, member_id, channel) DO UPDATE
           SET marketing = excluded.marketing, changed_at = excluded.changed_at
        """,
        company_id,
        member_id,
        channel.value,
        wanted,
        now,
    )


async def change_marketing(
    conn: Connection,
    company_id: UUID,
    member_id: UUID,
    channel: Channel,
    *,
    wanted: bool,
    now: datetime,
) -> bool:
    """Change what is chosen; tell whether there is anything to choose."""
    found = await conn.fetchval(
        """
        UPDATE notice_preference SET marketing = $4, changed_at = $5
         WHERE company_id = $1 AND member_id = $2 AND channel = $3
        RETURNING true
        """,
        company_id,
        member_id,
        channel.value,
        wanted,
        now,
    )
    return bool(found)


async def members_who_want(conn: Connection, company_id: UUID) -> list[UUID]:
    """Return who asked for marketing on some channel."""
    rows = await conn.fetch(
        """
        SELECT DISTINCT member_id FROM notice_preference
         WHERE company_id = $1 AND marketing ORDER BY member_id
        """,
        company_id,
    )
    return [row["member_id"] for row in rows]


async def delete_preferences(conn: Connection, company_id: UUID, member_id: UUID) -> int:
    count: int = await conn.fetchval(
        """
        WITH p AS (DELETE FROM notice_preference
                    WHERE company_id = $1 AND member_id = $2 RETURNING 1)
        SELECT count(*) FROM p
        """,
        company_id,
        member_id,
    )
    return count


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
