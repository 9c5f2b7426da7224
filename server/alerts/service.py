"""Raising alerts and clearing them, once each, and telling who wants to be told.

They come of positions that were read for plan versus fact: nothing is raised of a driver who does
not share that now.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from server.accounts import service as accounts
from server.alerts import choices, judging, store
from server.alerts.judging import CALM_FOR, Finding, Level, Refreshed, Step, findings
from server.alerts.model import (
    ALERT_SCHEMA,
    AlertHead,
    SealedAlert,
    Wishes,
    to_bytes,
)
from server.alerts.reading import is_shown, sharing_since
from server.gate import service as gate
from server.gate.model import Gate, GateMissing, Purpose, Windows
from server.kit import db
from server.kit.db import Connection, Pool
from server.kit.ids import uuid7
from server.kit.wire import rfc3339
from server.notices import service as notices
from server.notices.kinds import NoticeKind
from server.routes import service as routes
from server.shifts import service as shifts
from server.shifts.model import Shift, ShiftState, shift_state
from server.vault.model import Category, SubjectErased
from server.vault.service import Vault

RAISED_AT_ONCE_MAX: Final = 10
"""In one transaction: the gates of these drivers are held until it ends, and uploads wait."""
FORGOTTEN_AT_ONCE_MAX: Final = 20_000
"""What is left of a company waits for the next day."""


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


async def judge_all(
    pool: Pool, vault: Vault, company_id: UUID, refreshed: Sequence[Refreshed], *, now: datetime
) -> Judged:
    """Judge until all is raised, in transactions of its own. Due each half minute."""
    raised = cleared = 0
    while True:
        async with db.tenant(pool, company_id) as conn:
            some = await judge(conn, vault, company_id, refreshed, now=now)
        raised, cleared = raised + some.raised, cleared + some.cleared
        if some.raised < RAISED_AT_ONCE_MAX:
            return Judged(raised=raised, cleared=cleared)


async def judge(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    refreshed: Sequence[Refreshed],
    *,
    now: datetime,
    raised_max: int = RAISED_AT_ONCE_MAX,
) -> Judged:
    """Raise what has come to be since the last time, once, and clear what is over, once.

    ``refreshed`` are the routes that were computed anew; of those under way that could not be,
    alerts stay as they are. At most ``raised_max`` are raised, the others the next time. However
    many processes judge at once, and whichever of them comes late with what it read before, each
    alert is raised once, and told once.
    """
    limits = await choices.limits(conn, company_id)
    standing = await store.open_alerts(conn, company_id)
    if not refreshed and not standing:
        return Judged(raised=0, cleared=0)
    drivers = {one.driver_id for one in standing}
    drivers |= {one.head.driver_id for one in refreshed if one.head.driver_id is not None}
    gates = {one.driver_id: one for one in await gate.read_some(conn, company_id, list(drivers))}
    shared = sharing_since(gates.values(), now)
    windows = await gate.windows_of(conn, company_id, list(shared), since=now, until=now)
    running = await shifts.shifts(conn, company_id, list(shared))
    under_way = {
        head.route_id: head.driver_id for head in await routes.active(conn, company_id, now=now)
    }
    wanted = _Wanted()
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
    raised = await _raise(conn, vault, company_id, wanted.raising[:raised_max], now)
    cleared = await _carry_out(conn, company_id, wanted, now)
    return Judged(raised=raised, cleared=cleared)


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


async def _raise(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    raising: Sequence[tuple[Refreshed, Finding]],
    now: datetime,
) -> int:
    """Raise these and tell of them; return how many nobody else had raised."""
    new = [
        sealed
        for one, found in raising
        if (sealed := await _sealed(vault, company_id, one, found, now)) is not None
    ]
    if not new:
        return 0
    # Locked, in one order, until this commits: whoever withdraws waits for it, and after their
    # answer nothing is raised. An act that is under way already comes first.
    believed = {one.gate.driver_id: one.gate for one, _ in raising}
    still = {
        driver_id
        for driver_id in sorted({one.head.driver_id for one in new})
        if await _lock_sharing(conn, believed[driver_id], now)
    }
    wishing = await choices.wishing(conn, company_id)
    raised = 0
    for one in new:
        if one.head.driver_id in still and await store.insert(conn, company_id, one):
            raised += 1
            await _tell(conn, company_id, one.head, wishing)
    return raised


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


async def _lock_sharing(conn: Connection, believed: Gate, now: datetime) -> bool:
    """Tell whether the driver still shares what was read, and let it stay so."""
    try:
        found = await gate.lock(conn, believed.company_id, believed.driver_id)
    except GateMissing:
        return False
    shares = found.since(Purpose.PLAN_FACT, now) is not None
    return shares and not found.closing and found.epoch == believed.epoch


async def _tell(
    conn: Connection, company_id: UUID, raised: AlertHead, wishing: Mapping[UUID, Wishes]
) -> None:
    """Put notices for whoever wants them into the outbox, without any place."""
    told = {
        "alert": raised.kind.value,
        "driver": str(raised.driver_id),
        "raised_at": rfc3339(raised.raised_at),
    }
    for member_id, wishes in wishing.items():
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


async def forget_old(conn: Connection, company_id: UUID, now: datetime) -> int:
    """Delete alerts that are older than the company keeps tracks; return how many. Due each day.

    They come of them, and drivers agreed to no longer time for what does.
    """
    kept_since = (await accounts.company(conn, company_id)).tracks_kept_since(now)
    if kept_since is None:
        return 0
    return await store.delete_before(conn, company_id, kept_since, limit=FORGOTTEN_AT_ONCE_MAX)


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
