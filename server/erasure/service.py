"""Erasing a driver: asking, calling off, and what deciding (``erasure_decisions``) is made of.

Acts of people lock the driver's gate first, then the request; so does each step of the job. The
head of the ledger comes last. None of it needs the key database: asking closes the gate also while
that is down.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from server.accounts import acts as account_acts
from server.accounts import service as accounts
from server.consent import service as consent
from server.credentials import service as credentials
from server.credentials.model import Caller, MemberState, Role
from server.disputes import service as disputes
from server.erasure import store
from server.erasure.model import (
    Act,
    ErasureMissing,
    ErasureUnderWay,
    Reason,
    Request,
    State,
    Step,
    StepDone,
    next_state,
    refuse_cancel,
)
from server.gate import service as gate
from server.gate.model import GateMissing
from server.holds import service as holds
from server.kit import jobs, working_days
from server.kit.cursors import cursor_of, page_of, place_of
from server.kit.db import Connection
from server.kit.errors import there
from server.kit.ids import uuid7
from server.kit.wire import rfc3339
from server.ledger import service as ledger
from server.ledger.model import Act as LedgerAct
from server.ledger.model import Actor, Json
from server.notice_kinds.kinds import NoticeKind
from server.notices import service as notices
from server.standing.model import by_of, role_word

ERASE_DUE: Final = "erase_due"
"""The job that works on a company's due requests."""


def visible_driver(caller: Caller, driver_id: UUID) -> UUID:
    """Return the driver the caller asks about: staff any, a driver only themself.

    Raises
    ------
    GateMissing
    """
    if caller.role is Role.DRIVER and caller.member_id != driver_id:
        raise GateMissing
    return driver_id


async def ask(
    conn: Connection,
    company_id: UUID,
    driver_id: UUID,
    *,
    by: Actor,
    reason: Reason | None,
    recorded_by: UUID | None = None,
    after_restore: bool = False,
    now: datetime,
) -> Request:
    """Ask for the erasure of a driver, inside ``gate.service.stopping``.

    Tracking stops with it, the driver is told; staff need no decision. ``recorded_by`` wrote it.

    Raises
    ------
    GateMissing, ErasureUnderWay
    """
    role = role_of(by)
    answer_by = await answer_time(conn, company_id, now)
    await gate.lock(conn, company_id, driver_id)
    if await store.is_under_way(conn, company_id, driver_id):
        raise ErasureUnderWay
    act = Act.ASK
    if role is not Role.DRIVER and await disputes.disputed_by_driver(conn, company_id, driver_id):
        act = Act.PROPOSE
    request = Request(
        request_id=uuid7(),
        driver_id=driver_id,
        state=next_state(None, act, role),
        requested_by=role,
        reason=reason,
        requested_at=now,
        after_restore=after_restore,
        asked_by=recorded_by if role is Role.DRIVER else by.member_id,
    )
    if request.state is State.OPEN:
        request = replace(request, answer_by=answer_by)
    if request.state is State.GRACE:
        request = await into_grace(conn, company_id, request, by=role, now=now)
    await store.insert(conn, company_id, request)
    told = {"by_role": role.value, "requested_at": rfc3339(now), **grace_values(request)}
    await notices.queue(conn, company_id, driver_id, NoticeKind.ERASURE_REQUESTED, told, now=now)
    # From here on the head of the ledger is held.
    await stop_tracking(conn, company_id, driver_id, now=now)
    facts = {"state": request.state.value} | ({} if reason is None else {"reason": reason.value})
    await write_down(
        conn, company_id, LedgerAct.ERASURE_REQUESTED, request, by=by, facts=facts, now=now
    )
    return request


async def cancel(
    conn: Connection, company_id: UUID, request_id: UUID, *, by: Actor, now: datetime
) -> Request:
    """Call the erasure off; the account is what it was, the consents stay withdrawn.

    Raises
    ------
    ErasureMissing, ErasureActRefused, ErasureNotYours, GateMissing
    """
    role = role_of(by)
    before = await lock(conn, company_id, request_id)
    after = next_state(before.state, Act.CANCEL, role)
    refuse_cancel(role, before.requested_by)
    await holds.end_refusals(conn, company_id, before.driver_id, request_id, by=by, now=now)
    await give_back(conn, company_id, before, now=now)
    request = replace(
        before,
        state=after,
        grace_until=None,
        refused_until=None,
        account_before=None,
        cancelled_by=role,
        cancelled_at=now,
    )
    await store.update(conn, company_id, request)
    await write_down(
        conn,
        company_id,
        LedgerAct.ERASURE_CANCELLED,
        request,
        by=by,
        facts={"requested_by": before.requested_by.value},
        now=now,
    )
    return request


