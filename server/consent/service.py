"""Consents and shifts of drivers. Every change locks the driver's gate first, so changes queue.

An act that stops recording (withdraw, pause, end) is called inside ``gate.service.stopping``.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from server.accounts import service as accounts
from server.consent import store
from server.consent.model import (
    AccountNotActive,
    Consent,
    ConsentAct,
    ConsentActor,
    ConsentCell,
    ConsentNeeded,
    Consents,
    ConsentState,
    DriverStates,
    Shift,
    ShiftAct,
    ShiftEnd,
    ShiftState,
    next_consent,
    next_shift,
    shift_state,
)
from server.gate import service as gate
from server.gate.model import Gate, GateItem
from server.kit.db import Connection
from server.kit.ids import uuid7


async def consents(conn: Connection, company_id: UUID, driver_id: UUID) -> Consents:
    """Return the driver's consents.

    Raises
    ------
    GateMissing
    """
    found = await gate.read(conn, company_id, driver_id)
    decisions = await _in_force(conn, company_id, driver_id)
    return Consents(
        items=tuple(ConsentCell(item=item, decision=decisions.get(item)) for item in GateItem),
        epoch=found.epoch,
        gate_open=found.is_open,
    )


async def decide(
    conn: Connection,
    company_id: UUID,
    driver_id: UUID,
    item: GateItem,
    act: ConsentAct,
    *,
    now: datetime,
) -> Consent:
    """Let the driver give, decline or withdraw one consent; the others stay as they are.

    Withdrawing goes through ``gate.service.stopping``. When nothing may be recorded after it, the
    shift ends with it. To withdraw again changes nothing and returns what was recorded then.

    Raises
    ------
    GateMissing, ConsentActionRefused, AccountNotActive
    """
    found = await gate.lock(conn, company_id, driver_id)
    if act is ConsentAct.GIVE and not found.account_active:
        # It would open the gate by itself once the account comes back.
        raise AccountNotActive
    before = ConsentCell(
        item=item, decision=(await _in_force(conn, company_id, driver_id)).get(item)
    )
    after = next_consent(before.state, act)
    if before.decision is not None and before.state is after:
        return before.decision
    decision = await _record(
        conn, company_id, driver_id, before, after, actor=ConsentActor.DRIVER, now=now
    )
    if act is ConsentAct.WITHDRAW:
        await _end_if_closed(conn, company_id, driver_id, now=now)
    return decision


async def withdraw_for_erasure(
    conn: Connection, company_id: UUID, driver_id: UUID, *, now: datetime
) -> None:
    """Withdraw whatever is given and end the shift, inside ``gate.service.stopping``.

    Raises
    ------
    GateMissing
    """
    await gate.lock(conn, company_id, driver_id)
    decisions = await _in_force(conn, company_id, driver_id)
    for item, decision in decisions.items():
        if decision.state is ConsentState.GIVEN:
            await _record(
                conn,
                company_id,
                driver_id,
                ConsentCell(item=item, decision=decision),
                ConsentState.WITHDRAWN,
                actor=ConsentActor.ERASURE,
                now=now,
            )
    await _stop_recording(conn, company_id, driver_id, by=ShiftEnd.ERASURE, now=now)


async def shift(conn: Connection, company_id: UUID, driver_id: UUID) -> Shift | None:
    """Return the shift that nobody has ended yet, if there is one."""
    found = await store.shifts(conn, company_id, [driver_id])
    return found[0] if found else None


async def start_shift(
    conn: Connection, company_id: UUID, driver_id: UUID, *, now: datetime
) -> Shift:
    """Begin a shift and let positions be recorded; it ends by itself after the company's maximum.

    Raises
    ------
    GateMissing, ShiftActRefused, ConsentNeeded, AccountNotActive
    """
    found = await gate.lock(conn, company_id, driver_id)
    running = await _running(conn, company_id, driver_id, now)
    next_shift(shift_state(running, now), ShiftAct.START)
    _refuse_unless_consented(found)
    company = await accounts.company(conn, company_id)
    started = Shift(
        driver_id=driver_id,
        shift_id=uuid7(),
        started_at=now,
        ends_by=now + timedelta(seconds=company.shift_max_s),
        paused_at=None,
    )
    await store.insert_shift(conn, company_id, started)
    await gate.open_window(conn, company_id, driver_id, at=now, expires_at=started.ends_by)
    return started


async def pause_shift(
    conn: Connection, company_id: UUID, driver_id: UUID, *, now: datetime
) -> Shift | None:
    """Stop recording until the driver resumes, inside ``gate.service.stopping``.

    Raises
    ------
    GateMissing, ShiftActRefused
    """
    await gate.lock(conn, company_id, driver_id)
    running = await _running(conn, company_id, driver_id, now)
    before = shift_state(running, now)
    after = next_shift(before, ShiftAct.PAUSE)
    if running is not None and after is not before:
        await store.set_paused(conn, company_id, running, now)
        await gate.close_window(conn, company_id, driver_id, at=now)
    return await shift(conn, company_id, driver_id)


async def resume_shift(
    conn: Connection, company_id: UUID, driver_id: UUID, *, now: datetime
) -> Shift | None:
    """Go on recording. Only the driver may.

    Raises
    ------
    GateMissing, ShiftActRefused, ConsentNeeded, AccountNotActive
    """
    found = await gate.lock(conn, company_id, driver_id)
    running = await _running(conn, company_id, driver_id, now)
    next_shift(shift_state(running, now), ShiftAct.RESUME)
    _refuse_unless_consented(found)
    if running is not None:
        await store.set_paused(conn, company_id, running, None)
        await gate.open_window(conn, company_id, driver_id, at=now, expires_at=running.ends_by)
    return await shift(conn, company_id, driver_id)


async def end_shift(
    conn: Connection, company_id: UUID, driver_id: UUID, *, by: ShiftEnd, now: datetime
) -> None:
    """End the shift, inside ``gate.service.stopping``. Without one there is nothing to do.

    Raises
    ------
    GateMissing
    """
    await gate.lock(conn, company_id, driver_id)
    await _stop_recording(conn, company_id, driver_id, by=by, now=now)


async def end_forgotten(conn: Connection, company_id: UUID, now: datetime) -> list[UUID]:
    """End every shift that ran its full length, at the moment it did; return whose.

    Recording had stopped then by itself: a window never outlasts its shift.
    """
    drivers = await store.drivers_past_shift(conn, company_id, now)
    ended = []
    for driver_id in drivers:
        await gate.lock(conn, company_id, driver_id)
        forgotten = await shift(conn, company_id, driver_id)
        if forgotten is not None and forgotten.ends_by <= now:
            await _end(conn, company_id, forgotten, by=ShiftEnd.FORGOTTEN, now=now)
            ended.append(driver_id)
    return ended


async def states(
    conn: Connection, company_id: UUID, driver_ids: Sequence[UUID]
) -> Mapping[UUID, DriverStates]:
    """Return consents and shift of each of the drivers."""
    decisions = {
        (one.driver_id, one.item): one.state
        for one in await store.in_force(conn, company_id, driver_ids)
    }
    running = {one.driver_id: one for one in await store.shifts(conn, company_id, driver_ids)}
    return {
        driver_id: DriverStates(
            consents={
                item: decisions.get((driver_id, item), ConsentState.NOT_ASKED) for item in GateItem
            },
            shift=running.get(driver_id),
        )
        for driver_id in driver_ids
    }


async def drivers_at_work(conn: Connection, company_id: UUID, at: datetime) -> set[UUID]:
    """Return the drivers on shift, and those whose shift a withdrawal ended before its time.

    The company must not be able to tell a withdrawal from a pause, so it looks like one.
    """
    return set(await store.drivers_at_work(conn, company_id, at))


async def erase(conn: Connection, company_id: UUID, member_id: UUID) -> int:
    """Delete the driver's consent records and shifts; return the number of rows."""
    records = await store.delete_consents(conn, company_id, member_id)
    return records + await store.delete_shifts(conn, company_id, member_id)


