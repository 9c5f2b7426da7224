"""Who was within some metres of a place: found by what each driver shares, and written down."""

import json
from datetime import timedelta
from typing import Any

import pytest

from server.credentials import service as credentials
from server.credentials.model import Scope
from server.fleet_tracks import service
from server.gate.model import GateItem
from server.kit import db
from server.kit.wire import rfc3339
from server.tracking import service as tracking
from tests.fleet_tracks.fleet import HOUR, LAT, LON, MINUTE, Fleet, ids
from tests.told import last_entry
from tests.world import NOW, World, add_company, add_driver, add_member, open_session


async def test_it_tells_who_was_there_from_when_until_when_and_how_near(fleet: Fleet) -> None:
    standing, passing, away = await fleet.add(3)
    await fleet.drive(standing, (80, 0), (50, 0), (90, 0), accuracy_m=6.5)
    await fleet.drive(passing, (-600, 60), (600, 60), step_s=60)
    await fleet.drive(away, (0, 101), (0, 250))

    status, answer = await fleet.search()

    assert status == 200
    found = {one["driver_id"]: one["visits"] for one in answer.pop("items")}
    assert answer == {
        "from": rfc3339(NOW - 3 * HOUR),
        "to": rfc3339(NOW + HOUR),
        "purpose": "plan_fact",
        "drivers_searched": 4,
    }
    assert found == {
        str(standing.member_id): [
            {
                "entered_at": "2026-11-22T11:59:40Z",
                "left_at": "2026-11-22T12:00:00Z",
                "closest_m": 50.0,
                "accuracy_m": 6.5,
                "positions": 3,
            }
        ],
        # 80 m to each side of the middle, at 20 m/s: neither position lies inside.
        str(passing.member_id): [
            {
                "entered_at": "2026-11-22T11:59:26Z",
                "left_at": "2026-11-22T11:59:34Z",
                "closest_m": 60.0,
                "accuracy_m": None,
                "positions": 0,
            }
        ],
    }


async def test_a_short_absence_ends_no_visit_and_a_pause_does(fleet: Fleet) -> None:
    (paused,) = await fleet.add()
    for driver in (fleet.first, paused):
        await fleet.drive(driver, (30, 0), until=NOW - timedelta(seconds=110))
        await fleet.drive(driver, (900, 0), until=NOW - timedelta(seconds=55))
        await fleet.drive(driver, (30, 0))
    await fleet.pause(paused, since=NOW - timedelta(seconds=50), until=NOW - timedelta(seconds=10))

    _, answer = await fleet.search()

    visits = {one["driver_id"]: len(one["visits"]) for one in answer["items"]}
    assert visits == {str(fleet.first.member_id): 1, str(paused.member_id): 2}


async def test_only_the_time_that_was_asked_for_is_searched(fleet: Fleet) -> None:
    await fleet.stand(fleet.first)

    assert await fleet.found(to=rfc3339(NOW - timedelta(seconds=20))) == []
    assert await fleet.found(to=rfc3339(NOW)) == ids([fleet.first])
    assert await fleet.found(**{"from": rfc3339(NOW + timedelta(seconds=1))}) == []


@pytest.mark.parametrize(
    ("item", "is_found"),
    [(GateItem.LOCATION, False), (GateItem.PLAN_FACT, False), (GateItem.DISPATCH_TRACKING, True)],
)
async def test_who_does_not_share_their_tracks_is_not_found(
    fleet: Fleet, item: GateItem, *, is_found: bool
) -> None:
    await fleet.stand(fleet.first)
    assert await fleet.found() == ids([fleet.first])

    await fleet.withdraw(fleet.first, item)
    _, answer = await fleet.search()

    assert (len(answer["items"]), answer["drivers_searched"]) == (int(is_found), int(is_found))


async def test_what_a_pause_or_an_earlier_consent_hides_is_not_found(fleet: Fleet) -> None:
    paused, regranted, apart = await fleet.add(3)
    for driver in (paused, regranted, apart):
        await fleet.stand(driver)
    assert await fleet.found() == ids([paused, regranted, apart])
    await fleet.pause(paused, since=NOW - MINUTE, until=NOW + MINUTE)
    async with db.tenant(fleet.world.pool, fleet.world.company_id) as conn:
        await conn.execute(
            "UPDATE gate SET plan_fact_since = $2 WHERE driver_id = $1",
            regranted.member_id,
            NOW + timedelta(seconds=1),
        )
        await tracking.set_apart(conn, fleet.world.company_id, apart.member_id, now=NOW)

    assert await fleet.found() == []


async def test_who_is_blocked_or_erased_is_not_found(fleet: Fleet) -> None:
    blocked, erased, shredded = await fleet.add(3)
    world = fleet.world
    for driver in (blocked, erased, shredded):
        await fleet.stand(driver)
    assert await fleet.found() == ids([blocked, erased, shredded])
    async with db.tenant(world.pool, world.company_id) as conn:
        await conn.execute(
            "UPDATE gate SET account_active = false WHERE driver_id = $1", blocked.member_id
        )
        await tracking.erase(conn, world.company_id, erased.member_id)
    # Their rows are still there: what is gone is what opens them.
    await world.vault.destroy(world.company_id, shredded.member_id, NOW)

    assert await fleet.found() == []


async def test_nobody_of_another_company_is_found(fleet: Fleet) -> None:
    world = fleet.world
    other = await add_company(world.vault, world.owner)
    foreign = await add_driver(world.vault, world.pool, other)
    chief = await add_member(world.vault, world.pool, other, role="main_user")
    await fleet.stand(foreign)

    assert await fleet.found() == []
    assert await fleet.found(token=await open_session(world.pool, other, chief)) == ids([foreign])


# ---- who looked


