"""From positions to alerts: a driver leaves the road, stands there, and falls silent."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import pytest

from server.kit import db
from server.kit.ids import uuid7
from server.reads.service import Reads
from server.reports.refresh import LiveRoutes
from server.rights.service import tell_of_alert
from server.routes import editing
from server.routes import service as routes
from server.routes.model import NewRoute, RouteHead
from server.tracking.model import Positions, to_ms
from tests.alerts.seen import TICK, alerts, judge, withdraw
from tests.reports.days import (
    CLIENT,
    DEPOT,
    HOUR,
    MINUTE,
    STARTED,
    STEP_S,
    STOPS,
    drive,
    share,
    store_positions,
)
from tests.world import NOW, World, add_driver

SECOND: Final = timedelta(seconds=1)
BEGAN: Final = NOW - HOUR
LEAVES_DEPOT_S: Final = 300.0
LEAVES_ROAD_S: Final = 550.0
HALTS_S: Final = 670.0
SILENT_S: Final = 2_700
ASIDE_DEG: Final = 0.01
"""About 1.1 km to the north of the road."""


async def planned(world: World, *, began: datetime) -> RouteHead:
    """Plan the day's two stops from then on, and the road between them."""
    stops = [
        replace(
            stop,
            stop_id=uuid7(),
            planned_arrival=began + ((stop.planned_arrival or STARTED) - STARTED),
            window_start=None,
            window_end=None,
        )
        for stop in STOPS
    ]
    new = NewRoute(
        name="North of Aral",
        day=began.date(),
        driver_id=world.driver.member_id,
        vehicle_id=None,
        planned_start=began,
        stops=stops,
        line=(DEPOT, CLIENT),
    )
    draft = await routes.drafted(new)
    async with db.tenant(world.pool, world.company_id) as conn:
        made = await routes.create(conn, world.vault, world.company_id, draft, now=began)
    return made.head


def strayed(from_s: int, to_s: int, *, aside_deg: float = ASIDE_DEG) -> Positions:
    """Return half of the way to the client, a way aside, and a stand there."""
    seconds = np.arange(from_s, to_s, STEP_S, dtype=np.float64)
    way = np.interp(seconds, (LEAVES_DEPOT_S, LEAVES_ROAD_S), (0.0, 0.5))
    aside = np.interp(seconds, (LEAVES_ROAD_S, HALTS_S), (0.0, aside_deg))
    values = np.full((7, len(seconds)), np.nan)
    values[0] = np.round(DEPOT[1] + way * (CLIENT[1] - DEPOT[1]) + aside, 7)
    values[1] = np.round(DEPOT[0] + way * (CLIENT[0] - DEPOT[0]), 7)
    values[2] = 5.0
    return Positions(
        time_ms=to_ms(BEGAN) + (seconds * 1000).astype(np.int64),
        values=values,
        flags=np.full(len(seconds), 1, np.uint8),
    )


async def follow(world: World, live: LiveRoutes, second: int) -> datetime:
    """Do what the job does, as the server knows the world at that second."""
    now = BEGAN + timedelta(seconds=second)
    refreshed = await live.refresh(world.company_id, now=now)
    await judge(world, *refreshed, at=now)
    return now


async def test_what_happens_on_the_road_is_raised_in_its_order_and_once(world: World) -> None:
    await share(world, world.driver, NOW - 3 * HOUR)
    await planned(world, began=BEGAN)
    live = LiveRoutes(world.pool, world.vault, Reads(world.pool, tell_of_alert))
    raised_at: dict[str, float] = {}
    for second in range(60, 3_600, 60):
        if second <= SILENT_S:
            await store_positions(world, world.driver, strayed(second - 60, second))
        await follow(world, live, second)
        for kind, occurrence, is_open in await alerts(world):
            assert (occurrence, is_open) == (1, True)
            raised_at.setdefault(kind, second)

    # Off the road for three minutes, 300 m away; a quarter of an hour after the next stop was due
    # (900 s), which needs no place on the road; half an hour of standing where nobody waits; ten
    # minutes of silence.
    assert LEAVES_ROAD_S + 180 <= raised_at["off_route"] <= HALTS_S + 240
    assert 1_800 <= raised_at["late"] <= 1_920
    assert HALTS_S + 1_800 - 60 <= raised_at["long_stop"] <= HALTS_S + 1_800 + 180
    assert SILENT_S + 600 - 60 <= raised_at["no_signal"] <= SILENT_S + 600 + 60

    await withdraw(world, "plan_fact", at=BEGAN + HOUR)
    await follow(world, live, 3_630)

    assert {is_open for _, _, is_open in await alerts(world)} == {False}
    assert len(await alerts(world)) == len(raised_at)


