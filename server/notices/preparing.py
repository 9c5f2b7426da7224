"""Writing what was queued: once, in the reader's language of that moment, and sealed from then on.

The sender does it, or the reader who looks before it: what somebody was shown is what is kept. It
is sealed under the keys of its reader and of everybody it names.

What tells how somebody drove is theirs to withdraw: whoever writes, shows or sends a notice asks
:func:`still_shared` at that moment.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final, TypeVar
from uuid import UUID

from server.accounts import service as accounts
from server.accounts.model import Profile
from server.credentials.model import MemberMissing
from server.gate import service as gate
from server.gate.model import Purpose
from server.kit.db import Connection
from server.ledger import service as ledger
from server.ledger.model import SYSTEM, Act
from server.notice_kinds.kinds import Channel, Form
from server.notice_kinds.table import KINDS, OF_TRACKS
from server.notices import store
from server.notices.model import (
    TRANSITIONS,
    Delivery,
    DeliveryEvent,
    DeliveryState,
    Event,
    HeldText,
    Notice,
    NoticeText,
    Reason,
    persons_named,
)
from server.notices.writing import Setting, write
from server.vault import shared
from server.vault.model import Category, SealedText, SubjectErased
from server.vault.service import Vault

Told = TypeVar("Told", Notice, Delivery)

TEXT_SCHEMA: Final = "notice.text"
ADDRESS_SCHEMA: Final = "notice.address"
SECRET_SCHEMA: Final = "notice.secret"  # noqa: S105 - what a seal is bound to


async def still_shared(
    conn: Connection, company_id: UUID, told: Sequence[Told], *, now: datetime
) -> list[Told]:
    """Return what of this may be told now: all but how somebody drove who does not share it.

    What was told before the present consents is hidden for good, as what it rests on is. So it
    does not matter when it is deleted. To be asked after the notices were read: a withdrawal that
    was answered meanwhile counts.
    """
    of_tracks = [one.notice_id for one in told if one.kind in OF_TRACKS]
    if not of_tracks:
        return list(told)
    named: dict[UUID, list[UUID]] = defaultdict(list)
    for notice_id, member_id in await store.persons(conn, company_id, of_tracks):
        named[notice_id].append(member_id)
    drivers = list({one for some in named.values() for one in some})
    since = {
        one.driver_id: one.since(Purpose.PLAN_FACT, now)
        for one in await gate.read_some(conn, company_id, drivers)
    }

    def is_shared(one: Told) -> bool:
        starts = [since.get(driver_id) for driver_id in named[one.notice_id]]
        # What names nobody was deleted since it was read.
        return bool(starts) and all(at is not None and at <= one.queued_at for at in starts)

    return [one for one in told if one.kind not in OF_TRACKS or is_shared(one)]


async def prepare_one(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    notice_id: UUID,
    *,
    ways_out: Collection[Channel],
    now: datetime,
) -> None:
    """Prepare a notice, unless it is written or somebody is writing it.

    What is not shared by now goes: nobody was shown it, and unwritten it would wait for ever.
    """
    notice = await store.lock_unprepared(conn, company_id, notice_id)
    if notice is None:
        return
    if await still_shared(conn, company_id, [notice], now=now):
        await prepare(conn, vault, company_id, [notice], ways_out=ways_out, now=now)
    else:
        await store.delete_notices(conn, company_id, [notice_id])


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

    They are still shared. What names somebody who is gone, or is for them, goes.
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
        if Channel.IN_APP in channels_of(notice):
            await _write_down(conn, company_id, notice, Channel.IN_APP, now)


async def held_text(
    conn: Connection, vault: Vault, company_id: UUID, member_id: UUID, notice_id: UUID
) -> HeldText:
    """Return what a notice of this reader says; it stays there until the transaction ends.

    No text where it is gone or not written, or where the key of somebody whom it names is
    destroyed.
    """
    notice = await store.hold_notice(conn, company_id, member_id, notice_id)
    if notice is None:
        return HeldText(text=None)
    (text,) = await opened(vault, company_id, [notice])
    if notice.elsewhere is None:
        return HeldText(text=text)
    sealed = SealedText(
        sealed=notice.elsewhere.address_sealed, row_id=notice_id, schema=ADDRESS_SCHEMA
    )
    (own,) = await vault.open_texts(company_id, [sealed])
    return HeldText(text=text, elsewhere=notice.elsewhere.channel, address=own)


def channels_of(notice: Notice) -> tuple[Channel, ...]:
    """Return where a notice may go: what is for another address goes nowhere else."""
    if notice.elsewhere is not None:
        return (notice.elsewhere.channel,)
    return KINDS[notice.kind].channels


async def opened(
    vault: Vault, company_id: UUID, notices: Sequence[Notice]
) -> list[NoticeText | None]:
    """Return the sealed texts; None where there is none yet, or one of the keys is gone."""
    texts = await shared.opened(vault, company_id, [_sealed(one) for one in notices])
    return [
        None if text is None else _text(text, one.language or "")
        for one, text in zip(notices, texts, strict=True)
    ]


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
    await store.insert_delivery(
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
    await store.insert_event(conn, company_id, notice.notice_id, notice.member_id, happened)


async def record(
    conn: Connection,
    company_id: UUID,
    delivery: Delivery,
    event: Event,
    *,
    reason: Reason | None = None,
    again_at: datetime | None = None,
    now: datetime,
) -> None:
    """Write down what became of a delivery that the caller holds, and when it is tried again."""
    await store.move(
        conn,
        company_id,
        delivery.notice_id,
        delivery.channel,
        before=delivery.state,
        after=TRANSITIONS[delivery.state, event],
        tried=event is not Event.WITHHELD,
        next_attempt_at=again_at,
        now=now,
    )
    happened = DeliveryEvent(channel=delivery.channel, event=event, reason=reason, at=now)
    await store.insert_event(conn, company_id, delivery.notice_id, delivery.member_id, happened)
    if event is Event.HANDED_OVER:
        await _write_down(conn, company_id, delivery, delivery.channel, now)


async def _write_down(
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
    sealed = await _seal(vault, company_id, notice, text, now)
    await store.set_text(conn, company_id, notice.notice_id, text, sealed, now)
    for channel in channels_of(notice):
        reached = notice.elsewhere is not None or address(reader, channel) is not None
        if channel in ways_out and reached:
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
    return write(notice.kind, await _opened_facts(vault, company_id, notice), setting)


async def secret(
    vault: Vault, company_id: UUID, member_id: UUID, notice_id: UUID, text: str, *, now: datetime
) -> str:
    """Return what a notice holds of a text that nobody but its reader may see until it is sent."""
    sealed = await vault.seal_text(
        company_id,
        member_id,
        Category.CONTACT,
        text,
        row_id=notice_id,
        schema=SECRET_SCHEMA,
        now=now,
    )
    return sealed.hex()


async def _opened_facts(vault: Vault, company_id: UUID, notice: Notice) -> dict[str, str]:
    """Return the facts with what of them is sealed in clear.

    Raises
    ------
    SubjectErased
        Of the reader.
    """
    facts = dict(notice.facts)
    for name, value in KINDS[notice.kind].values.items():
        if value.form is Form.SECRET:
            item = SealedText(
                sealed=bytes.fromhex(facts[name]), row_id=notice.notice_id, schema=SECRET_SCHEMA
            )
            (text,) = await vault.open_texts(company_id, [item])
            if text is None:
                raise SubjectErased
            facts[name] = text
    return facts


async def _seal(
    vault: Vault, company_id: UUID, notice: Notice, text: NoticeText, now: datetime
) -> bytes:
    """Seal the text of a notice that still has its facts.

    Raises
    ------
    SubjectErased
        Of the reader or of somebody whom the text names.
    """
    named = sorted(persons_named(notice.kind, notice.facts, notice.member_id))
    return await shared.seal(
        vault,
        company_id,
        [notice.member_id, *named],
        Category.CONTACT,
        json.dumps([text.title, text.body, text.short], ensure_ascii=False),
        row_id=notice.notice_id,
        schema=TEXT_SCHEMA,
        now=now,
    )


def _sealed(notice: Notice) -> SealedText | None:
    if notice.text_sealed is None:
        return None
    return SealedText(sealed=notice.text_sealed, row_id=notice.notice_id, schema=TEXT_SCHEMA)


def _text(content: str, language: str) -> NoticeText:
    title, body, short = json.loads(content)
    return NoticeText(language=language, title=title, body=body, short=short)
