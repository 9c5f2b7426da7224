"""What is known of an account beside its state: why it is blocked, since when, when it was used.

The state itself is changed by `accounts`, as the table says; the gate of a driver is locked first.
"""

from datetime import datetime
from uuid import UUID

from server.kit.db import Connection
from server.standing import store
from server.standing.model import NOTHING_KNOWN, READS_FOR, BlockReason, By, Standing


async def standing(conn: Connection, company_id: UUID, member_id: UUID) -> Standing:
    """Return what is known; of an account of which nothing is, nothing."""
    return await store.standing(conn, company_id, member_id) or NOTHING_KNOWN


async def note_joined(conn: Connection, company_id: UUID, member_id: UUID, now: datetime) -> None:
    """Note that the person accepted an invitation."""
    await store.set_joined(conn, company_id, member_id, now)


async def note_used(conn: Connection, company_id: UUID, member_id: UUID, now: datetime) -> None:
    """Note that the person logged in."""
    await store.set_used(conn, company_id, member_id, now)


async def note_warned(conn: Connection, company_id: UUID, member_id: UUID, now: datetime) -> None:
    """Note that the person was warned: unless they use the account, it is switched off."""
    await store.set_warned(conn, company_id, member_id, now)


async def note_blocked(
    conn: Connection,
    company_id: UUID,
    member_id: UUID,
    reason: BlockReason,
    by: By,
    *,
    order_reference: str | None = None,
    now: datetime,
) -> None:
    """Note why the account is blocked, and by whom: that decides who may lift it."""
    await store.set_acted(
        conn,
        company_id,
        member_id,
        reason,
        by,
        now,
        order_reference=order_reference,
        reads_until=None,
    )


async def note_left(
    conn: Connection, company_id: UUID, member_id: UUID, reason: BlockReason, by: By, now: datetime
) -> datetime:
    """Note that the account is off-boarded; return until when the person reads what is kept."""
    until = now + READS_FOR
    await store.set_acted(
        conn, company_id, member_id, reason, by, now, order_reference=None, reads_until=until
    )
    return until


async def note_lifted(conn: Connection, company_id: UUID, member_id: UUID) -> None:
    """Forget why the account was blocked or off-boarded: it is neither any more."""
    await store.set_acted(
        conn, company_id, member_id, None, None, None, order_reference=None, reads_until=None
    )


async def let_read(conn: Connection, company_id: UUID, member_id: UUID, now: datetime) -> datetime:
    """Let who was off-boarded read for some time more; return until when."""
    until = now + READS_FOR
    await store.set_reads_until(conn, company_id, member_id, until)
    return until


async def end_reading(conn: Connection, company_id: UUID, member_id: UUID) -> None:
    await store.set_reads_until(conn, company_id, member_id, None)


done_reading = store.done_reading


async def erase(conn: Connection, company_id: UUID, member_id: UUID) -> int:
    """Delete what is known of the account; return the number of rows."""
    return await store.delete(conn, company_id, member_id)
