"""Erasing once more whoever a restored backup brought back: their keys are gone for good."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from server.accounts import service as accounts
from server.credentials.model import MemberState, Role
from server.erasure import saga, service, store
from server.erasure.model import Request, State
from server.gate import service as gate
from server.gate.model import GateMissing
from server.holds import restoring as holds
from server.journal import service as journal
from server.journal.model import NegativeAct
from server.kit import db
from server.kit.db import Connection, Pool
from server.kit.ids import uuid7
from server.kit.wire import rfc3339
from server.ledger import service as ledger
from server.ledger.model import Act, Actor, ActorKind
from server.notice_kinds.kinds import NoticeKind
from server.notices import service as notices
from server.vault.service import Vault


async def erased(conn: Connection, company_id: UUID) -> list[UUID]:
    """Return the drivers who were erased, by ids of which nothing in use tells whose they were."""
    return await store.erased_drivers(conn, company_id)


async def ask_again(conn: Connection, company_id: UUID, driver_id: UUID, *, now: datetime) -> bool:
    """Write down anew that an erasure was asked for, inside ``gate.service.stopping``.

    It waits for a decision, whatever was decided before: that is lost. False where one is under
    way already.

    Raises
    ------
    GateMissing
    """
    if await store.is_under_way(conn, company_id, driver_id):
        return False
    by = Actor(kind=ActorKind.DRIVER, member_id=driver_id)
    await service.ask(conn, company_id, driver_id, by=by, reason=None, after_restore=True, now=now)
    return True


async def hold_again(
    pool: Pool,
    keys_pool: Pool,
    company_id: UUID,
    lost: Sequence[NegativeAct],
    *,
    by: Actor,
    now: datetime,
) -> int:
    """Place what was held after the backup again; return how many holds. Idempotent.

    Of whose keys are destroyed nothing is held: there is nothing to open.
    """
    async with db.tenant(pool, company_id, readonly=True) as conn:
        about = await journal.by_member(conn, company_id, lost)
    gone = await journal.destroyed(keys_pool, company_id)
    held = 0
    for driver_id, acts in about.items():
        if driver_id in gone or journal.says_erased(acts):
            continue
        with suppress(GateMissing):  # it is one of the staff
            async with db.tenant(pool, company_id) as conn:
                held += await holds.place_again(conn, company_id, driver_id, acts, by=by, now=now)
    return held


async def stay_blocked(conn: Connection, company_id: UUID, driver_id: UUID) -> None:
    """Let an account in its grace be blocked if that is called off, inside ``stopping``."""
    found = await store.under_way(conn, company_id, driver_id)
    if found is not None and found.account_before is MemberState.ACTIVE:
        blocked = replace(found, account_before=MemberState.BLOCKED)
        await store.update(conn, company_id, blocked)


async def begin_anew(pool: Pool, company_id: UUID, *, since: datetime, now: datetime) -> int:
    """Give all who wait for an answer, or in their grace, the whole of that time; return how many.

    It ran on while `main` was away. Whether the erasure was refused or called off meanwhile nobody
    knows, and nobody could give back what it removes. The driver is told. What was asked for
    ``since`` the restoring has its time. Idempotent.
    """
    async with db.tenant(pool, company_id, readonly=True) as conn:
        found = [
            one
            for state in (State.OPEN, State.GRACE)
            for one in await store.in_state(conn, company_id, state)
            if one.requested_at < since
        ]
    for one in found:
        async with db.tenant(pool, company_id) as conn:
            locked = await service.lock(conn, company_id, one.request_id)
            answer_by, grace_until = locked.answer_by, locked.grace_until
            if locked.state is State.OPEN and answer_by is not None:
                answer_by = max(answer_by, await service.answer_time(conn, company_id, now))
            if locked.state is State.GRACE and grace_until is not None:
                grace_s = (await accounts.company(conn, company_id)).erasure_grace_s
                grace_until = max(grace_until, now + timedelta(seconds=grace_s))
            anew = replace(locked, answer_by=answer_by, grace_until=grace_until)
            if anew == locked:
                continue
            await store.update(conn, company_id, anew)
            told = {
                "by_role": anew.requested_by.value,
                "requested_at": rfc3339(anew.requested_at),
                **(service.grace_values(anew) if anew.state is State.GRACE else {}),
            }
            await notices.queue(
                conn,
                company_id,
                anew.driver_id,
                NoticeKind.ERASURE_REQUESTED,
                told,
                now=now,
                dedupe=f"restored {anew.request_id} {since:%Y%m%d%H%M%S}",
            )
    return len(found)


async def erase_again(
    pool: Pool, vault: Vault, company_id: UUID, driver_id: UUID, *, now: datetime
) -> None:
    """Erase a driver whose keys were destroyed already, though this `main` never heard of it.

    Nothing is waited for and nobody is asked: it was decided, and done, before. Resumes where it
    was left.

    Raises
    ------
    GateMissing
        There is no such driver (any more).
    """
    async with db.tenant(pool, company_id, readonly=True) as conn:
        found = await store.under_way(conn, company_id, driver_id)
    if found is None or found.state is not State.ERASING:
        async with gate.stopping(pool, company_id, driver_id, now=now) as conn:
            found = await _into_erasing(conn, company_id, driver_id, now=now)
    await saga.run(pool, vault, company_id, found.request_id, now, whatever_is_held=True)


async def _into_erasing(
    conn: Connection, company_id: UUID, driver_id: UUID, *, now: datetime
) -> Request:
    found = await store.under_way(conn, company_id, driver_id)
    account = await accounts.state_of(conn, company_id, driver_id)
    # Who decided, where that is lost as well, nobody can say.
    decided = replace(
        found
        or Request(
            request_id=uuid7(),
            driver_id=driver_id,
            state=State.ERASING,
            requested_by=Role.MAIN_USER,
            reason=None,
            requested_at=now,
            after_restore=True,
        ),
        state=State.ERASING,
        # A grace that was not over when the backup was made is over now.
        grace_until=now if found is None else min(found.grace_until or now, now),
    )
    await (store.insert if found is None else store.update)(conn, company_id, decided)
    if account not in {MemberState.GRACE, MemberState.ERASING}:
        await accounts.set_state(conn, company_id, driver_id, MemberState.GRACE)
    if account is not MemberState.ERASING:
        await service.into_erasing(conn, company_id, decided, now=now)
    await service.stop_tracking(conn, company_id, driver_id, now=now)
    await ledger.append(
        conn,
        company_id,
        Act.ERASURE_REQUESTED,
        actor=Actor(kind=ActorKind.OPERATOR),
        subject_id=driver_id,
        detail={"request_id": str(decided.request_id)},
        facts={"state": State.ERASING.value, "restored": True},
        now=now,
    )
    return decided