async def unblock(
    conn: Connection, company_id: UUID, driver_id: UUID, *, by: Actor, now: datetime
) -> None:
    """Let a blocked driver work again, and tell them; not while their erasure is asked for.

    Raises
    ------
    GateMissing, MemberStateRefused, ErasureUnderWay, BlockNotYours
    """
    # Whoever asks for an erasure holds the gate too, so the two cannot pass each other.
    await gate.lock(conn, company_id, driver_id)
    await refuse_under_way(conn, company_id, driver_id)
    await account_acts.unblock(conn, company_id, driver_id, by=by_of(by), now=now)
    told = {"by_role": role_word(by)}
    await notices.queue(conn, company_id, driver_id, NoticeKind.ACCOUNT_UNBLOCKED, told, now=now)
    await ledger.append(
        conn, company_id, LedgerAct.MEMBER_UNBLOCKED, actor=by, subject_id=driver_id, now=now
    )


async def refuse_under_way(conn: Connection, company_id: UUID, driver_id: UUID) -> None:
    """Refuse what would give back an account whose erasure is asked for; the gate is locked.

    Raises
    ------
    ErasureUnderWay
    """
    if await store.is_under_way(conn, company_id, driver_id):
        raise ErasureUnderWay


async def request(
    conn: Connection, company_id: UUID, request_id: UUID, *, caller: Caller
) -> Request:
    """Return a request; a driver sees only those about themself.

    Raises
    ------
    ErasureMissing
    """
    found = await store.request(conn, company_id, request_id)
    if found is None or (caller.role is Role.DRIVER and caller.member_id != found.driver_id):
        raise ErasureMissing
    return found


async def requests(
    conn: Connection,
    company_id: UUID,
    *,
    caller: Caller,
    state: State | None,
    cursor: str | None,
    limit: int,
) -> tuple[list[Request], str | None]:
    """Return a page of requests, oldest first, and the cursor of the next.

    Raises
    ------
    CursorInvalid
    """
    found = await store.requests(
        conn,
        company_id,
        driver_id=caller.member_id if caller.role is Role.DRIVER else None,
        state=state,
        after=place_of(cursor),
        limit=limit + 1,
    )
    return page_of(found, limit, lambda one: cursor_of(one.request_id))


async def steps(
    conn: Connection, company_id: UUID, request_ids: list[UUID]
) -> dict[UUID, list[StepDone]]:
    """Return what the job has done for each request, in the job's order."""
    order = list(Step)
    found = await store.steps(conn, company_id, request_ids)
    return {
        request_id: sorted(
            (one for one in found if one.request_id == request_id),
            key=lambda one: order.index(one.step),
        )
        for request_id in request_ids
    }


async def lock(conn: Connection, company_id: UUID, request_id: UUID) -> Request:
    """Return the request, locked; its driver's gate before it, while there is one."""
    found = there(await store.request(conn, company_id, request_id), ErasureMissing)
    with suppress(GateMissing):
        await gate.lock(conn, company_id, found.driver_id)
    return there(await store.lock(conn, company_id, request_id), ErasureMissing)


async def found(conn: Connection, company_id: UUID, request_id: UUID) -> Request:
    """Return a request, whoever asks.

    Raises
    ------
    ErasureMissing
    """
    return there(await store.request(conn, company_id, request_id), ErasureMissing)


async def waiting(conn: Connection, company_id: UUID) -> list[Request]:
    """Return every request that nobody has decided yet, oldest first."""
    return await store.in_state(conn, company_id, State.OPEN)


async def refused(conn: Connection, company_id: UUID) -> list[Request]:
    """Return every request that is refused, oldest first."""
    return await store.in_state(conn, company_id, State.REFUSED)