async def test_who_stands_on_the_road_is_late_once_the_limit_is_reached(world: World) -> None:
    await share(world, world.driver, NOW - 3 * HOUR)
    await planned(world, began=BEGAN)
    live = LiveRoutes(world.pool, world.vault, Reads(world.pool, tell_of_alert))
    raised_at = None
    for second in range(60, 1_980, 60):
        await store_positions(world, world.driver, strayed(second - 60, second, aside_deg=0.0))
        await follow(world, live, second)
        if raised_at is None and ("late", 1, True) in await alerts(world):
            raised_at = second

    # Half of the way was to be driven by then; from then on each second is one of delay.
    assert raised_at is not None
    assert LEAVES_ROAD_S + 840 <= raised_at <= LEAVES_ROAD_S + 1_080


async def test_who_drives_as_planned_is_left_alone(world: World) -> None:
    began = NOW - 20 * MINUTE
    await share(world, world.driver, NOW - 3 * HOUR)
    await planned(world, began=began)
    live = LiveRoutes(world.pool, world.vault, Reads(world.pool, tell_of_alert))
    for second in range(60, 1_100, 60):
        on_time = drive(began, from_s=second - 60, to_s=second)
        await store_positions(world, world.driver, on_time)
        now = began + timedelta(seconds=second)
        await judge(world, *await live.refresh(world.company_id, now=now), at=now)

    assert await alerts(world) == []


def parked(begin: datetime, end: datetime) -> Positions:
    """Return positions at the depot."""
    seconds = np.arange(0, (end - begin).total_seconds(), STEP_S, dtype=np.float64)
    values = np.full((7, len(seconds)), np.nan)
    values[0], values[1], values[2] = DEPOT[1], DEPOT[0], 5.0
    return Positions(
        time_ms=to_ms(begin) + (seconds * 1000).astype(np.int64),
        values=values,
        flags=np.full(len(seconds), 1, np.uint8),
    )


@pytest.mark.parametrize(
    ("began", "routes_before"), [(NOW + HOUR, 0), (NOW, 1)], ids=["first of the day", "second"]
)
async def test_whose_phone_never_falls_silent_has_no_lost_signal_as_a_route_begins(
    world: World, began: datetime, routes_before: int
) -> None:
    """An hour before its start a first route begins to be followed, a second one at its start."""
    await share(world, world.driver, NOW - 3 * HOUR)
    for _ in range(routes_before):
        await planned(world, began=NOW - 2 * HOUR)
    await planned(world, began=began)
    live = LiveRoutes(world.pool, world.vault, Reads(world.pool, tell_of_alert))
    begin, late = NOW - HOUR, 10 * SECOND
    await store_positions(world, world.driver, parked(begin, NOW - late), stored_at=NOW - late)

    for tick in range(7):
        at = NOW + tick * TICK
        await judge(world, *await live.refresh(world.company_id, now=at), at=at)
        more = parked(at - late, at + TICK - late)
        await store_positions(world, world.driver, more, stored_at=at + TICK - late)

    assert "no_signal" not in {kind for kind, _, _ in await alerts(world)}


async def test_whoever_is_handed_a_route_is_told_of_nothing_that_was_before(world: World) -> None:
    """They worked off its road, and stood there: that was no work on it."""
    other = await add_driver(world.vault, world.pool, world.company_id)
    for driver in (world.driver, other):
        await share(world, driver, NOW - 3 * HOUR)
    head = await planned(world, began=BEGAN)
    await store_positions(world, other, strayed(0, SILENT_S))
    live = LiveRoutes(world.pool, world.vault, Reads(world.pool, tell_of_alert))
    await follow(world, live, SILENT_S - 120)
    at = BEGAN + timedelta(seconds=SILENT_S - 60)
    async with db.tenant(world.pool, world.company_id) as conn:
        await editing.assign(
            conn,
            world.company_id,
            head.route_id,
            driver_id=other.member_id,
            vehicle_id=None,
            now=at,
        )

    await follow(world, live, SILENT_S)

    assert [kind for kind, _, is_open in await alerts(world) if is_open] == []
