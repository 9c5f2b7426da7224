"""The scope ``always``: a window is open off shift too, and still the driver's alone to open."""

from datetime import datetime, timedelta
from typing import Final

import pytest

from server.accounts import acts as accounts
from server.consent import service as consent
from server.consent.model import VALID_FOR, ConsentItem, LocationScope, LocationTerms
from server.devices import service as devices
from server.devices.model import Permission
from server.gate import service as gate
from server.kit import db
from server.ledger.model import Actor, ActorKind
from server.shifts import service
from server.shifts.model import ShiftEnd
from server.standing.model import BlockReason, By
from tests.consent.acts import MINUTE, act, give, read_gate, windows, withdraw
from tests.consent.people import ALL, new_driver
from tests.world import CONSENTED, NOW, SHIFT_STARTED, Driver, World, add_member

ALWAYS: Final = LocationTerms(scope=LocationScope.ALWAYS)
ON_SHIFT: Final = LocationTerms()
LOCATION: Final = ConsentItem.LOCATION
FOR_GOOD: Final = CONSENTED + VALID_FOR


async def always_on(world: World, *, purposes: tuple[ConsentItem, ...] = ()) -> Driver:
    driver = await new_driver(world)
    await give(world, driver, LOCATION, CONSENTED, terms=ALWAYS)
    for item in purposes or (ConsentItem.DISPATCH_TRACKING, ConsentItem.PLAN_FACT):
        await give(world, driver, item, CONSENTED)
    return driver


async def open_now(world: World, driver: Driver, at: datetime) -> datetime | None:
    """Return until when the window that is open at ``at`` goes, if there is one."""
    async with db.tenant(world.pool, world.company_id) as conn:
        found = await gate.windows(conn, world.company_id, driver.member_id, since=at, until=at)
    return next((one.end for one in found if one.contains(at)), None)


async def end(world: World, driver: Driver, by: ShiftEnd, now: datetime) -> None:
    company_id, driver_id = world.company_id, driver.member_id
    async with gate.stopping(world.pool, company_id, driver_id, now=now) as conn:
        await service.end(conn, company_id, driver_id, by=by, now=now)


async def test_any_time_is_a_window_once_location_and_a_purpose_are_given(world: World) -> None:
    driver = await new_driver(world)
    await give(world, driver, LOCATION, CONSENTED, terms=ALWAYS)
    assert await open_now(world, driver, NOW) is None

    await give(world, driver, ConsentItem.PLAN_FACT, CONSENTED)

    assert await open_now(world, driver, NOW) == FOR_GOOD


async def test_a_shift_comes_and_goes_without_a_gap(world: World) -> None:
    driver = await always_on(world)
    await act(world, driver, "start", NOW)
    await act(world, driver, "end", NOW + 10 * MINUTE)

    async with db.tenant(world.pool, world.company_id) as conn:
        found = await gate.windows(
            conn, world.company_id, driver.member_id, since=CONSENTED, until=NOW + 20 * MINUTE
        )

    assert [(one.opened_at, one.end) for one in found] == [(CONSENTED, FOR_GOOD)]


async def test_a_pause_holds_until_the_driver_resumes(world: World) -> None:
    driver = await always_on(world)
    await act(world, driver, "start", NOW)
    await act(world, driver, "pause", NOW + MINUTE)
    assert await open_now(world, driver, NOW + 2 * MINUTE) is None

    await act(world, driver, "resume", NOW + 3 * MINUTE)

    assert await open_now(world, driver, NOW + 4 * MINUTE) == FOR_GOOD


@pytest.mark.parametrize("by", [ShiftEnd.DISPATCHER, ShiftEnd.MAIN_USER, ShiftEnd.DRIVER])
async def test_the_end_of_a_shift_does_not_end_a_pause(world: World, by: ShiftEnd) -> None:
    driver = await always_on(world)
    await act(world, driver, "start", NOW)
    await act(world, driver, "pause", NOW + MINUTE)

    await end(world, driver, by, NOW + 2 * MINUTE)
    assert await open_now(world, driver, NOW + 3 * MINUTE) is None

    await act(world, driver, "start", NOW + 4 * MINUTE)
    assert await open_now(world, driver, NOW + 5 * MINUTE) == FOR_GOOD


async def test_a_forgotten_shift_leaves_a_pause_and_a_window_as_they_are(world: World) -> None:
    paused, recording = await always_on(world), await always_on(world)
    for driver in (paused, recording):
        await act(world, driver, "start", NOW)
    await act(world, paused, "pause", NOW + MINUTE)
    later = NOW + timedelta(hours=15)

    async with db.tenant(world.pool, world.company_id) as conn:
        ended = await service.end_forgotten(conn, world.company_id, later)

    assert {paused.member_id, recording.member_id} <= set(ended)
    assert await open_now(world, paused, later) is None
    assert await open_now(world, recording, later) == FOR_GOOD