async def start_clock(
    conn: Connection, company_id: UUID, request_id: UUID, *, now: datetime
) -> Request:
    """Let the time for an answer begin, where it has not.

    Raises
    ------
    ErasureMissing
    """
    request = await lock(conn, company_id, request_id)
    if request.state is not State.OPEN or request.answer_by is not None:
        return request
    started = replace(request, answer_by=await answer_time(conn, company_id, now))
    await store.update(conn, company_id, started)
    return started


async def wake(conn: Connection, company_id: UUID, request: Request) -> None:
    """Wake the erasing job if there is no grace; it would find the request within a minute."""
    if request.state is State.ERASING:
        payload = {"company_id": str(company_id)}
        await jobs.enqueue(conn, ERASE_DUE, payload, dedupe_key=f"erase {request.request_id}")


async def set_certified(
    conn: Connection, company_id: UUID, request: Request, *, backups_unreadable_at: datetime
) -> None:
    """Note with the certificate of a request, which is locked, since when backups are closed."""
    certified = replace(request, backups_unreadable_at=backups_unreadable_at)
    await store.update(conn, company_id, certified)


async def answer_time(conn: Connection, company_id: UUID, asked_at: datetime) -> datetime:
    """Return until when what was asked for then has to be answered."""
    zone = ZoneInfo((await accounts.company(conn, company_id)).time_zone)
    days = await store.answer_days(conn, company_id)
    return working_days.after(asked_at, days, zone)


answer_days = store.answer_days
asked_anew = store.asked_anew
set_answer_days = store.set_answer_days
insert = store.insert
save = store.update
is_under_way = store.is_under_way
uncertified = store.uncertified


async def stop_tracking(
    conn: Connection, company_id: UUID, driver_id: UUID, *, now: datetime
) -> None:
    await consent.withdraw_for_erasure(conn, company_id, driver_id, now=now)
    await gate.set_account_active(conn, company_id, driver_id, active=False)


async def into_grace(
    conn: Connection, company_id: UUID, request: Request, *, by: Role | None, now: datetime
) -> Request:
    """Return the request, decided, with the grace begun or, without one, the erasing."""
    account = await accounts.state_of(conn, company_id, request.driver_id)
    company = await accounts.company(conn, company_id)
    # Nobody has accepted the invitation: there is nobody who could use a grace.
    unused = await account_acts.has_never_joined(conn, company_id, request.driver_id)
    grace_s = 0 if unused else company.erasure_grace_s
    await accounts.set_state(conn, company_id, request.driver_id, MemberState.GRACE)
    decided = replace(
        request,
        decided_by=by,
        decided_at=now,
        grace_until=now + timedelta(seconds=grace_s),
        account_before=account,
    )
    if grace_s > 0:
        return decided
    await into_erasing(conn, company_id, decided, now=now)
    return replace(decided, state=next_state(decided.state, Act.BEGIN, None))


async def into_erasing(
    conn: Connection, company_id: UUID, request: Request, *, now: datetime
) -> None:
    await accounts.set_state(conn, company_id, request.driver_id, MemberState.ERASING)
    await credentials.end_sessions_and_devices(conn, company_id, request.driver_id, now=now)


async def give_back(conn: Connection, company_id: UUID, request: Request, *, now: datetime) -> None:
    """Give the account back as it was before the request."""
    account = await accounts.state_of(conn, company_id, request.driver_id)
    if request.state is State.GRACE:
        account = request.account_before or MemberState.ACTIVE
        await accounts.set_state(conn, company_id, request.driver_id, account)
    await gate.set_account_active(
        conn, company_id, request.driver_id, active=account is MemberState.ACTIVE
    )
    await gate.moment(conn, company_id, request.driver_id, now)


async def write_down(
    conn: Connection,
    company_id: UUID,
    act: LedgerAct,
    request: Request,
    *,
    by: Actor,
    facts: Mapping[str, Json],
    now: datetime,
) -> None:
    # The request keeps the driver's id when they are gone: in clear its own id would tie that to
    # the pseudonym.
    await ledger.append(
        conn,
        company_id,
        act,
        actor=by,
        subject_id=request.driver_id,
        detail={"request_id": str(request.request_id)},
        facts=facts,
        now=now,
    )


def grace_values(request: Request) -> dict[str, str]:
    until = request.grace_until
    return {} if until is None else {"grace_until": rfc3339(until)}


def role_of(by: Actor) -> Role:
    """Return the role of a member who acts; nobody else has a say in an erasure."""
    return Role(by.kind.value)
