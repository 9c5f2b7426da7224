"""Raising alerts and clearing them, once each, and telling who wants to be told.

They come of positions that were read for plan versus fact: nothing is raised of a driver who does
not share that now.
"""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Final
from uuid import UUID

import structlog

from server.accounts import service as accounts
from server.alerts import choices, judging, store
from server.alerts.judging import CALM_FOR, Finding, Level, Refreshed, Step, findings
from server.alerts.model import ALERT_SCHEMA, AlertHead, SealedAlert, to_bytes
from server.alerts.reading import is_shown, sharing_since
from server.gate import service as gate
from server.gate.model import Gate, GateMissing, Purpose, Windows
from server.holds import service as holds
from server.holds.model import HeldCategory
from server.kit import db
from server.kit.batches import delete_all
from server.kit.db import Connection, Pool
from server.kit.ids import uuid7
from server.kit.problem import where
from server.kit.wire import rfc3339
from server.notice_kinds.kinds import NoticeKind
from server.notices import service as notices
from server.routes import service as routes
from server.shifts import service as shifts
from server.shifts.model import Shift, ShiftState, shift_state
from server.vault.model import Category, SubjectErased
from server.vault.service import Vault

log = structlog.get_logger(__name__)

RAISING_S_MAX: Final = 10.0
"""Of a company in one round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    raised: int
    cleared: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """What is to be done about a company's alerts."""

    raising: list[tuple[Refreshed, Finding]] = field(default_factory=list)
    open: dict[Step, list[UUID]] = field(default_factory=lambda: defaultdict(list))
    void: list[UUID] = field(default_factory=list)


class _NotRaised(Exception):
    """It is not to be raised any more, and so nobody is told."""


async def judge_all(
    pool: Pool, vault: Vault, company_id: UUID, refreshed: Sequence[Refreshed], *, now: datetime
) -> Judged:
    """Raise what has come to be since the last time, once, and clear what is over, once.

    ``refreshed`` are the routes that were computed anew; of those under way that could not be,
    alerts stay as they are. However many processes judge at once, and whichever of them comes late
    with what it read before, each alert is raised once, and told once. Opens its own transactions,
    one for each alert that is raised. Due each half minute.
    """
    async with db.tenant(pool, company_id) as conn:
        wanted = await _wanted(conn, company_id, refreshed, now)
        cleared = await _carry_out(conn, company_id, wanted, now)
    raised, over_at = 0, time.monotonic() + RAISING_S_MAX
    for one, found in wanted.raising:
        if time.monotonic() >= over_at:
            break  # by now it may be otherwise: the next half minute judges anew
        try:
            async with db.tenant(pool, company_id) as conn:
                raised += await raise_one(conn, vault, company_id, one, found, now=now)
        except Exception as error:  # noqa: BLE001 - one that fails must not hold up the others
            log.warning("alert_not_raised", company=str(company_id), **where(error))
    return Judged(raised=raised, cleared=cleared)


async def _wanted(
    conn: Connection, company_id: UUID, refreshed: Sequence[Refreshed], now: datetime
) -> _Wanted:
    wanted = _Wanted()
    limits = await choices.limits(conn, company_id)
    standing = await store.open_alerts(conn, company_id)
    if not refreshed and not standing:
        return wanted
    drivers = {one.driver_id for one in standing}
    drivers |= {one.head.driver_id for one in refreshed if one.head.driver_id is not None}
    gates = {one.driver_id: one for one in await gate.read_some(conn, company_id, list(drivers))}
    shared = sharing_since(gates.values(), now)
    windows = await gate.windows_of(conn, company_id, list(shared), since=now, until=now)
    running = await shifts.shifts(conn, company_id, list(shared))
    under_way = {
        head.route_id: head.driver_id for head in await routes.active(conn, company_id, now=now)
    }
    opened = {}
    for head in standing:
        if is_shown(head, shared) and under_way.get(head.route_id) == head.driver_id:
            opened[head.route_id, head.kind] = head
        else:
            wanted.void.append(head.alert_id)
    for one in refreshed:
        driver_id = one.gate.driver_id
        if under_way.get(one.head.route_id) != driver_id or driver_id not in shared:
            continue  # whoever it was computed of does not drive it, or share it, any more
        if gates[driver_id].epoch != one.gate.epoch:
            continue  # what it was computed of may be hidden now
        recorded_since = _recorded_since(
            windows.get(driver_id, ()), running.get(driver_id), now=now
        )
        for found in findings(limits, one, recorded_since=recorded_since, now=now):
            _want(wanted, one, found, opened.get((one.head.route_id, found.kind)), now)
    return wanted


def _want(
    wanted: _Wanted, one: Refreshed, found: Finding, standing: AlertHead | None, now: datetime
) -> None:
    step = judging.step(standing, found.level, now)
    if step is Step.RAISE:
        wanted.raising.append((one, found))
    elif standing is not None and found.level is Level.VOID:
        wanted.void.append(standing.alert_id)
    elif standing is not None:
        wanted.open[step].append(standing.alert_id)