@pytest.mark.parametrize("by", [ShiftEnd.BLOCK, ShiftEnd.ERASURE])
@pytest.mark.parametrize("on_shift", [True, False])
async def test_a_block_and_an_erasure_close_the_window(
    world: World, by: ShiftEnd, *, on_shift: bool
) -> None:
    driver = await always_on(world)
    if on_shift:
        await act(world, driver, "start", NOW)

    await end(world, driver, by, NOW + MINUTE)

    assert await open_now(world, driver, NOW + 2 * MINUTE) is None


async def test_nobody_but_the_driver_opens_it_again_after_a_block(world: World) -> None:
    driver = await always_on(world)
    company_id, driver_id = world.company_id, driver.member_id
    staff = await add_member(world.vault, world.pool, company_id, role="dispatcher")
    by = Actor(kind=ActorKind.DISPATCHER, member_id=staff)
    async with gate.stopping(world.pool, company_id, driver_id, now=NOW) as conn:
        await consent.block(conn, company_id, driver_id, BlockReason.OTHER, by=by, now=NOW)
    async with db.tenant(world.pool, company_id) as conn:
        await accounts.unblock(conn, company_id, driver_id, by=By.DISPATCHER, now=NOW)
    assert (await read_gate(world, driver)).is_open
    assert await open_now(world, driver, NOW + MINUTE) is None

    await act(world, driver, "start", NOW + MINUTE)

    assert await open_now(world, driver, NOW + 2 * MINUTE) == FOR_GOOD


@pytest.mark.parametrize(
    "withdrawn",
    [[LOCATION], [ConsentItem.DISPATCH_TRACKING, ConsentItem.PLAN_FACT]],
)
async def test_a_withdrawal_closes_it(world: World, withdrawn: list[ConsentItem]) -> None:
    driver = await always_on(world)

    for item in withdrawn:
        await withdraw(world, driver, item, NOW)

    assert await open_now(world, driver, NOW + MINUTE) is None
    assert not (await read_gate(world, driver)).always


async def test_giving_the_purpose_again_opens_it_again(world: World) -> None:
    driver = await always_on(world, purposes=(ConsentItem.PLAN_FACT,))
    await withdraw(world, driver, ConsentItem.PLAN_FACT, NOW)

    await give(world, driver, ConsentItem.PLAN_FACT, NOW + MINUTE)

    assert await open_now(world, driver, NOW + 2 * MINUTE) == FOR_GOOD


async def test_back_to_on_shift_the_window_ends_at_once_off_shift(world: World) -> None:
    driver = await always_on(world)

    await give(world, driver, LOCATION, NOW, terms=ON_SHIFT)

    assert await open_now(world, driver, NOW + MINUTE) is None


async def test_back_to_on_shift_the_window_is_the_shift_s(world: World) -> None:
    driver = await always_on(world)
    started = await act(world, driver, "start", NOW)
    assert started is not None

    await give(world, driver, LOCATION, NOW + MINUTE, terms=ON_SHIFT)

    assert await open_now(world, driver, NOW + 2 * MINUTE) == started.ends_by


async def test_from_on_shift_to_always_the_window_outlasts_the_shift(world: World) -> None:
    driver = await new_driver(world, *ALL, on_shift=True, started_at=SHIFT_STARTED)
    epoch = (await read_gate(world, driver)).epoch

    await give(world, driver, LOCATION, NOW, terms=ALWAYS)

    assert await open_now(world, driver, NOW + timedelta(days=3)) == FOR_GOOD
    assert (await read_gate(world, driver)).epoch == epoch + 1
    found = await windows(world, driver)
    assert [(one.opened_at, one.end) for one in found] == [(SHIFT_STARTED, FOR_GOOD)]


@pytest.mark.parametrize("stopped_by", ["pause", "block", "denied"])
async def test_no_answer_to_a_question_goes_on_recording_after_a_stop(
    world: World, stopped_by: str
) -> None:
    driver = await always_on(world, purposes=(ConsentItem.DISPATCH_TRACKING,))
    ids = (world.company_id, driver.member_id)
    if stopped_by == "pause":
        await act(world, driver, "start", NOW)
        await act(world, driver, "pause", NOW)
        await end(world, driver, ShiftEnd.DRIVER, NOW)
    elif stopped_by == "block":
        await end(world, driver, ShiftEnd.BLOCK, NOW)
    else:
        async with gate.stopping(world.pool, *ids, now=NOW) as conn:
            await devices.set_permission(conn, *ids, driver.device_id, Permission.DENIED, now=NOW)

    await give(world, driver, ConsentItem.PLAN_FACT, NOW + MINUTE)

    assert await open_now(world, driver, NOW + 2 * MINUTE) is None
    await act(world, driver, "start", NOW + 3 * MINUTE)
    assert await open_now(world, driver, NOW + 4 * MINUTE) == FOR_GOOD
