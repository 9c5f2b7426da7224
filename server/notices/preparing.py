"""Writing what was queued: once, in the reader's language of that moment, and sealed from then on.

The sender does it, or the reader who looks before it: what somebody was shown is what is kept.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from server.accounts import service as accounts
from server.accounts.model import Profile
from server.credentials.model import MemberMissing
from server.kit.db import Connection
from server.ledger import service as ledger
from server.ledger.model import SYSTEM, Act
from server.notices import delivery_store, sealing, store
from server.notices.kinds import KINDS, Channel, persons_named
from server.notices.model import (
    Delivery,
    DeliveryEvent,
    DeliveryState,
    Event,
    Notice,
    NoticeText,
)
from server.notices.writing import Setting, write
from server.vault.model import SubjectErased
from server.vault.service import Vault


async def prepare(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    notices: Sequence[Notice],
    *,
    ways_out: Collection[Channel],
    now: datetime,
) -> None:
    """Write and seal notices that the caller holds, and begin their deliveries over ``ways_out``.

    What names somebody who is gone, or is for them, goes.
    """
    written = []
    for notice in notices:
        try:
            await _write(conn, vault, company_id, notice, ways_out, now)
        except (MemberMissing, SubjectErased):
            await store.delete_notices(conn, company_id, [notice.notice_id])
        else:
            written.append(notice)
    for notice in written:  # after all else: whoever holds a notice may wait for the ledger's head
        if Channel.IN_APP in KINDS[notice.kind].channels:
            await write_down(conn, company_id, notice, Channel.IN_APP, now)


async def begin_delivery(
    conn: Connection,
    company_id: UUID,
    notice: Notice,
    channel: Channel,
    state: DeliveryState,
    *,
    now: datetime,
) -> None:
    """Begin a delivery, with its first piece of evidence."""
    await delivery_store.insert_delivery(
        conn,
        company_id,
        notice.notice_id,
        notice.member_id,
        channel,
        state,
        next_attempt_at=now if state is DeliveryState.QUEUED else None,
        now=now,
    )
    happened = DeliveryEvent(channel=channel, event=Event(state.value), reason=None, at=now)
    await delivery_store.insert_event(
        conn, company_id, notice.notice_id, notice.member_id, happened
    )


async def write_down(
    conn: Connection, company_id: UUID, told: Notice | Delivery, channel: Channel, now: datetime
) -> None:
    """Add to the ledger that something was handed over."""
    await ledger.append(
        conn,
        company_id,
        Act.NOTICE_SENT,
        actor=SYSTEM,
        subject_id=told.member_id,
        detail={"notice_id": str(told.notice_id)},
        facts={"kind": told.kind.value, "channel": channel.value},
        now=now,
    )


def address(reader: Profile, channel: Channel) -> str | None:
    """Return where a message to the reader goes on a channel; None: nowhere."""
    match channel:
        case Channel.IN_APP:
            return None
        case Channel.EMAIL:
            return reader.email
        case Channel.SMS:
            return reader.phone
        case Channel.PUSH:
            return str(reader.member_id)


async def _write(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    notice: Notice,
    ways_out: Collection[Channel],
    now: datetime,
) -> None:
    reader = await accounts.profile(conn, vault, company_id, notice.member_id)
    text = await _text_of(conn, vault, company_id, notice, reader)
    sealed = await sealing.seal(vault, company_id, notice, text, now=now)
    await store.set_text(conn, company_id, notice.notice_id, text, sealed, now)
    for channel in KINDS[notice.kind].channels:
        if channel in ways_out and address(reader, channel) is not None:
            await begin_delivery(conn, company_id, notice, channel, DeliveryState.QUEUED, now=now)


async def _text_of(
    conn: Connection, vault: Vault, company_id: UUID, notice: Notice, reader: Profile
) -> NoticeText:
    company = await accounts.company(conn, company_id)
    named = persons_named(notice.kind, notice.facts, notice.member_id)
    names = await accounts.names(conn, vault, company_id, named) if named else {}
    names[reader.member_id] = reader.name
    setting = Setting(
        language=reader.locale, company=company.name, time_zone=company.time_zone, names=names
    )
    return write(notice.kind, notice.facts, setting)
