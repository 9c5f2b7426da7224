"""Shifts of drivers, and the windows that come of them. Every change locks the driver's gate first.

An act that stops recording (pause, end) is called inside ``gate.service.stopping``. With the scope
``always`` a window is open off shift too: starting and resuming open it, a pause closes it until
the driver resumes or starts again.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from server.accounts import service as accounts
from server.gate import service as gate
from server.gate.model import Gate, Purpose, Windows
from server.kit.db import Connection
from server.kit.ids import uuid7
from server.kit.wire import rfc3339
from server.ledger import service as ledger
from server.ledger.model import SYSTEM, Act, Actor, ActorKind
from server.notice_kinds.kinds import NoticeKind
from server.notices import service as notices
from server.shifts import store
from server.shifts.model import (
    STOPPING_ENDS,
    AccountNotActive,
    ConsentNeeded,
    Shift,
    ShiftAct,
    ShiftEnd,
    ShiftState,
    next_shift,
    recording_until,
    shift_state,
)

REMIND_BEFORE: Final = timedelta(minutes=30)
AT_ONCE: Final = timedelta(minutes=1)
"""So long after the beginning of a shift its recording begins with it."""
_LEDGERED: Final[Mapping[ShiftEnd, ActorKind]] = {
    ShiftEnd.DISPATCHER: ActorKind.DISPATCHER,
    ShiftEnd.MAIN_USER: ActorKind.MAIN_USER,
    ShiftEnd.FORGOTTEN: ActorKind.SYSTEM,
    ShiftEnd.OPERATOR: ActorKind.OPERATOR,
}
"""Ends that are told and written down as such; the others are by the act that caused them."""
_STOPPED_BY_OTHERS: Final = frozenset({ShiftEnd.BLOCK, ShiftEnd.ERASURE, ShiftEnd.OPERATOR})
"""After these only the driver goes on, whatever the scope was."""
_RECORDING: Final[Mapping[bool, str]] = {True: "goes_on", False: "stopped"}
"""How a notice says whether the end of a shift ended the recording."""


async def shift(conn: Connection, company_id: UUID, driver_id: UUID) -> Shift | None:
    """Return the shift that nobody has ended yet, if there is one."""
    return (await shifts(conn, company_id, [driver_id])).get(driver_id)


async def shifts(
    conn: Connection, company_id: UUID, driver_ids: Sequence[UUID]
) -> Mapping[UUID, Shift]:
    """Return by driver the shifts that nobody has ended yet."""
    found = await store.not_ended(conn, company_id, driver_ids)
    return {one.driver_id: one for one in found}


async def start(conn: Connection, company_id: UUID, driver_id: UUID, *, now: datetime) -> Shift:
    """Begin a shift and let positions be recorded; it ends by itself after the company's maximum.

    Raises
    ------
    GateMissing, ShiftActRefused, ConsentNeeded, AccountNotActive
    """
    found = await gate.lock(conn, company_id, driver_id)
    now = await gate.moment(conn, company_id, driver_id, now)
    running = await _running(conn, company_id, driver_id, now)
    next_shift(shift_state(running, now), ShiftAct.START)
    _refuse_unless_consented(found, now)
    company = await accounts.company(conn, company_id)
    started = Shift(
        driver_id=driver_id,
        shift_id=uuid7(),
        started_at=now,
        ends_by=now + timedelta(seconds=company.shift_max_s),
        paused_at=None,
    )
    await store.insert(conn, company_id, started)
    await gate.set_stopped(conn, company_id, driver_id, stopped=False)
    await fit_window(conn, company_id, driver_id, now=now)
    return started


async def pause(
    conn: Connection, company_id: UUID, driver_id: UUID, *, now: datetime
) -> Shift | None:
    """Stop recording until the driver resumes, inside ``gate.service.stopping``.

    Raises
    ------
    GateMissing, ShiftActRefused
    """
    await gate.lock(conn, company_id, driver_id)
    now = await gate.moment(conn, company_id, driver_id, now)
    running = await _running(conn, company_id, driver_id, now)
    before = shift_state(running, now)
    after = next_shift(before, ShiftAct.PAUSE)
    if running is not None and after is not before:
        await store.set_paused(conn, company_id, running, now)
        await gate.set_stopped(conn, company_id, driver_id, stopped=True)
        await gate.close_window(conn, company_id, driver_id, at=now)
    return await shift(conn, company_id, driver_id)


async def resume(
    conn: Connection, company_id: UUID, driver_id: UUID, *, now: datetime
) -> Shift | None:
    """Go on recording. Only the driver may.

    Raises
    ------
    GateMissing, ShiftActRefused, ConsentNeeded, AccountNotActive
    """
    found = await gate.lock(conn, company_id, driver_id)
    now = await gate.moment(conn, company_id, driver_id, now)
    running = await _running(conn, company_id, driver_id, now)
    next_shift(shift_state(running, now), ShiftAct.RESUME)
    _refuse_unless_consented(found, now)
    if running is not None:
        await store.set_paused(conn, company_id, running, None)
        await gate.set_stopped(conn, company_id, driver_id, stopped=False)
        await fit_window(conn, company_id, driver_id, now=now)
    return await shift(conn, company_id, driver_id)


async def end(
    conn: Connection,
    company_id: UUID,
    driver_id: UUID,
    *,
    by: ShiftEnd,
    now: datetime,
    member_id: UUID | None = None,
) -> None:
    """End the shift, inside ``gate.service.stopping``. Without one there is nothing to do.

    After a withdrawal, the end of a consent, a block or an erasure no window stays open, whatever
    the scope was.
    ``member_id`` is who ends it, where that is not the driver.

    Raises
    ------
    GateMissing
    """
    found = await gate.lock(conn, company_id, driver_id)
    now = await gate.moment(conn, company_id, driver_id, now)
    running = await shift(conn, company_id, driver_id)
    if running is not None:
        await _end(conn, company_id, running, by=by, now=now, member_id=member_id)
    if by in STOPPING_ENDS or not found.always:
        await gate.close_window(conn, company_id, driver_id, at=now)
    if by in _STOPPED_BY_OTHERS:
        await gate.set_stopped(conn, company_id, driver_id, stopped=True)


async def end_forgotten(conn: Connection, company_id: UUID, now: datetime) -> list[UUID]:
    """End every shift that ran its full length, at the moment it did; return whose.

    Recording had stopped then by itself: a window never outlasts its shift.
    """
    drivers = await store.drivers_past_shift(conn, company_id, now)
    for driver_id in drivers:  # all before the first entry: whoever holds a gate waits for the head
        await gate.lock(conn, company_id, driver_id)
    ended = []
    for driver_id in drivers:
        forgotten = await shift(conn, company_id, driver_id)
        if forgotten is not None and forgotten.ends_by <= now:
            await _end(conn, company_id, forgotten, by=ShiftEnd.FORGOTTEN, now=now)
            ended.append(driver_id)
    return ended


async def remind(conn: Connection, company_id: UUID, now: datetime) -> int:
    """Tell drivers whose shift ends by itself within half an hour, of each shift once.

    Return how many such shifts there are. Due each minute.
    """
    ending = await store.ending_between(conn, company_id, now, now + REMIND_BEFORE)
    for one in ending:
        await notices.queue(
            conn,
            company_id,
            one.driver_id,
            NoticeKind.SHIFT_REMINDER,
            {"ends_at": rfc3339(one.ends_by)},
            now=now,
            dedupe=f"shift {one.shift_id}",
        )
    return len(ending)


async def fit_window(conn: Connection, company_id: UUID, driver_id: UUID, *, now: datetime) -> None:
    """Open, close or bound the window as consents and shift now say; the gate is locked.

    Only after an act of the driver: nobody else's may open one.
    """
    found = await gate.read(conn, company_id, driver_id)
    wanted = recording_until(found, await shift(conn, company_id, driver_id), now)
    around = await gate.windows(conn, company_id, driver_id, since=now, until=now)
    open_until = next((one.end for one in around if one.contains(now)), None)
    if open_until == wanted:
        return
    until = wanted if wanted is not None and wanted > now else None
    if until is not None and open_until is not None:
        # Not closed and opened again: nothing ends, so screens must not count that it did.
        await gate.move_window_end(conn, company_id, driver_id, expires_at=until)
        return
    await gate.close_window(conn, company_id, driver_id, at=now)
    if until is not None:
        await gate.open_window(conn, company_id, driver_id, at=now, expires_at=until)


async def drivers_at_work(conn: Connection, company_id: UUID, at: datetime) -> set[UUID]:
    """Return the drivers on shift, and those whose shift ended with a consent before its time.

    On the live map a withdrawal must look like a pause.
    """
    return set(await store.drivers_at_work(conn, company_id, at))


async def work_done(
    conn: Connection,
    company_id: UUID,
    driver_id: UUID,
    *,
    since: datetime,
    until: datetime,
    begun_after: datetime | None = None,
) -> datetime | None:
    """Return from when on the driver did nothing more of the work until then, by their own word.

    That is the end of the last shift, if the driver ended it and nothing was recorded later. None
    for whoever goes on, pauses, took a consent back, or had the shift ended by others or by itself:
    they may have worked on. None also where that was not after ``since``, when the work could begin
    and the driver knew of it: nobody is done with what is still to come. Nor is whoever ended a
    shift that began before ``begun_after``: it was for other work.
    """
    ended_at = await store.ended_by_driver(
        conn, company_id, driver_id, since=since, until=until, begun_after=begun_after
    )
    if ended_at is None:
        return None
    later = await gate.windows(conn, company_id, driver_id, since=ended_at, until=until)
    return None if later else ended_at


async def work_begun(
    conn: Connection, company_id: UUID, driver_id: UUID, *, since: datetime, recorded: Windows
) -> datetime | None:
    """Return since when the driver may have worked, not before ``since``, though not recorded yet.

    None for whom recording began with the shift: to start it is the driver's word that the work
    begins. It did not where a consent was given in the middle.
    """
    until = min((window.opened_at for window in recorded), default=since)
    if until <= since:
        return None
    started_at = await store.last_started(conn, company_id, driver_id, by=until + AT_ONCE)
    if started_at is None:
        return since
    return None if abs(until - started_at) <= AT_ONCE else max(since, started_at)


async def erase(conn: Connection, company_id: UUID, member_id: UUID) -> int:
    """Delete the driver's shifts; return the number of rows."""
    return await store.delete(conn, company_id, member_id)


