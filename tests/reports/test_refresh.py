"""Routes that are being driven are followed: from what is new, and only while it is shared."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from geo import live as live_geo
from geo.live import LiveState
from geo.types import Floats
from geo.values import OwnTime, Track
from geo.values import Plan as GeoPlan
from server.kit import db
from server.reads.service import Reads
from server.reports import refresh, store
from server.reports.refresh import LiveRoutes, Refreshed
from server.reports.store import Fresh
from server.rights.service import tell_of_alert
from server.routes import editing
from server.routes.model import RouteHead
from tests.reports.days import (
    HOUR,
    MINUTE,
    drive,
    give_again,
    plan,
    share,
    store_positions,
    withdraw,
)
from tests.world import NOW, Driver, World, add_driver

BEGAN = NOW - 30 * MINUTE
TICK = timedelta(seconds=30)


def following(world: World) -> LiveRoutes:
    return LiveRoutes(world.pool, world.vault, Reads(world.pool, tell_of_alert))


async def planned(world: World) -> RouteHead:
    await share(world, world.driver, NOW - 3 * HOUR)
    return await plan(world, world.driver, began=BEGAN)


async def upload(world: World, from_s: float, to_s: float) -> None:
    """Store what was recorded of the drive between these seconds, as soon as it was."""
    await store_positions(
        world,
        world.driver,
        drive(BEGAN, from_s=from_s, to_s=to_s),
        stored_at=BEGAN + timedelta(seconds=to_s),
    )


async def follow(world: World, live: LiveRoutes, until_s: int, *, begin_s: int = 0) -> Refreshed:
    """Drive and refresh every half a minute; return the last of them."""
    found: Sequence[Refreshed] = ()
    for second in range(begin_s, until_s, 30):
        await upload(world, second, second + 30)
        now = BEGAN + timedelta(seconds=second + 30)
        found = await live.refresh(world.company_id, now=now)
    [one] = found
    return one


async def test_a_route_that_is_followed_stands_where_its_whole_track_says(world: World) -> None:
    head = await planned(world)
    live = following(world)

    followed = await follow(world, live, 900)
    [anew] = await following(world).refresh(world.company_id, now=BEGAN + 900 * TICK / 30)

    assert followed.head.route_id == head.route_id
    assert len(followed.stop_ids) == 2
    assert followed.summary.last_fix_s == anew.summary.last_fix_s
    assert followed.summary.next_stop == anew.summary.next_stop
    visited = [[visit.stop for visit in one.summary.visits] for one in (followed, anew)]
    assert visited[0] == visited[1]
    assert 0 in visited[0]
    assert followed.summary.along_m == pytest.approx(anew.summary.along_m, abs=50.0)


async def test_each_refresh_opens_only_what_came_since_the_last(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await planned(world)
    live = following(world)
    await follow(world, live, 300)
    opened: list[int] = []
    advance = live_geo.advance

    def counting(state: LiveState, fixes: Track, *, shared_s: Floats, until_s: float) -> LiveState:
        opened.append(len(fixes.time_s))
        return advance(state, fixes, shared_s=shared_s, until_s=until_s)

    monkeypatch.setattr(live_geo, "advance", counting)
    await follow(world, live, 600, begin_s=300)

    assert opened == [6] * 10


async def test_what_commits_late_is_not_missed(world: World) -> None:
    await planned(world)
    live = following(world)
    await follow(world, live, 300)

    now = BEGAN + timedelta(seconds=360)
    await live.refresh(world.company_id, now=now)
    await store_positions(
        world, world.driver, drive(BEGAN, from_s=300, to_s=360), stored_at=now - TICK
    )
    [found] = await live.refresh(world.company_id, now=now + TICK)

    assert found.summary.last_fix_s == (BEGAN + timedelta(seconds=355)).timestamp()


async def test_a_driver_who_withdraws_is_followed_and_remembered_no_more(world: World) -> None:
    await planned(world)
    live = following(world)
    await follow(world, live, 300)
    before = len(live)
    now = BEGAN + timedelta(seconds=330)

    await withdraw(world, at=now)
    withdrawn = await live.refresh(world.company_id, now=now)
    forgotten = len(live)
    await give_again(world, at=now + TICK)
    [again] = await live.refresh(world.company_id, now=now + 2 * TICK)

    assert (before, withdrawn, forgotten) == (1, [], 0)
    assert again.summary.last_fix_s is None
    assert list(again.summary.visits) == []


async def test_a_route_that_is_over_is_remembered_no_more(world: World) -> None:
    head = await planned(world)
    live = following(world)
    await follow(world, live, 300)

    found = await live.refresh(world.company_id, now=head.ends_at + 5 * HOUR)

    assert (found, len(live)) == ([], 0)


async def test_after_a_change_of_consent_a_route_is_followed_from_its_start(world: World) -> None:
    await planned(world)
    live = following(world)
    before = await follow(world, live, 300)
    now = BEGAN + timedelta(seconds=330)
    await withdraw(world, at=now)
    await give_again(world, at=BEGAN - 2 * HOUR)

    [after] = await live.refresh(world.company_id, now=now + TICK)

    assert after.gate.epoch > before.gate.epoch
    assert after.summary.last_fix_s == before.summary.last_fix_s


async def test_looks_are_written_down_once_in_five_minutes(world: World) -> None:
    await planned(world)
    live = following(world)

    await follow(world, live, 600)

    rows = await world.owner.fetch("SELECT viewer_kind, screen, bucket_at FROM location_read")
    assert {(row["viewer_kind"], row["screen"]) for row in rows} == {("system", "automatic_report")}
    assert len(rows) == len({row["bucket_at"] for row in rows}) == 3


async def test_a_route_that_cannot_be_followed_is_begun_again_and_holds_up_nobody(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = await planned(world)
    live = following(world)
    await follow(world, live, 300)
    other = await add_driver(world.vault, world.pool, world.company_id)
    await share(world, other, NOW - 3 * HOUR)
    await plan(world, other, began=BEGAN)
    now = BEGAN + timedelta(seconds=330)
    await live.refresh(world.company_id, now=now)
    advance, fails = live_geo.advance, True

    def failing(state: LiveState, fixes: Track, *, shared_s: Floats, until_s: float) -> LiveState:
        nonlocal fails
        if fails and state.last_fix_s is not None:
            fails = False
            raise ZeroDivisionError
        return advance(state, fixes, shared_s=shared_s, until_s=until_s)

    monkeypatch.setattr(live_geo, "advance", failing)
    found = await live.refresh(world.company_id, now=now + TICK)

    assert not fails
    assert {one.head.route_id for one in found} >= {head.route_id}
    assert len(found) == 2
    [first] = [one for one in found if one.head.route_id == head.route_id]
    assert first.summary.last_fix_s == (BEGAN + timedelta(seconds=295)).timestamp()


@pytest.mark.parametrize("step", ["begin", "summary"])
async def test_whatever_fails_in_one_route_the_others_are_followed(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    bad = await planned(world)
    other = await add_driver(world.vault, world.pool, world.company_id)
    await share(world, other, NOW - 3 * HOUR)
    good = await plan(world, other, began=BEGAN)
    real = getattr(live_geo, step)
    broken: list[GeoPlan | LiveState] = []

    def failing(first: GeoPlan | LiveState, **more: float) -> object:
        # Routes are begun and told of in the order in which they come.
        if not broken:
            broken.append(first)
            raise KeyError
        return real(first, **more)

    monkeypatch.setattr(live_geo, step, failing)

    found = await following(world).refresh(world.company_id, now=NOW)

    assert len(broken) == 1
    assert len(found) == 1
    assert found[0].head.route_id in {bad.route_id, good.route_id}


async def test_routes_that_are_held_are_built_anew_also_where_no_other_has_room(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await planned(world)
    monkeypatch.setattr(refresh, "ROUTES_HELD_MAX", 1)
    live = following(world)
    await live.refresh(world.company_id, now=NOW)
    other = await add_driver(world.vault, world.pool, world.company_id)
    await share(world, other, NOW - 3 * HOUR)
    await plan(world, other, began=BEGAN)
    begun = []
    begin, advance = live_geo.begin, live_geo.advance

    def counting(of: GeoPlan, *, own: OwnTime) -> LiveState:
        begun.append(of)
        return begin(of, own=own)

    def contradicted(
        state: LiveState, fixes: Track, *, shared_s: Floats, until_s: float
    ) -> LiveState:
        return replace(advance(state, fixes, shared_s=shared_s, until_s=until_s), rebuild_due=True)

    monkeypatch.setattr(live_geo, "begin", counting)
    monkeypatch.setattr(live_geo, "advance", contradicted)
    await live.refresh(world.company_id, now=NOW + TICK)

    assert (len(begun), len(live)) == (1, 1)


async def test_routes_beyond_what_may_be_held_are_left_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await planned(world)
    other = await add_driver(world.vault, world.pool, world.company_id)
    await share(world, other, NOW - 3 * HOUR)
    await plan(world, other, began=BEGAN)
    monkeypatch.setattr(refresh, "ROUTES_HELD_MAX", 1)
    live = following(world)

    found = await live.refresh(world.company_id, now=NOW)

    assert (len(found), len(live)) == (1, 1)


async def test_of_a_company_without_routes_nothing_more_is_asked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object, **__: object) -> list[Fresh]:
        raise AssertionError

    monkeypatch.setattr(store, "fresh", never)

    assert await following(world).refresh(world.company_id, now=NOW) == []


async def hand_over(world: World, head: RouteHead, to: Driver, at: datetime) -> None:
    place = (world.company_id, head.route_id)
    async with db.tenant(world.pool, world.company_id) as conn:
        await editing.assign(conn, *place, driver_id=to.member_id, vehicle_id=None, now=at)


async def test_who_is_handed_a_route_is_followed_from_then_on(world: World) -> None:
    """Where they were before is nothing of it, though by its plan it had begun."""
    head = await planned(world)
    other = await add_driver(world.vault, world.pool, world.company_id)
    await share(world, other, NOW - 3 * HOUR)
    await store_positions(world, other, drive(BEGAN, to_s=900))
    live, given = following(world), BEGAN + 10 * MINUTE
    [before] = await live.refresh(world.company_id, now=given)
    await hand_over(world, head, other, given)

    [after] = await live.refresh(world.company_id, now=BEGAN + 15 * MINUTE)

    assert (before.gate.driver_id, after.gate.driver_id) == (head.driver_id, other.member_id)
    assert after.since == given
    assert [visit.stop for visit in after.summary.visits] == [1]
    assert after.summary.last_fix_s == (BEGAN + timedelta(seconds=895)).timestamp()


async def test_who_is_given_a_route_back_is_followed_from_then_on(world: World) -> None:
    head = await planned(world)
    other = await add_driver(world.vault, world.pool, world.company_id)
    live = following(world)
    before = await follow(world, live, 400)
    now = BEGAN + timedelta(seconds=410)
    await hand_over(world, head, other, now - TICK)
    await hand_over(world, head, world.driver, now)

    [after] = await live.refresh(world.company_id, now=now + TICK)

    assert before.summary.visits
    assert (after.since, list(after.summary.visits)) == (now, [])
