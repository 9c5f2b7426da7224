"""Whoever looks at many drivers one by one is noticed: once an hour, with the look itself."""

import asyncio
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from server.kit.db import Connection
from server.kit.ids import uuid7
from server.ledger.model import Actor, ActorKind
from server.reads import store
from server.reads.model import ReadPurpose, Screen
from server.reads.service import Reads
from server.rights.service import tell_of_alert
from tests.ledger.chains import enrolled
from tests.told import told
from tests.world import NOW, World

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
MOST = 3
"""So many drivers raise no alert; there are four."""


@pytest.fixture
async def world(world: World) -> World:
    await world.owner.execute("UPDATE company SET bulk_read_drivers_max = $1", MOST)
    return world


@pytest.fixture
async def boss(world: World) -> UUID:
    return await enrolled(world, "main_user")


async def look(
    looking: Reads,
    world: World,
    viewer: Actor,
    drivers: Sequence[UUID],
    *,
    at: datetime = NOW,
    screen: Screen = Screen.TRACK,
) -> None:
    """Look at one driver after the other."""
    for one in drivers:
        await looking.record(world.company_id, viewer, ReadPurpose.PLAN_FACT, screen, [one], at)


async def alerts(world: World) -> list[dict[str, Any]]:
    rows = await world.owner.fetch(
        "SELECT facts FROM ledger_entry WHERE act = 'bulk_read_alert' ORDER BY index"
    )
    return [json.loads(row["facts"]) for row in rows]


@pytest.mark.proves("relog-driver-manager-apps:1.8-6.1")
async def test_one_dispatcher_who_looks_at_too_many_drivers_raises_an_alert(
    world: World, looking: Reads, dispatcher: Actor, drivers: list[UUID], boss: UUID
) -> None:
    await look(looking, world, dispatcher, drivers[:MOST])
    before = await alerts(world), await told(world, boss)

    await look(looking, world, dispatcher, drivers[MOST:], at=NOW + MINUTE)

    assert before == ([], [])
    assert await alerts(world) == [{"drivers": 4, "purpose": "plan_fact", "screen": "track"}]
    entry = await world.owner.fetchrow("SELECT * FROM ledger_entry")
    assert entry is not None
    viewer = await world.owner.fetchval(
        "SELECT pseudonym FROM ledger_subject WHERE member_id = $1", dispatcher.member_id
    )
    assert (entry["actor_kind"], entry["actor_id"]) == ("dispatcher", viewer)
    assert await told(world, boss) == [
        (
            "bulk_read",
            {
                "by": str(dispatcher.member_id),
                "by_role": "dispatcher",
                "count": "4",
                "at": "2026-11-22T12:01:00Z",
            },
        )
    ]


async def test_tracks_reports_and_files_count_together_and_each_driver_once(
    world: World, looking: Reads, dispatcher: Actor, drivers: list[UUID]
) -> None:
    for screen in (Screen.TRACK, Screen.ROUTE_REPORT, Screen.EXPORT):
        await look(looking, world, dispatcher, drivers[:MOST], screen=screen)
    several = [drivers[:2], drivers[1:MOST]]
    for some in several:
        await looking.record(
            world.company_id, dispatcher, ReadPurpose.PLAN_FACT, Screen.TRACK, some, NOW + MINUTE
        )
    assert await alerts(world) == []

    await look(looking, world, dispatcher, drivers[MOST:], screen=Screen.EXPORT)

    assert [one["screen"] for one in await alerts(world)] == ["export"]


@pytest.mark.parametrize("screen", [Screen.REPORT_SUMMARY, Screen.AREA_SEARCH])
async def test_whatever_tells_of_many_drivers_past_counts_as_well(
    world: World, looking: Reads, dispatcher: Actor, drivers: list[UUID], screen: Screen
) -> None:
    await looking.record(
        world.company_id, dispatcher, ReadPurpose.PLAN_FACT, screen, drivers[: MOST + 1], NOW
    )

    assert [one["screen"] for one in await alerts(world)] == [screen.value]


@pytest.mark.parametrize("screen", [Screen.LIVE_MAP, Screen.LINK])
async def test_the_map_that_shows_everybody_and_links_raise_none(
    world: World, looking: Reads, dispatcher: Actor, drivers: list[UUID], screen: Screen
) -> None:
    await look(looking, world, dispatcher, drivers, screen=screen)

    assert await alerts(world) == []