async def _running(
    conn: Connection, company_id: UUID, driver_id: UUID, now: datetime
) -> Shift | None:
    """Return the shift that is really running; one that was forgotten ends here and now."""
    found = await shift(conn, company_id, driver_id)
    if found is None or found.state(now) is not ShiftState.OFF:
        return found
    await _end(conn, company_id, found, by=ShiftEnd.FORGOTTEN, now=now)
    return None


async def _end(
    conn: Connection,
    company_id: UUID,
    running: Shift,
    *,
    by: ShiftEnd,
    now: datetime,
    member_id: UUID | None = None,
) -> None:
    over = running.ends_by <= now
    ended_at = running.ends_by if over else now
    ended_by = ShiftEnd.FORGOTTEN if over else by
    await store.end(conn, company_id, running, ended_at, ended_by)
    found = await gate.read(conn, company_id, running.driver_id)
    if not found.always:
        await gate.close_window(conn, company_id, running.driver_id, at=ended_at)
    kind = _LEDGERED.get(ended_by)
    if kind is not None:
        await notices.queue(
            conn,
            company_id,
            running.driver_id,
            NoticeKind.SHIFT_ENDED_BY_OTHER,
            {
                "by_role": ended_by.value,
                "ended_at": rfc3339(ended_at),
                "recording": _RECORDING[await _is_recorded(conn, company_id, running, now)],
            },
            now=now,
        )
        await ledger.append(
            conn,
            company_id,
            Act.SHIFT_ENDED_BY_OTHER,
            actor=SYSTEM if kind is ActorKind.SYSTEM else Actor(kind=kind, member_id=member_id),
            subject_id=running.driver_id,
            facts={"ended_by": ended_by.value},
            now=now,
        )


async def _is_recorded(conn: Connection, company_id: UUID, ended: Shift, now: datetime) -> bool:
    """Tell whether a window stayed open: with the scope ``always``, unless the driver paused."""
    found = await gate.windows(conn, company_id, ended.driver_id, since=now, until=now)
    return any(one.contains(now) for one in found)


def _refuse_unless_consented(found: Gate, now: datetime) -> None:
    if not found.account_active:
        raise AccountNotActive
    if all(found.since(purpose, now) is None for purpose in Purpose):
        raise ConsentNeeded