async def _carry_out(conn: Connection, company_id: UUID, wanted: _Wanted, now: datetime) -> int:
    """Do what is to be done about alerts that are open; return how many were cleared."""
    cleared = 0
    if wanted.open[Step.BEGIN_CALM]:
        await store.begin_calm(conn, company_id, wanted.open[Step.BEGIN_CALM], now=now)
    if wanted.open[Step.END_CALM]:
        await store.end_calm(conn, company_id, wanted.open[Step.END_CALM], now=now)
    if wanted.open[Step.CLEAR]:
        over = wanted.open[Step.CLEAR]
        cleared += await store.clear(conn, company_id, over, calm_since=now - CALM_FOR, now=now)
    if wanted.void:
        cleared += await store.clear(conn, company_id, wanted.void, calm_since=None, now=now)
    return cleared


async def raise_one(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    one: Refreshed,
    found: Finding,
    *,
    now: datetime,
) -> bool:
    """Raise an alert and tell of it; False, and nobody is told, if it is not to be any more.

    Those who want to be told are told first. Only then the driver's gate is locked, until this
    commits: no upload waits for as long as it takes to tell all of them. Whoever withdraws waits
    for it, and after their answer nothing is raised. An act that is under way already comes first.
    """
    new = await _sealed(vault, company_id, one, found, now)
    if new is None:
        return False
    try:
        async with conn.transaction():
            await _tell(conn, company_id, new.head)
            await _insert(conn, company_id, new, one.gate, now)
    except _NotRaised:
        return False
    return True


async def _insert(
    conn: Connection, company_id: UUID, new: SealedAlert, believed: Gate, now: datetime
) -> None:
    """Store an alert about who shares what was read, and let it stay so.

    Raises
    ------
    _NotRaised
    """
    try:
        found = await gate.lock(conn, company_id, believed.driver_id)
    except GateMissing:
        raise _NotRaised from None
    shares = found.since(Purpose.PLAN_FACT, now) is not None
    changed = (found.epoch, found.rev) != (believed.epoch, believed.rev)
    if not shares or found.closing or changed:
        raise _NotRaised  # a pause or the end of the shift: what was seen may mean nothing
    if not await store.insert(conn, company_id, new):
        raise _NotRaised


async def _sealed(
    vault: Vault, company_id: UUID, one: Refreshed, found: Finding, now: datetime
) -> SealedAlert | None:
    """Return the new alert; None of a driver whose keys are gone."""
    driver_id = one.gate.driver_id
    if found.particulars is None:
        return None
    alert_id = uuid7()
    try:
        key = await vault.key(company_id, driver_id, Category.REPORT, at=now)
    except SubjectErased:
        return None
    return SealedAlert(
        head=AlertHead(
            alert_id=alert_id,
            kind=found.kind,
            route_id=one.head.route_id,
            driver_id=driver_id,
            occurrence=1,  # the statement that stores it counts
            raised_at=now,
        ),
        particulars_sealed=key.seal(
            to_bytes(found.particulars), row_id=alert_id.bytes, schema=ALERT_SCHEMA
        ),
    )


async def _tell(conn: Connection, company_id: UUID, raised: AlertHead) -> None:
    """Put notices for whoever wants them into the outbox, without any place."""
    told = {
        "alert": raised.kind.value,
        "driver": str(raised.driver_id),
        "raised_at": rfc3339(raised.raised_at),
    }
    for member_id, wishes in (await choices.wishing(conn, company_id)).items():
        if wishes[raised.kind]:
            await notices.queue(
                conn,
                company_id,
                member_id,
                NoticeKind.ROUTE_ALERT,
                told,
                now=raised.raised_at,
                dedupe=f"alert {raised.alert_id}",
            )


async def old(conn: Connection, company_id: UUID, now: datetime) -> tuple[int, datetime | None]:
    """Return how many alerts were kept long enough, and when the first of them was raised."""
    kept_since = await _kept_since(conn, company_id, now)
    if kept_since is None:
        return 0, None
    held = await holds.drivers_held(conn, company_id, [HeldCategory.REPORT], now)
    return await store.count_before(conn, company_id, kept_since, held=held)


async def forget_old(pool: Pool, company_id: UUID, now: datetime) -> int:
    """Delete alerts that were kept long enough; return how many. Due each day.

    Opens its own transactions.
    """
    async with db.tenant(pool, company_id, readonly=True) as conn:
        kept_since = await _kept_since(conn, company_id, now)
        held = await holds.drivers_held(conn, company_id, [HeldCategory.REPORT], now)
    if kept_since is None:
        return 0
    delete = partial(store.delete_before, before=kept_since, held=held)
    return await delete_all(pool, company_id, delete)


async def erase(conn: Connection, company_id: UUID, member_id: UUID) -> int:
    """Delete the alerts about the driver and what they wished; return the number of rows."""
    alerts = await store.delete(conn, company_id, member_id)
    return alerts + await store.delete_wishes(conn, company_id, member_id)


def _recorded_since(windows: Windows, shift: Shift | None, *, now: datetime) -> datetime | None:
    """Return since when positions have to come: None off shift, also of who shares always."""
    if shift is None or shift_state(shift, now) is not ShiftState.ON:
        return None
    opened = (window.opened_at for window in windows if window.contains(now))
    return max((max(at, shift.started_at) for at in opened), default=None)


async def _kept_since(conn: Connection, company_id: UUID, now: datetime) -> datetime | None:
    """Return since when alerts are kept: as long as the tracks they come of; None: always."""
    return (await accounts.company(conn, company_id)).tracks_kept_since(now)