async def test_everybody_who_is_found_sees_who_looked_and_nobody_else_does(fleet: Fleet) -> None:
    here, away = await fleet.add(2)
    await fleet.stand(here)
    await fleet.drive(away, (0, 5000))

    await fleet.search()

    assert await fleet.looks() == {("dispatcher", "plan_fact", "area_search")}
    assert await fleet.looked_at() == {str(here.member_id)}


async def test_the_search_stands_in_the_ledger_without_the_place(fleet: Fleet) -> None:
    await fleet.add(2)

    await fleet.search()

    assert await last_entry(fleet.world) == (
        "area_searched",
        "dispatcher",
        {
            "drivers": 3,
            "from": "2026-11-22T09:00:00.000000Z",
            "purpose": "plan_fact",
            "radius_m": 100,
            "to": "2026-11-22T13:00:00.000000Z",
        },
    )


async def test_whoever_searches_out_many_drivers_is_reported(fleet: Fleet) -> None:
    await fleet.world.owner.execute("UPDATE company SET bulk_read_drivers_max = 1")
    for driver in (fleet.first, *await fleet.add()):
        await fleet.stand(driver)

    await fleet.search()

    facts = {"drivers": 2, "purpose": "plan_fact", "screen": "area_search"}
    assert await last_entry(fleet.world) == ("bulk_read_alert", "dispatcher", facts)


async def test_what_was_not_searched_is_not_noted(fleet: Fleet) -> None:
    for changes in ({"purpose": ...}, {"to": rfc3339(NOW - 4 * HOUR)}):
        status, _ = await fleet.search(**changes)
        assert status == 422

    assert (
        await fleet.world.owner.fetchval(
            "SELECT count(*) FROM ledger_entry WHERE act = 'area_searched'"
        )
        == 0
    )


# ---- who may, and what is refused


async def api_token(world: World, scope: Scope) -> str:
    async with db.tenant(world.pool, world.company_id) as conn:
        _, token = await credentials.add_api_token(
            conn, world.company_id, name="T", scopes=[scope], expires_at=None, now=NOW
        )
    return token


async def test_only_staff_and_tokens_for_tracks_may_search(fleet: Fleet) -> None:
    await fleet.stand(fleet.first)
    world = fleet.world
    callers = {
        "main user": await world.session("main_user"),
        "dispatcher": fleet.staff,
        "tracks": await api_token(world, Scope.TRACKS_READ),
        "live": await api_token(world, Scope.LIVE_READ),
        "driver": await world.driver_session(),
        "device": fleet.first.device_token,
    }

    statuses = {who: (await fleet.search(token=token))[0] for who, token in callers.items()}

    assert statuses == {
        "main user": 200,
        "dispatcher": 200,
        "tracks": 200,
        "live": 403,
        "driver": 403,
        "device": 403,
    }
    async with fleet.api.client.post("/v1/area-searches", json={}) as answer:
        assert answer.status == 401


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"lat": 91}, "/lat"),
        ({"lat": -90.0001}, "/lat"),
        ({"lon": 180.1}, "/lon"),
        ({"lat": "51"}, "/lat"),
        ({"lat": None}, "/lat"),
        ({"lat": ...}, "/lat"),
        ({"radius_m": 0}, "/radius_m"),
        ({"radius_m": -1}, "/radius_m"),
        ({"radius_m": 9.9}, "/radius_m"),
        ({"radius_m": 5001}, "/radius_m"),
        ({"radius_m": True}, "/radius_m"),
        ({"from": "yesterday"}, "/from"),
        ({"to": ...}, "/to"),
        ({"purpose": ...}, "/purpose"),
        ({"purpose": "dispatch_tracking"}, "/purpose"),
        ({"purpose": "customer_link"}, "/purpose"),
        ({"purpose": ""}, "/purpose"),
        ({"driver_id": "x"}, "/driver_id"),
    ],
)
async def test_what_cannot_be_searched_is_named(
    fleet: Fleet, changes: dict[str, Any], path: str
) -> None:
    status, problem = await fleet.search(**changes)

    assert (status, problem["code"]) == (422, "fields-invalid")
    assert [one["path"] for one in problem["fields"]] == [path]
    assert "51.12" not in json.dumps(problem)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
async def test_a_number_that_is_none_is_refused(fleet: Fleet, number: str) -> None:
    for name in ("lat", "lon", "radius_m"):
        status, _ = await fleet.search_raw(f'{{"{name}": {number}}}')
        assert status in (400, 422)


@pytest.mark.parametrize(
    "span",
    [
        (NOW, NOW),
        (NOW, NOW - HOUR),
        (NOW - timedelta(hours=24, microseconds=1), NOW),
    ],
)
async def test_a_span_that_is_none_or_too_long_is_refused(fleet: Fleet, span: Any) -> None:
    texts = [one.isoformat() for one in span]

    status, problem = await fleet.search(**dict(zip(("from", "to"), texts, strict=True)))

    assert (status, problem["code"]) == (422, "area-span-invalid")


async def test_too_many_positions_are_refused_before_any_is_opened(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "AREA_POSITIONS_MAX", 5)
    for driver in (fleet.first, *await fleet.add()):
        await fleet.stand(driver)

    status, problem = await fleet.search()

    assert (status, problem["code"]) == (422, "area-search-too-long")
    assert await fleet.looks() == set()


async def test_no_place_stands_in_any_log(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    await fleet.stand(fleet.first)
    for changes in ({}, {"lat": LAT, "radius_m": 0}, {"to": rfc3339(NOW - 4 * HOUR)}):
        await fleet.search(**changes)

    written = "".join(capsys.readouterr())
    assert str(LAT)[:5] not in written
    assert str(LON)[:5] not in written