async def test_only_one_hour_counts(
    world: World, looking: Reads, dispatcher: Actor, drivers: list[UUID]
) -> None:
    await look(looking, world, dispatcher, drivers[:2])
    await look(looking, world, dispatcher, drivers[2:], at=NOW + HOUR)
    assert await alerts(world) == []

    # Within an hour, in whichever hours of the clock.
    await look(looking, world, dispatcher, drivers[:2], at=NOW + HOUR + 59 * MINUTE)

    assert len(await alerts(world)) == 1


async def test_within_an_hour_there_is_one_alert_and_then_another(
    world: World, looking: Reads, dispatcher: Actor, drivers: list[UUID]
) -> None:
    counts = []
    for minutes in (0, 5, 59, 60, 119, 125):
        await look(looking, world, dispatcher, drivers, at=NOW + minutes * MINUTE)
        counts.append(len(await alerts(world)))

    assert counts == [1, 1, 1, 2, 2, 3]


async def test_each_viewer_is_counted_apart_and_a_program_has_no_name(
    world: World, looking: Reads, dispatcher: Actor, drivers: list[UUID], boss: UUID
) -> None:
    program = Actor(kind=ActorKind.API_TOKEN, reference_id=uuid7())
    await look(looking, world, dispatcher, drivers[:2])
    await look(looking, world, program, drivers[2:])
    assert await alerts(world) == []

    await look(looking, world, program, drivers)

    assert len(await alerts(world)) == 1
    ((_, values),) = await told(world, boss)
    assert (values["by_role"], "by" in values) == ("api_token", False)


async def test_who_cannot_be_reported_sees_nothing(
    world: World, dispatcher: Actor, drivers: list[UUID]
) -> None:
    async def fails(*_alert: object) -> None:
        raise RuntimeError

    looking = Reads(world.pool, fails)
    await look(looking, world, dispatcher, drivers[:MOST])

    with pytest.raises(RuntimeError):
        await look(looking, world, dispatcher, drivers[MOST:])

    assert await alerts(world) == []
    assert await world.owner.fetchval("SELECT count(*) FROM location_read") == MOST
    # The control: what is told goes on.
    await look(Reads(world.pool, tell_of_alert), world, dispatcher, drivers[MOST:])
    assert len(await alerts(world)) == 1


# ---- two processes at once


async def two_at_once(
    world: World, viewer: Actor, drivers: list[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let two processes find at the same moment that it is too many."""
    one, other = (Reads(world.pool, tell_of_alert) for _ in range(2))
    await look(one, world, viewer, drivers[:MOST])
    at = NOW + 6 * MINUTE
    somebody = Actor(kind=ActorKind.API_TOKEN, reference_id=uuid7())
    # The five minutes and the lists are there: nothing else makes one process wait for the other.
    await look(one, world, somebody, [drivers[0]], at=at)
    await world.owner.execute("UPDATE company SET bulk_read_drivers_max = $1", MOST - 1)
    counted = store.drivers_looked_at
    both = asyncio.Barrier(2)

    async def together(*args: Any, **named: Any) -> tuple[int, int]:
        found = await counted(*args, **named)
        async with asyncio.timeout(5):
            await both.wait()
        return found

    monkeypatch.setattr(store, "drivers_looked_at", together)
    await asyncio.gather(
        look(one, world, viewer, drivers[:1], at=at),
        look(other, world, viewer, drivers[1:2], at=at),
    )


async def test_two_processes_at_once_raise_one_alert(
    world: World,
    dispatcher: Actor,
    drivers: list[UUID],
    boss: UUID,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await two_at_once(world, dispatcher, drivers, monkeypatch)

    assert len(await alerts(world)) == 1
    assert len(await told(world, boss)) == 1


async def test_control_an_alert_that_is_looked_for_before_it_is_raised_is_raised_twice(
    world: World,
    dispatcher: Actor,
    drivers: list[UUID],
    boss: UUID,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def looked_for(
        conn: Connection,
        company_id: UUID,
        _alert: str,
        _kind: str,
        viewer_id: UUID,
        **_times: datetime,
    ) -> bool:
        there = await conn.fetchval(
            "SELECT EXISTS (SELECT FROM viewer_alert WHERE company_id = $1 AND viewer_id = $2)",
            company_id,
            viewer_id,
        )
        await asyncio.sleep(0.3)  # the other one looks too
        return not there

    monkeypatch.setattr(store, "claim_alert", looked_for)

    await two_at_once(world, dispatcher, drivers, monkeypatch)

    assert len(await alerts(world)) == 2
    assert len(await told(world, boss)) == 2
