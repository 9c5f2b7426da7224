"""The erasing job: a saga that a crash at any instruction only delays."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from server.accounts import service as accounts
from server.alerts import service as alerts
from server.attestations import service as attestations
from server.clarifications import service as clarifications
from server.consent import service as consent
from server.controllers import service as controllers
from server.corrections import service as corrections
from server.credentials import service as credentials
from server.devices import service as devices
from server.disclosures import service as disclosures
from server.erasure import search, service, store
from server.erasure.model import (
    Act,
    ErasureActRefused,
    NotErased,
    NotTold,
    Request,
    State,
    Step,
    kept_steps,
    keys_to_destroy,
    next_state,
)
from server.exports import service as exports
from server.gate import service as gate
from server.gate.model import GateMissing
from server.guardians import service as guardians
from server.holds import service as holds
from server.holds.model import Hold
from server.incidents import service as incidents
from server.kit import db
from server.kit.db import Connection, Pool
from server.kit.problem import where
from server.kit.wire import rfc3339
from server.ledger import service as ledger
from server.ledger.model import SYSTEM
from server.ledger.model import Act as LedgerAct
from server.links import service as links
from server.notice_kinds.kinds import NoticeKind
from server.notices import service as notices
from server.policies import service as policies
from server.reports import service as reports
from server.routes import service as routes
from server.stop_events import service as stop_events
from server.tracking import service as tracking
from server.uploads import service as uploads
from server.vault.model import KeysNotNoted
from server.vault.service import Vault

log = structlog.get_logger(__name__)

Work = Callable[[Connection, UUID, UUID], Awaitable[int]]
Failpoint = Callable[[str], None]
Tell = Callable[[UUID, UUID, datetime], Awaitable[int]]
"""Hands over what a member is still to be told; returns how many messages have not gone out."""

TOLD_WITHIN: Final = timedelta(hours=1)
"""So long after it is due an erasure waits for a mail server that is down, and then no more."""

# Feature by feature, from the top down: what names the person goes before what defines them.
ERASERS: Final[tuple[tuple[Step, Work], ...]] = (
    (Step.ERASE_INCIDENTS, incidents.erase),
    (Step.ERASE_DISCLOSURES, disclosures.erase),
    (Step.ERASE_EXPORTS, exports.erase),
    (Step.ERASE_LINKS, links.erase),
    (Step.ERASE_ALERTS, alerts.erase),
    (Step.ERASE_STOP_EVENTS, stop_events.erase),
    (Step.ERASE_ATTESTATIONS, attestations.erase),
    (Step.ERASE_REPORTS, reports.erase),
    (Step.ERASE_ROUTES, routes.erase),
    (Step.ERASE_UPLOADS, uploads.erase),
    (Step.ERASE_TRACKING, tracking.erase),
    (Step.ERASE_DEVICES, devices.erase),
    (Step.ERASE_CONTROLLERS, controllers.erase),
    (Step.ERASE_CONSENT, consent.erase),
    (Step.ERASE_GUARDIANS, guardians.erase),
    (Step.ERASE_CLARIFICATIONS, clarifications.erase),
    (Step.ERASE_CORRECTIONS, corrections.erase),
    (Step.ERASE_PERSON_REQUESTS, corrections.erase_requests),
    (Step.ERASE_POLICIES, policies.erase),
    (Step.ERASE_HOLDS, holds.erase),
    (Step.ERASE_NOTICES, notices.erase),
    (Step.ERASE_GATE, gate.erase),
    (Step.ERASE_LEDGER, ledger.erase),
    (Step.ERASE_ACCOUNT, accounts.erase),
)
_ERASING: Final = tuple(step for step, _ in ERASERS)
_LOOKS: Final = frozenset({Step.SEARCH, Step.VERIFY})
"""What these steps find is not removed, but is to be removed by the others."""


async def due(conn: Connection, company_id: UUID, now: datetime) -> list[UUID]:
    """Return the requests whose grace is over or whose erasing has not finished.

    Those that wait for a hold are among them once nothing is held any more.
    """
    return [
        one.request_id
        for one in await store.due(conn, company_id, now)
        if one.state is not State.HELD
        or not await holds.in_force(conn, company_id, one.driver_id, now)
    ]


async def nobody_to_tell(_company_id: UUID, _member_id: UUID, _now: datetime) -> int:
    return 0


async def run_due(
    pool: Pool, vault: Vault, company_id: UUID, now: datetime, *, tell: Tell = nobody_to_tell
) -> int:
    """Work on every request that is due; return how many drivers were erased.

    One that fails is told of in the log and stays due.
    """
    async with db.tenant(pool, company_id, readonly=True) as conn:
        waiting = await due(conn, company_id, now)
    erased = 0
    for request_id in waiting:
        try:
            done = await run(pool, vault, company_id, request_id, now, tell=tell)
        except Exception as error:  # noqa: BLE001 - one that fails must not hold up the others
            log.warning("erasure_unfinished", request=str(request_id), **where(error))
        else:
            erased += done
    return erased


async def run(
    pool: Pool,
    vault: Vault,
    company_id: UUID,
    request_id: UUID,
    now: datetime,
    *,
    tell: Tell = nobody_to_tell,
    failpoint: Failpoint = lambda _place: None,
    whatever_is_held: bool = False,
) -> bool:
    """Erase the driver of a request that is due: every step once, however often this is begun.

    While something of the driver is held, the rest is erased and the request waits: False then.
    ``whatever_is_held``: the keys are gone already, so nothing is kept by leaving the rows.

    A step is recorded in the transaction of its work, so a crash resumes after the last one. Keys
    live in another database: destroying them twice is the same as once.

    Just before the notices to the driver go, ``tell`` hands over what has not gone out: without a
    grace that may be the very notice of the request.

    ``failpoint`` is told each place where a crash could strike, and may raise.

    Raises
    ------
    ErasureMissing, ErasureActRefused
        There is no such request, or it is not due.
    NotTold
        The driver is not told yet, and it was due less than :data:`TOLD_WITHIN` ago.
    NotErased
        Something wrote about the driver meanwhile; the next run erases that too.
    """
    request, held = await _begin(pool, company_id, request_id, now)
    if request.state is State.ERASED:
        return True
    held = [] if whatever_is_held else held
    kept = kept_steps({one.category for one in held})
    if request.state is State.HELD and kept:
        return False
    driver_id = request.driver_id
    async with db.tenant(pool, company_id, readonly=True) as conn:
        done = await _done(conn, company_id, request_id)
    for step, work in _steps(vault, request_id, now):
        if step in done | kept:
            continue
        if step is Step.ERASE_NOTICES and now < (request.grace_until or now) + TOLD_WITHIN:
            waiting = await tell(company_id, driver_id, now)
            if waiting:
                raise NotTold(waiting)
        failpoint(f"{step}.begun")
        # A gate that is gone was closed: another job is further on with the same request.
        with suppress(GateMissing):
            async with _transaction_of(step, pool, company_id, driver_id, now) as conn:
                left = await _perform(conn, company_id, request_id, step, work, now=now)
                failpoint(f"{step}.worked")
            if left > 0:
                raise NotErased(left)
        failpoint(f"{step}.done")
    if kept:
        await _destroy_some_keys(pool, vault, company_id, request, held, now, failpoint)
        await _hold(pool, company_id, request, now)
    return not kept


def _steps(vault: Vault, request_id: UUID, now: datetime) -> tuple[tuple[Step, Work], ...]:
    async def close_gate(conn: Connection, company_id: UUID, driver_id: UUID) -> int:
        await service.stop_tracking(conn, company_id, driver_id, now=now)
        return 0

    async def end_sessions(conn: Connection, company_id: UUID, driver_id: UUID) -> int:
        return await credentials.end_sessions_and_devices(conn, company_id, driver_id, now=now)

    async def note_person(conn: Connection, company_id: UUID, driver_id: UUID) -> int:
        await search.note(conn, vault, company_id, driver_id, request_id, now=now)
        return 0

    async def erase_ledger(conn: Connection, company_id: UUID, driver_id: UUID) -> int:
        await _write_last_entry(conn, company_id, request_id, driver_id, now=now)
        return await ledger.erase(conn, company_id, driver_id)

    async def look(conn: Connection, company_id: UUID, driver_id: UUID) -> int:
        return await search.look(conn, vault, company_id, driver_id, request_id, now=now)

    async def destroy_keys(conn: Connection, company_id: UUID, driver_id: UUID) -> int:
        noted = await search.keys_noted(conn, company_id, request_id)
        await vault.destroy(company_id, driver_id, now, noted=noted)
        # A job that crashed before it wrote this down had destroyed them: they count all the same.
        return len(noted)

    async def verify(conn: Connection, company_id: UUID, driver_id: UUID) -> int:
        rows = [
            await store.count_rows(conn, place, company_id, driver_id)
            for place in await store.places(conn)
        ]
        again = await search.look_again(conn, company_id, driver_id, request_id, now=now)
        return sum(rows) + again

    # What the ledger holds of the person stays; while it is known whose it is, it says why.
    erasers = dict(ERASERS) | {Step.ERASE_LEDGER: erase_ledger}
    return (
        (Step.CLOSE_GATE, close_gate),
        (Step.END_SESSIONS, end_sessions),
        (Step.NOTE_PERSON, note_person),
        *erasers.items(),
        (Step.SEARCH, look),
        (Step.DESTROY_KEYS, destroy_keys),
        (Step.VERIFY, verify),
    )


async def _begin(
    pool: Pool, company_id: UUID, request_id: UUID, now: datetime
) -> tuple[Request, list[Hold]]:
    """Leave grace if it is over; return the request as it was, and what is held of the driver.

    Whoever wants to place a hold waits for the gate, which is locked here: after this it is too
    late.
    """
    async with db.tenant(pool, company_id) as conn:
        locked = await service.lock(conn, company_id, request_id)
        held = await holds.in_force(conn, company_id, locked.driver_id, now)
        if locked.state in {State.ERASING, State.ERASED} or (locked.state is State.HELD and held):
            return locked, held
        after = next_state(locked.state, Act.BEGIN, None)
        if locked.state is not State.HELD:
            if locked.grace_until is None or locked.grace_until > now:
                raise ErasureActRefused(locked.state, Act.BEGIN, None)
            await service.into_erasing(conn, company_id, locked, now=now)
        await store.update(conn, company_id, replace(locked, state=after))
    return locked, held


async def _destroy_some_keys(
    pool: Pool,
    vault: Vault,
    company_id: UUID,
    request: Request,
    held: Sequence[Hold],
    now: datetime,
    failpoint: Failpoint,
) -> None:
    """Destroy the keys of what was erased beside what is held, once they are written down."""
    going = keys_to_destroy({one.category for one in held})
    key_ids = await vault.key_ids(company_id, request.driver_id, going)
    async with db.tenant(pool, company_id) as conn:
        await search.note_part(conn, company_id, request.request_id, held, key_ids, now=now)
    failpoint("part.noted")
    await vault.destroy_some(company_id, request.driver_id, key_ids)
    failpoint("part.destroyed")


async def _hold(pool: Pool, company_id: UUID, request: Request, now: datetime) -> None:
    """Let the request wait for what is held, and tell the driver; unless nothing is any more."""
    async with db.tenant(pool, company_id) as conn:
        locked = await service.lock(conn, company_id, request.request_id)
        held = await holds.in_force(conn, company_id, locked.driver_id, now)
        if locked.state is not State.ERASING or not held:
            return
        after = next_state(locked.state, Act.HOLD, None)
        await store.update(conn, company_id, replace(locked, state=after))
        categories = sorted({one.category.value for one in held})
        until = max(one.until for one in held if one.until is not None)
        told = {"categories": ",".join(categories), "until": rfc3339(until)}
        await notices.queue(
            conn, company_id, locked.driver_id, NoticeKind.ERASURE_HELD, told, now=now
        )
        await ledger.append(
            conn,
            company_id,
            LedgerAct.ERASURE_HELD,
            actor=SYSTEM,
            subject_id=locked.driver_id,
            facts={"held": categories, "until": rfc3339(until)},
            now=now,
        )


@asynccontextmanager
async def _transaction_of(
    step: Step, pool: Pool, company_id: UUID, driver_id: UUID, now: datetime
) -> AsyncGenerator[Connection]:
    if step is Step.CLOSE_GATE:
        async with gate.stopping(pool, company_id, driver_id, now=now) as conn:
            yield conn
    else:
        async with db.tenant(pool, company_id) as conn:
            yield conn


async def _perform(
    conn: Connection, company_id: UUID, request_id: UUID, step: Step, work: Work, *, now: datetime
) -> int:
    """Do the step unless it is recorded as done: a second job waits here, then finds it done.

    Return how many rows are left of the driver where the step was to find none; the steps that
    erase are then to be done once more.
    """
    locked = await service.lock(conn, company_id, request_id)
    if step in await _done(conn, company_id, request_id):
        return 0
    try:
        rows = await work(conn, company_id, locked.driver_id)
    except KeysNotNoted:
        await store.reopen_steps(conn, company_id, request_id, [Step.SEARCH])
        return 1
    if step in _LOOKS and rows > 0:
        await store.reopen_steps(conn, company_id, request_id, _ERASING)
        return rows
    await store.record_step(conn, company_id, request_id, step, rows=rows, at=now)
    if step is Step.VERIFY:
        after = next_state(locked.state, Act.FINISH, None)
        await store.update(conn, company_id, replace(locked, state=after, erased_at=now))
    return 0


async def _write_last_entry(
    conn: Connection, company_id: UUID, request_id: UUID, driver_id: UUID, *, now: datetime
) -> None:
    """Write that the driver was erased: once, also when the erasers run once more."""
    found = await store.steps(conn, company_id, [request_id])
    if any(one.step is Step.ERASE_LEDGER for one in found):
        return
    await search.count_entries(conn, company_id, driver_id, request_id)
    await ledger.append(
        conn,
        company_id,
        LedgerAct.MEMBER_ERASED,
        actor=SYSTEM,
        subject_id=driver_id,
        facts={"rows": {one.step.value: one.rows for one in found}},
        now=now,
    )


async def _done(conn: Connection, company_id: UUID, request_id: UUID) -> set[Step]:
    found = await store.steps(conn, company_id, [request_id])
    return {one.step for one in found if one.done_at is not None}
