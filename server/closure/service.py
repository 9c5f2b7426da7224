"""Saying that a company closes, and that it stays open after all; everybody in it is told.

What happens on the day is done by `winding_up`. From the moment of asking on nobody new is invited.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from server.accounts import service as accounts
from server.accounts.model import CompanyMissing
from server.closure import store
from server.closure.model import (
    AlreadyClosed,
    Closing,
    ClosingAsked,
    ClosingMissing,
    CompanyClosing,
    refuse_days,
)
from server.credentials.model import MemberState
from server.kit.db import Connection
from server.kit.errors import there
from server.kit.wire import rfc3339
from server.ledger import service as ledger
from server.ledger.model import Act, Actor
from server.notice_kinds.kinds import NoticeKind
from server.notices import service as notices

closing = store.closing


async def ask(
    conn: Connection, company_id: UUID, *, days: int, by: Actor, now: datetime
) -> Closing:
    """Let the company close in so many times 24 hours, and tell everybody in it.

    Raises
    ------
    ClosingDaysInvalid, CompanyMissing, ClosingAsked
    """
    refuse_days(days)
    if await _locked(conn, company_id) is not None:
        raise ClosingAsked
    asked = Closing(asked_at=now, asked_by=by.kind, closes_at=now + timedelta(days=days))
    await store.put(conn, company_id, asked)
    await _tell(conn, company_id, asked, stage="asked", now=now)
    facts = {"closes_at": rfc3339(asked.closes_at)}
    await ledger.append(
        conn, company_id, Act.COMPANY_CLOSING, actor=by, subject_id=None, facts=facts, now=now
    )
    return asked


async def keep_open(conn: Connection, company_id: UUID, *, by: Actor, now: datetime) -> Closing:
    """Call the closing off, until the day itself, and tell everybody who was told of it.

    Raises
    ------
    CompanyMissing, ClosingMissing, AlreadyClosed
    """
    found = there(await _locked(conn, company_id), ClosingMissing)
    if found.closed_at is not None:
        raise AlreadyClosed
    await store.delete(conn, company_id)
    told = {"closes_at": rfc3339(found.closes_at)}
    for member_id in await _members(conn, company_id):
        await notices.queue(conn, company_id, member_id, NoticeKind.COMPANY_STAYS, told, now=now)
    await ledger.append(
        conn, company_id, Act.COMPANY_KEPT_OPEN, actor=by, subject_id=None, facts=told, now=now
    )
    return found


async def remind(conn: Connection, company_id: UUID, now: datetime) -> None:
    """Tell everybody once more, a week before the day; each of them once. Due each minute."""
    found = await store.closing(conn, company_id)
    if found is not None and found.is_soon(now) and not found.is_due(now):
        await _tell(conn, company_id, found, stage="soon", now=now)


async def note_closed(conn: Connection, company_id: UUID, *, now: datetime) -> bool:
    """Note that the day has come; False if it has not, was called off, or was noted before."""
    found = await _locked(conn, company_id)
    if found is None or not found.is_due(now):
        return False
    await store.put(conn, company_id, replace(found, closed_at=now))
    return True


async def note_closed_again(
    conn: Connection, company_id: UUID, *, by: Actor, now: datetime
) -> bool:
    """Note that the company had closed already, as a restored backup does not know."""
    found = await _locked(conn, company_id)
    if found is not None and found.closed_at is not None:
        return False
    closed = Closing(asked_at=now, asked_by=by.kind, closes_at=now, closed_at=now)
    await store.put(conn, company_id, closed)
    return True


async def refuse_joining(conn: Connection, company_id: UUID) -> None:
    """Refuse whoever is to join; nobody asks for the closing until this transaction ends.

    Raises
    ------
    CompanyClosing
    """
    await store.share_company(conn, company_id)
    if await store.closing(conn, company_id) is not None:
        raise CompanyClosing


async def _locked(conn: Connection, company_id: UUID) -> Closing | None:
    if not await store.lock_company(conn, company_id):
        raise CompanyMissing
    return await store.closing(conn, company_id)


async def _members(conn: Connection, company_id: UUID) -> list[UUID]:
    states = await accounts.member_states(conn, company_id)
    return [one for one, state in states.items() if state is not MemberState.ERASING]


async def _tell(
    conn: Connection, company_id: UUID, found: Closing, *, stage: str, now: datetime
) -> None:
    members = await _members(conn, company_id)
    dedupe = f"{stage} {rfc3339(found.asked_at)}"
    kind = NoticeKind.COMPANY_CLOSING
    known = await notices.told(conn, company_id, members, kind, dedupe)
    told = {"closes_at": rfc3339(found.closes_at)}
    for member_id in members:
        if member_id not in known:
            await notices.queue(conn, company_id, member_id, kind, told, now=now, dedupe=dedupe)
