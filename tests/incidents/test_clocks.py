"""Every clock of an incident, moved by hand: nothing is silent, nothing passes its date."""

from datetime import timedelta
from typing import Final

import pytest
from aiohttp import ClientSession

from server.kit.wire import rfc3339
from tests.disclosures.acts import People, acts, call, keep_sessions
from tests.http import Clock
from tests.incidents.acts import (
    HOUR,
    INCIDENTS,
    assessed,
    end,
    notify,
    read,
    reported,
    scope,
    told_of,
    watch,
)
from tests.told import told
from tests.world import NOW, World

DAY: Final = timedelta(days=1)
STEPS: Final = range(7 * 24 + 1)


async def told_at(world: World, people: People) -> list[tuple[str, str, str]]:
    """Return what the main user was told of clocks: kind, step, and until when."""
    return [
        (kind, facts["step"], facts["due_at"])
        for kind, facts in await told(world, people.boss_id)
        if kind in ("incident_due", "incident_overdue")
    ]


@pytest.mark.proves("qoldau:12")
async def test_hour_by_hour_for_a_week_each_clock_reminds_and_then_tells_every_day(
    world: World, client: ClientSession, people: People
) -> None:
    await reported(client, people.driver)
    heard: list[tuple[int, str, str]] = []
    for hour in STEPS:
        before = len(await told_at(world, people))
        await watch(world, NOW + hour * HOUR)
        for kind, step, _ in (await told_at(world, people))[before:]:
            heard.append((hour, kind, step))

    # Sunday 17:00 in Almaty: the authority is due on Monday, the members on Wednesday.
    assert heard == [
        (12, "incident_due", "authority"),
        (24, "incident_overdue", "authority"),
        (36, "incident_due", "members"),
        (48, "incident_overdue", "authority"),
        *(
            (24 * day, "incident_overdue", step)
            for day in range(3, 8)
            for step in ("authority", "members")
        ),
    ]
    assert (await told_of(world, "incident_due")).keys() == {people.boss_id}
    # Once it ran out more people know.
    overdue = await told_of(world, "incident_overdue")
    assert overdue[people.boss_id] == overdue[people.dispatcher_id] == 12
    assert len(await acts(world, "incident_overdue")) == 12


async def test_a_clock_that_was_kept_is_silent(
    world: World, client: ClientSession, people: People, clock: Clock
) -> None:
    await keep_sessions(world)
    incident_id = await reported(client, people.driver)
    clock.at = NOW + 11 * HOUR
    await notify(client, people, incident_id, clock.at)
    await assessed(client, people, incident_id, scope("company"))

    for hour in STEPS:
        assert await watch(world, NOW + hour * HOUR) == 0
    assert await told_of(world, "incident_overdue") == {}


async def test_what_was_dismissed_is_silent(
    world: World, client: ClientSession, people: People
) -> None:
    incident_id = await reported(client, people.driver)
    await end(client, people, incident_id, "dismiss")

    assert await watch(world, NOW + 30 * DAY) == 0


async def test_jobs_that_did_not_run_for_days_tell_at_once_that_it_is_late(
    world: World, client: ClientSession, people: People
) -> None:
    await reported(client, people.driver)

    await watch(world, NOW + 10 * DAY)
    await watch(world, NOW + 10 * DAY)

    assert [kind for kind, _, _ in await told_at(world, people)] == ["incident_overdue"] * 2


async def test_the_clock_runs_from_when_it_was_noticed_and_not_from_the_report(
    world: World, client: ClientSession, people: People
) -> None:
    friday = NOW - 2 * DAY - 6 * HOUR

    incident_id = await reported(client, people.boss, noticed_at=friday)

    found = await read(client, people, incident_id)
    # Friday 11:00 in Almaty, reported on Sunday: Monday 11:00.
    assert found["authority_due_at"] == rfc3339(friday + 3 * DAY)
    assert await watch(world, NOW) == 2  # of both clocks half is over
    body = {"what": "Later", "noticed_at": rfc3339(NOW + HOUR)}
    assert (await call(client, "POST", INCIDENTS, people.boss, body))[0] == 422


async def test_a_late_notification_says_so_in_the_ledger(
    world: World, client: ClientSession, people: People, clock: Clock
) -> None:
    await keep_sessions(world)
    in_time, late = [await reported(client, people.boss) for _ in range(2)]
    clock.at = NOW + DAY
    await notify(client, people, in_time, clock.at)
    clock.at = NOW + DAY + timedelta(seconds=1)
    await notify(client, people, late, clock.at)

    rows = await world.owner.fetch(
        "SELECT facts FROM ledger_entry WHERE act = 'incident_notified' ORDER BY index"
    )
    assert ['"in_time":true' in row["facts"] for row in rows] == [True, False]