async def _in_force(conn: Connection, company_id: UUID, driver_id: UUID) -> dict[GateItem, Consent]:
    return {one.item: one for one in await store.in_force(conn, company_id, [driver_id])}


async def _record(
    conn: Connection,
    company_id: UUID,
    driver_id: UUID,
    before: ConsentCell,
    after: ConsentState,
    *,
    actor: ConsentActor,
    now: datetime,
) -> Consent:
    version, at = 1, now
    if before.decision is not None:
        version = before.decision.version + 1
        # Clocks of two processes differ: giving again must never reach behind the withdrawal.
        at = max(now, before.decision.recorded_at)
    since = at if after is ConsentState.GIVEN else None
    epoch = await gate.set_consent(conn, company_id, driver_id, before.item, since)
    decision = Consent(
        driver_id=driver_id,
        item=before.item,
        version=version,
        state=after,
        actor=actor,
        epoch=epoch,
        recorded_at=at,
    )
    await store.append(conn, company_id, uuid7(), decision)
    return decision


async def _end_if_closed(
    conn: Connection, company_id: UUID, driver_id: UUID, *, now: datetime
) -> None:
    if not (await gate.read(conn, company_id, driver_id)).is_consented:
        await _stop_recording(conn, company_id, driver_id, by=ShiftEnd.WITHDRAWAL, now=now)


async def _stop_recording(
    conn: Connection, company_id: UUID, driver_id: UUID, *, by: ShiftEnd, now: datetime
) -> None:
    running = await shift(conn, company_id, driver_id)
    if running is None:
        await gate.close_window(conn, company_id, driver_id, at=now)
    else:
        await _end(conn, company_id, running, by=by, now=now)


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
    conn: Connection, company_id: UUID, running: Shift, *, by: ShiftEnd, now: datetime
) -> None:
    over = running.ends_by <= now
    ended_at = running.ends_by if over else now
    ended_by = ShiftEnd.FORGOTTEN if over else by
    await store.end_shift(conn, company_id, running, ended_at, ended_by)
    await gate.close_window(conn, company_id, running.driver_id, at=ended_at)


def _refuse_unless_consented(found: Gate) -> None:
    if not found.account_active:
        raise AccountNotActive
    if not found.is_consented:
        raise ConsentNeeded
