"""Erasing a driver: asking, deciding, calling off, and the job that makes it true.

Acts of people lock the driver's gate first, then the request; so does each step of the job. The
head of the ledger comes last. None of it needs the key database: asking closes the gate also while
that is down.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from server.accounts import service as accounts
from server.consent import service as consent
from server.credentials import service as credentials
from server.credentials.model import Caller, MemberState, Role
from server.erasure import store
from server.erasure.model import (
    Act,
    ErasureMissing,
    ErasureUnderWay,
    Ground,
    Outcome,
    Reason,
    Request,
    State,
    Step,
    StepDone,
    next_state,
    refuse_cancel,
    refuse_ground,
)
from server.gate import service as gate
from server.gate.model import GateMissing
from server.kit.cursors import cursor_of, page_of, place_of
from server.kit.db import Connection
from server.kit.errors import there
from server.kit.ids import uuid7
from server.kit.wire import rfc3339
from server.ledger import service as ledger
from server.ledger.model import Act as LedgerAct
from server.ledger.model import Actor, Json
from server.notices import service as notices
from server.notices.kinds import NoticeKind


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
    after_restore: bool = False,
    now: datetime,
) -> Request:
    """Ask for the erasure of a driver, inside ``gate.service.stopping``.

    Tracking stops with it, whatever is decided later. The staff's own request is decided at once.
    The driver is told. ``after_restore``: it was asked for before, and by whom is lost.

    Raises
    ------
    GateMissing, ErasureUnderWay
    """
    role = _role(by)
    await gate.lock(conn, company_id, driver_id)
    if await store.is_under_way(conn, company_id, driver_id):
        raise ErasureUnderWay
    request = Request(
        request_id=uuid7(),
        driver_id=driver_id,
        state=next_state(None, Act.ASK, role),
        requested_by=role,
        reason=reason,
        requested_at=now,
        after_restore=after_restore,
    )
    if request.state is State.GRACE:
        request = await _into_grace(conn, company_id, request, by=role, now=now)
    await store.insert(conn, company_id, request)
    told = {"by_role": role.value, "requested_at": rfc3339(now), **_grace(request)}
    await notices.queue(conn, company_id, driver_id, NoticeKind.ERASURE_REQUESTED, told, now=now)
    # From here on the head of the ledger is held.
    await stop_tracking(conn, company_id, driver_id, now=now)
    facts = {"state": request.state.value} | ({} if reason is None else {"reason": reason.value})
    await _write_down(
        conn, company_id, LedgerAct.ERASURE_REQUESTED, request, by=by, facts=facts, now=now
    )
    return request


async def driver_to_decide_on(
    conn: Connection, company_id: UUID, request_id: UUID, outcome: Outcome, *, by: Actor
) -> UUID:
    """Return whose gate to close for a decision, if there is anything to decide.

    Raises
    ------
    ErasureMissing, ErasureActRefused
    """
    found = there(await store.request(conn, company_id, request_id), ErasureMissing)
    next_state(found.state, Act(outcome.value), _role(by))
    return found.driver_id


async def decide(
    conn: Connection,
    company_id: UUID,
    request_id: UUID,
    outcome: Outcome,
    ground: Ground | None,
    *,
    by: Actor,
    now: datetime,
) -> Request:
    """Approve or refuse, inside ``gate.service.stopping`` of the request's driver, who is told.

    A refusal gives the account back; the consents stay withdrawn until the driver gives them.

    Raises
    ------
    ErasureMissing, ErasureActRefused, ErasureUnderWay, GroundMisplaced, GateMissing
    """
    refuse_ground(outcome, ground)
    role = _role(by)
    before = await lock(conn, company_id, request_id)
    after = next_state(before.state, Act(outcome.value), role)
    request = replace(before, state=after, decided_by=role, decided_at=now, ground=ground)
    if after is State.GRACE:
        # Another request may be under way beside a refused one.
        if before.state is State.REFUSED and await store.is_under_way(
            conn, company_id, before.driver_id
        ):
            raise ErasureUnderWay
        request = await _into_grace(conn, company_id, request, by=role, now=now)
    else:
        await _restore_account(conn, company_id, before, now=now)
        request = replace(request, grace_until=None, account_before=None)
    await store.update(conn, company_id, request)
    said = {"outcome": outcome.value} | ({} if ground is None else {"ground": ground.value})
    told = {**said, **_grace(request)}
    await notices.queue(
        conn, company_id, before.driver_id, NoticeKind.ERASURE_DECIDED, told, now=now
    )
    if after is State.GRACE:
        # Since a refusal, consent may have been given again. Holds the head of the ledger.
        await stop_tracking(conn, company_id, before.driver_id, now=now)
    await _write_down(
        conn, company_id, LedgerAct.ERASURE_DECIDED, request, by=by, facts=said, now=now
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
    role = _role(by)
    before = await lock(conn, company_id, request_id)
    after = next_state(before.state, Act.CANCEL, role)
    refuse_cancel(role, before.requested_by)
    await _restore_account(conn, company_id, before, now=now)
    request = replace(
        before,
        state=after,
        grace_until=None,
        account_before=None,
        cancelled_by=role,
        cancelled_at=now,
    )
    await store.update(conn, company_id, request)
    await _write_down(
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
    GateMissing, MemberStateRefused, ErasureUnderWay
    """
    # Whoever asks for an erasure holds the gate too, so the two cannot pass each other.
    await gate.lock(conn, company_id, driver_id)
    if await store.is_under_way(conn, company_id, driver_id):
        raise ErasureUnderWay
    await accounts.unblock(conn, company_id, driver_id, now=now)
    told = {"by_role": by.kind.value}
    await notices.queue(conn, company_id, driver_id, NoticeKind.ACCOUNT_UNBLOCKED, told, now=now)
    await ledger.append(
        conn, company_id, LedgerAct.MEMBER_UNBLOCKED, actor=by, subject_id=driver_id, now=now
    )


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


