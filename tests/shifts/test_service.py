"""Shifts, and the windows in which positions may be recorded."""

from datetime import datetime, timedelta
from uuid import UUID

import pytest

from server.gate.model import GateItem
from server.kit import db
from server.shifts import service
from server.shifts.model import ConsentNeeded, ShiftActRefused
from tests.consent.acts import (
    DISPATCH,
    LOCATION,
    MINUTE,
    PLAN_FACT,
    act,
    read_gate,
    shift_ends,
    windows,
)
from tests.consent.people import ALL, new_driver
from tests.world import NOW, SHIFT_STARTED, World


@pytest.mark.parametrize("given", [(), (LOCATION,), (DISPATCH, PLAN_FACT)])
async def test_a_shift_needs_consent_to_start(world: World, given: tuple[GateItem, ...]) -> None:
    driver = await new_driver(world, *given)

    with pytest.raises(ConsentNeeded, match="location"):
        await act(world, driver, "start")

    assert await windows(world, driver) == ()


async def test_a_shift_records_between_start_pause_resume_and_end(world: World) -> None:
    driver = await new_driver(world, *ALL)
    started = await act(world, driver, "start", NOW)
    assert started is not None
    assert started.ends_by == NOW + timedelta(hours=14)
    await act(world, driver, "pause", NOW + 10 * MINUTE)
    await act(world, driver, "resume", NOW + 20 * MINUTE)
    assert [one.end for one in await windows(world, driver)] == [
        NOW + 10 * MINUTE,
        started.ends_by,
    ]
    await act(world, driver, "end", NOW + 30 * MINUTE)

    found = await windows(world, driver)
    assert [(one.opened_at, one.end) for one in found] == [
        (NOW, NOW + 10 * MINUTE),
        (NOW + 20 * MINUTE, NOW + 30 * MINUTE),
    ]
    assert await shift_ends(world, driver) == [(NOW + 30 * MINUTE, "driver")]


@pytest.mark.parametrize(
    ("before", "refused"),
    [
        ([], "pause"),
        ([], "resume"),
        (["start"], "start"),
        (["start"], "resume"),
        (["start", "pause"], "start"),
    ],
)
async def test_a_shift_refuses_what_its_table_refuses(
    world: World, before: list[str], refused: str
) -> None:
    driver = await new_driver(world, *ALL)
    for name in before:
        await act(world, driver, name)
    found = await windows(world, driver)

    with pytest.raises(ShiftActRefused):
        await act(world, driver, refused)

    assert await windows(world, driver) == found


async def test_a_stop_that_is_sent_again_changes_nothing(world: World) -> None:
    driver = await new_driver(world, *ALL, on_shift=True)
    await act(world, driver, "pause", NOW)
    paused = await read_gate(world, driver)
    again = await act(world, driver, "pause", NOW + MINUTE)
    assert again is not None
    assert again.paused_at == NOW
    assert await read_gate(world, driver) == paused

    await act(world, driver, "end", NOW + 2 * MINUTE)
    await act(world, driver, "end", NOW + 3 * MINUTE)

    assert await shift_ends(world, driver) == [(NOW + 2 * MINUTE, "driver")]
    assert [one.end for one in await windows(world, driver)] == [NOW]


async def end_forgotten(world: World, now: datetime) -> list[UUID]:
    async with db.tenant(world.pool, world.company_id) as conn:
        return await service.end_forgotten(conn, world.company_id, now)


async def test_a_forgotten_shift_ends_itself_when_its_time_is_over(world: World) -> None:
    forgotten = world.driver
    paused = await new_driver(world, *ALL, on_shift=True)
    await act(world, paused, "pause", NOW)
    later = await new_driver(world, *ALL, on_shift=True, started_at=NOW)
    ends_by = SHIFT_STARTED + timedelta(hours=14)

    assert await end_forgotten(world, ends_by - MINUTE) == []
    ended = await end_forgotten(world, ends_by + 5 * MINUTE)

    assert set(ended) == {forgotten.member_id, paused.member_id}
    assert await shift_ends(world, forgotten) == [(ends_by, "forgotten")]
    assert await shift_ends(world, paused) == [(ends_by, "forgotten")]
    assert await shift_ends(world, later) == [(None, None)]
    assert [one.end for one in await windows(world, forgotten)] == [ends_by]
    assert [one.end for one in await windows(world, paused)] == [NOW]
    assert await end_forgotten(world, ends_by + 6 * MINUTE) == []


async def test_before_the_job_came_a_forgotten_shift_is_over_all_the_same(world: World) -> None:
    driver = await new_driver(world, *ALL, on_shift=True)
    ends_by = SHIFT_STARTED + timedelta(hours=14)

    with pytest.raises(ShiftActRefused):
        await act(world, driver, "pause", ends_by)
    await act(world, driver, "start", ends_by + MINUTE)
    await act(world, driver, "end", ends_by + 2 * MINUTE)

    assert await shift_ends(world, driver) == [
        (ends_by, "forgotten"),
        (ends_by + 2 * MINUTE, "driver"),
    ]
    assert [(one.opened_at, one.end) for one in await windows(world, driver)] == [
        (SHIFT_STARTED, ends_by),
        (ends_by + MINUTE, ends_by + 2 * MINUTE),
    ]


async def test_ending_a_forgotten_shift_does_not_pretend_it_lasted_longer(world: World) -> None:
    driver = await new_driver(world, *ALL, on_shift=True)
    ends_by = SHIFT_STARTED + timedelta(hours=14)

    await act(world, driver, "end", ends_by + MINUTE)

    assert await shift_ends(world, driver) == [(ends_by, "forgotten")]
