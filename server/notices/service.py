"""Telling members: queueing notices, reading them, and what they want of marketing.

:func:`queue` asks no other database, so an act that must succeed while the key database is down
can still tell of itself; the text is written and sealed afterwards (``preparing``).
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import structlog

from server.accounts import service as accounts
from server.credentials.model import Role
from server.kit import db, jobs
from server.kit.cursors import cursor_of, page_of, place_of
from server.kit.db import Connection, Pool
from server.kit.ids import uuid7
from server.ledger import service as ledger
from server.ledger.model import Act, Actor, ActorKind
from server.notice_kinds.kinds import DEDUPE_CHARS_MAX, MARKETING_CHANNELS, Channel, NoticeKind
from server.notice_kinds.table import KINDS
from server.notices import preference_store, preparing, store
from server.notices.model import (
    DeliveryEvent,
    DeliveryState,
    Elsewhere,
    Event,
    Export,
    MarketingConsentNeeded,
    Notice,
    NoticeMissing,
    Preference,
    ServiceNoticeNotRefusable,
    ShownNotice,
    persons_named,
    refuse_misfit,
)
from server.vault.service import Vault

log = structlog.get_logger(__name__)

DELIVER_NOTICE: Final = "deliver_notice"
"""The job that prepares one notice and hands it over."""
ON_THEIR_WAY_S_MAX: Final = 8.0
"""Longer than a way out takes (``HAND_OVER_S_MAX``): after it a message is out or given up."""


async def queue(
    conn: Connection,
    company_id: UUID,
    member_id: UUID,
    kind: NoticeKind,
    values: Mapping[str, str],
    *,
    now: datetime,
    dedupe: str | None = None,
    notice_id: UUID | None = None,
    elsewhere: Elsewhere | None = None,
) -> UUID:
    """Tell a member something; return the notice's id. It exists once this transaction commits.

    ``values`` are those of ``KINDS[kind]``: codes, times (RFC 3339) and ids, never a name or an
    address. With the same ``dedupe`` (no personal data) the same member is told once, and the id
    is that of the first time. Asks nothing but this connection, also not the ledger: the act that
    tells writes its own entry. With ``elsewhere`` it goes to that address and nowhere else, sealed
    for ``notice_id``.

    Raises
    ------
    ValueError
        The values are not those that the kind's text shows: a mistake of the calling code.
    """
    refuse_misfit(kind, values)
    if dedupe is not None and not 0 < len(dedupe) <= DEDUPE_CHARS_MAX:
        raise ValueError(f"a dedupe has 1 to {DEDUPE_CHARS_MAX} characters")
    notice = Notice(
        notice_id=notice_id or uuid7(),
        member_id=member_id,
        kind=kind,
        facts=values,
        queued_at=now,
        language=None,
        text_sealed=None,
        elsewhere=elsewhere,
    )
    if not await store.insert_notice(conn, company_id, notice, dedupe=dedupe):
        first = await store.notice_of_dedupe(conn, company_id, member_id, kind, dedupe)
        if first is None:
            raise RuntimeError("a notice with this dedupe was there and is gone")
        return first
    named = persons_named(kind, values, member_id)
    if named:
        await store.insert_persons(conn, company_id, notice.notice_id, named)
    if Channel.IN_APP in preparing.channels_of(notice):
        await preparing.begin_delivery(
            conn, company_id, notice, Channel.IN_APP, DeliveryState.HANDED_OVER, now=now
        )
    await jobs.enqueue(
        conn,
        DELIVER_NOTICE,
        {"company_id": str(company_id), "notice_id": str(notice.notice_id)},
        dedupe_key=f"notice {notice.notice_id}",
    )
    return notice.notice_id


async def queue_for_main_users(
    conn: Connection,
    company_id: UUID,
    kind: NoticeKind,
    values: Mapping[str, str],
    *,
    but: UUID | None = None,
    now: datetime,
) -> None:
    """Tell the company's active main users something, all ``but`` the one who did it; as `queue`.

    Raises
    ------
    ValueError
    """
    for member_id in await accounts.main_users(conn, company_id):
        if member_id != but:
            await queue(conn, company_id, member_id, kind, values, now=now)


async def told(
    conn: Connection, company_id: UUID, member_ids: Collection[UUID], kind: NoticeKind, dedupe: str
) -> set[UUID]:
    """Return who among the members was told this already."""
    return set(await store.members_told(conn, company_id, member_ids, kind, dedupe))


async def queue_marketing(
    conn: Connection,
    company_id: UUID,
    *,
    news_id: UUID,
    headline: str,
    message: str,
    now: datetime,
) -> int:
    """Queue news for whoever asked for marketing; return how many. The same ``news_id`` goes once.

    Whether it is still wanted is asked again when each message is handed over.
    """
    wanting = await preference_store.members_who_want(conn, company_id)
    for member_id in wanting:
        await queue(
            conn,
            company_id,
            member_id,
            NoticeKind.MARKETING_NEWS,
            {"headline": headline, "message": message},
            now=now,
            dedupe=str(news_id),
        )
    return len(wanting)


async def inbox(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    member_id: UUID,
    *,
    unseen: bool,
    cursor: str | None,
    limit: int,
    ways_out: Collection[Channel],
    now: datetime,
) -> tuple[list[ShownNotice], str | None]:
    """Return a page of what the member finds in the app, newest first, and the next cursor.

    What is not written yet is written with it, as the sender would: so it stays as it was shown.
    A page is short where something is not shared any more; the cursor goes on behind that.

    Raises
    ------
    CursorInvalid
    """
    before = None if cursor is None else place_of(cursor)
    found = await store.in_app(
        conn, company_id, member_id, unseen=unseen, before=before, limit=limit + 1
    )
    unwritten = [one.notice_id for one in found[:limit] if one.text_sealed is None]
    if unwritten:
        held = await store.lock_all_unprepared(conn, company_id, unwritten)
        held = await preparing.still_shared(conn, company_id, held, now=now)
        await preparing.prepare(conn, vault, company_id, held, ways_out=ways_out, now=now)
        found = await store.in_app(
            conn, company_id, member_id, unseen=unseen, before=before, limit=limit + 1
        )
    page, following = page_of(found, limit, lambda one: cursor_of(one.notice_id))
    shared = await preparing.still_shared(conn, company_id, page, now=now)
    return await _shown(vault, company_id, shared), following


async def mark_seen(
    conn: Connection,
    company_id: UUID,
    member_id: UUID,
    notice_id: UUID,
    *,
    by: Role,
    now: datetime,
) -> None:
    """Record that the member saw the notice in the app. Seeing it again changes nothing.

    Raises
    ------
    NoticeMissing
        There is none, or it is somebody else's, or not in the app, or not shared any more.
    """
    notice = await store.hold_notice(conn, company_id, member_id, notice_id)
    if notice is None or Channel.IN_APP not in KINDS[notice.kind].channels:
        raise NoticeMissing
    if not await preparing.still_shared(conn, company_id, [notice], now=now):
        raise NoticeMissing
    moved = await store.move(
        conn,
        company_id,
        notice_id,
        Channel.IN_APP,
        before=DeliveryState.HANDED_OVER,
        after=DeliveryState.SEEN,
        tried=False,
        next_attempt_at=None,
        now=now,
    )
    if not moved:
        return
    happened = DeliveryEvent(channel=Channel.IN_APP, event=Event.SEEN, reason=None, at=now)
    await store.insert_event(conn, company_id, notice_id, member_id, happened)
    await ledger.append(
        conn,
        company_id,
        Act.NOTICE_ACKNOWLEDGED,
        actor=Actor(kind=ActorKind(by.value), member_id=member_id),
        subject_id=member_id,
        detail={"notice_id": str(notice_id)},
        facts={"kind": notice.kind.value, "channel": Channel.IN_APP.value},
        now=now,
    )


async def preference(conn: Connection, company_id: UUID, member_id: UUID) -> Preference:
    """Return on which channels the member wants marketing; nowhere unless they asked for it."""
    found = await preference_store.preferences(conn, company_id, member_id)
    return Preference(
        wanted={one: found[one][0] if one in found else False for one in MARKETING_CHANNELS},
        changed_at=max((at for _, at in found.values()), default=None),
    )


async def set_preference(
    conn: Connection,
    company_id: UUID,
    member_id: UUID,
    *,
    by: Role,
    marketing: Mapping[Channel, bool],
    service: Mapping[Channel, bool],
    now: datetime,
) -> Preference:
    """Keep what the member wants; channels that are not named stay as they are.

    A driver chooses among the channels of a consent that is given; without it nothing is wanted.
    Before an opt-out is answered, :func:`drain` waits for the messages on their way.

    Raises
    ------
    ServiceNoticeNotRefusable, MarketingConsentNeeded
    """
    if not all(service.values()):
        raise ServiceNoticeNotRefusable
    for channel in MARKETING_CHANNELS:
        if channel not in marketing:
            continue
        wish = (conn, company_id, member_id, channel)
        wanted = marketing[channel]
        if by is not Role.DRIVER:
            await preference_store.set_marketing(*wish, wanted=wanted, now=now)
        elif not await preference_store.change_marketing(*wish, wanted=wanted, now=now) and wanted:
            raise MarketingConsentNeeded
    return await preference(conn, company_id, member_id)


async def start_marketing(
    conn: Connection, company_id: UUID, driver_id: UUID, *, now: datetime
) -> None:
    """Switch marketing on everywhere, as the consent to it is given.

    What the driver has chosen under a consent that only goes on stays as it is.
    """
    await preference_store.start_marketing(conn, company_id, driver_id, MARKETING_CHANNELS, now)


async def stop_marketing(conn: Connection, company_id: UUID, driver_id: UUID) -> None:
    """Forget what a driver chose, as the consent to marketing ends: without it nothing counts.

    Waits for no message. Before the act is answered, :func:`drain` does.
    """
    await preference_store.delete_preferences(conn, company_id, driver_id)


async def hold_on_its_way(conn: Connection, company_id: UUID, member_id: UUID) -> bool:
    """Say that a message that rests on a wish or a consent is on its way, for this transaction.

    False while somebody waits for those on their way: a further one would overtake them.
    """
    return await preference_store.hold_on_its_way(conn, company_id, member_id)


async def drain(pool: Pool, company_id: UUID, member_id: UUID) -> None:
    """Wait until every message that needs the member's wish or consent and was begun has left.

    After the opt-out was committed, in no transaction: whoever sends asks again before beginning,
    so that no message goes out after this, and nobody else waits meanwhile.
    """
    try:
        async with db.tenant(pool, company_id) as conn:
            await preference_store.pass_on_their_way(
                conn, company_id, member_id, lock_ms_max=int(ON_THEIR_WAY_S_MAX * 1000)
            )
    except db.LockTimeout:
        log.warning("message_on_its_way_too_long", company=str(company_id))


async def export(
    conn: Connection, vault: Vault, company_id: UUID, member_id: UUID, *, now: datetime
) -> Export:
    """Return all that a member was told, as shown, and what they want.

    What was neither shown nor sent yet has no text.
    """
    found = await store.every_notice(conn, company_id, member_id)
    shared = await preparing.still_shared(conn, company_id, found, now=now)
    return Export(
        notices=await _shown(vault, company_id, shared),
        preference=await preference(conn, company_id, member_id),
    )


async def delete(conn: Connection, company_id: UUID, notice_ids: Collection[UUID]) -> int:
    """Delete notices that the caller holds, with all that belongs to them; return how many rows."""
    return await store.delete_notices(conn, company_id, notice_ids)


async def erase(conn: Connection, company_id: UUID, member_id: UUID) -> int:
    """Delete the member's notices and preferences; return the number of rows.

    Also the notices of others that name the member: their texts hold the name.
    """
    held = await store.lock_notices_of_person(conn, company_id, member_id)
    rows = await store.delete_notices(conn, company_id, held)
    return rows + await preference_store.delete_preferences(conn, company_id, member_id)


async def _shown(vault: Vault, company_id: UUID, notices: Sequence[Notice]) -> list[ShownNotice]:
    texts = await preparing.opened(vault, company_id, notices)
    return [ShownNotice(notice=one, text=text) for one, text in zip(notices, texts, strict=True)]