async def uncertified(conn: Connection, company_id: UUID) -> list[tuple[UUID, UUID]]:
    """Return the requests whose drivers are erased and not certified yet, with the driver's id."""
    return await store.uncertified(conn, company_id)


async def set_certified(
    conn: Connection, company_id: UUID, request: Request, *, backups_unreadable_at: datetime
) -> None:
    """Note with the certificate of a request, which is locked, since when backups are closed."""
    certified = replace(request, backups_unreadable_at=backups_unreadable_at)
    await store.update(conn, company_id, certified)


async def stop_tracking(
    conn: Connection, company_id: UUID, driver_id: UUID, *, now: datetime
) -> None:
    await consent.withdraw_for_erasure(conn, company_id, driver_id, now=now)
    await gate.set_account_active(conn, company_id, driver_id, active=False)


async def _into_grace(
    conn: Connection, company_id: UUID, request: Request, *, by: Role, now: datetime
) -> Request:
    account = await accounts.state_of(conn, company_id, request.driver_id)
    company = await accounts.company(conn, company_id)
    # Nobody has accepted the invitation: there is nobody who could use a grace.
    grace_s = 0 if account is MemberState.INVITED else company.erasure_grace_s
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


async def _restore_account(
    conn: Connection, company_id: UUID, request: Request, *, now: datetime
) -> None:
    """Give the account back as it was before the request."""
    account = await accounts.state_of(conn, company_id, request.driver_id)
    if request.state is State.GRACE:
        account = request.account_before or MemberState.ACTIVE
        await accounts.set_state(conn, company_id, request.driver_id, account)
    await gate.set_account_active(
        conn, company_id, request.driver_id, active=account is MemberState.ACTIVE
    )
    await gate.moment(conn, company_id, request.driver_id, now)


async def _write_down(
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


def _grace(request: Request) -> dict[str, str]:
    until = request.grace_until
    return {} if until is None else {"grace_until": rfc3339(until)}


def _role(by: Actor) -> Role:
    """Return the role of a member who acts; nobody else has a say in an erasure."""
    return Role(by.kind.value)
