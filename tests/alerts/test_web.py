from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import pytest
from aiohttp import ClientSession

from server.alerts import reading, service
from server.credentials import service as credentials
from server.credentials.model import Scope
from server.gate import service as gate
from server.kit import db
from server.kit.wire import rfc3339
from tests.alerts.seen import (
    MINUTE,
    NOW_S,
    TICK,
    OnTheWay,
    give,
    judge,
    planned,
    withdraw,
)
from tests.http import Clock, bearer
from tests.world import NOW, World, add_driver, add_member, open_session

LIST: Final = "/v1/alerts"
LIMITS: Final = "/v1/alert-limits"
CHOSEN: Final = {
    "late_min": 5,
    "off_route_m": 500,
    "off_route_min": 2,
    "no_signal_min": None,
    "long_stop_min": 45,
}


async def call(
    client: ClientSession, method: str, path: str, token: str | None, body: object = None
) -> tuple[int, Any]:
    headers = {} if token is None else bearer(token)
    async with client.request(method, path, json=body, headers=headers) as answer:
        return answer.status, await answer.json(content_type=None)


async def listed(client: ClientSession, token: str, query: str = "") -> list[Any]:
    status, found = await call(client, "GET", f"{LIST}{query}", token)
    assert status == 200, found
    items: list[Any] = found["items"]
    return items


async def late(world: World, *, minutes: float = 20.0) -> OnTheWay:
    route = await planned(world)
    assert (await judge(world, route.late(minutes))).raised == 1
    return route


async def test_a_dispatcher_reads_what_was_raised_and_how_it_was_then(
    client: ClientSession, dispatcher: str, world: World
) -> None:
    route = await planned(world)
    await judge(world, route.seen(off_route_since_s=NOW_S - 600, off_route_m=432.16))

    (alert,) = await listed(client, dispatcher)

    assert alert | {"alert_id": ""} == {
        "alert_id": "",
        "kind": "off_route",
        "route_id": str(route.head.route_id),
        "driver_id": str(world.driver.member_id),
        "occurrence": 1,
        "since": rfc3339(NOW - 10 * MINUTE),
        "raised_at": rfc3339(NOW),
        "cleared_at": None,
        "acknowledged_at": None,
        "acknowledged_by": None,
        "acknowledged_by_name": None,
        "late_s": None,
        "off_route_m": 432.2,
        "next_stop_id": str(route.stop_ids[1]),
    }


async def test_the_list_pages_newest_first_and_filters(
    client: ClientSession, dispatcher: str, world: World, clock: Clock
) -> None:
    other = await add_driver(world.vault, world.pool, world.company_id, name="Other Driverov")
    mine, theirs = await planned(world), await planned(world, other.member_id)
    await judge(world, mine.late(20.0))
    await judge(world, mine.late(20.0), theirs.seen(deviation_s=9e3, standing_since_s=0.0))
    await judge(world, mine.late(1.0), at=NOW + TICK)
    await judge(world, mine.late(1.0), at=NOW + 6 * TICK)
    clock.at = NOW + 6 * TICK

    _, first = await call(client, "GET", f"{LIST}?limit=2", dispatcher)
    rest = await listed(client, dispatcher, f"?limit=2&cursor={first['next_cursor']}")

    assert [one["kind"] for one in rest] == ["late"]
    assert {one["driver_id"] for one in first["items"]} == {str(other.member_id)}
    assert rest == await listed(client, dispatcher, "?open=false")
    assert rest == await listed(client, dispatcher, f"?route_id={mine.head.route_id}")
    assert rest[0]["cleared_at"] == rfc3339(NOW + 6 * TICK)
    assert first["items"] == await listed(client, dispatcher, "?open=true")
    assert first["items"] == await listed(client, dispatcher, f"?driver_id={other.member_id}")
    status, refused = await call(client, "GET", f"{LIST}?cursor=x", dispatcher)
    assert (status, refused["code"]) == (422, "cursor-invalid")


async def test_who_looks_is_written_down(
    client: ClientSession, dispatcher: str, world: World
) -> None:
    assert await listed(client, dispatcher) == []
    assert await world.owner.fetchval("SELECT count(*) FROM location_read") == 0
    await late(world)

    await listed(client, dispatcher)

    rows = await world.owner.fetch("SELECT viewer_kind, purpose, screen FROM location_read")
    assert [tuple(row) for row in rows] == [("dispatcher", "plan_fact", "alerts")]


@pytest.mark.parametrize("item", ["plan_fact", "location"])
async def test_after_the_withdrawal_nothing_is_shown_or_acknowledged_for_good(
    client: ClientSession, dispatcher: str, world: World, clock: Clock, item: str
) -> None:
    await late(world)
    (alert,) = await listed(client, dispatcher)
    await withdraw(world, item)
    clock.at = NOW + MINUTE

    hidden = await listed(client, dispatcher)
    path = f"{LIST}/{alert['alert_id']}/acknowledge"
    status, refused = await call(client, "POST", path, dispatcher)
    await give(world, item, at=NOW + MINUTE)

    assert hidden == []
    assert (status, refused["code"]) == (404, "alert-not-found")
    # What was raised before the new consent stays hidden, as the positions do.
    assert await listed(client, dispatcher) == []


async def test_of_dispatchers_tracking_the_list_does_not_depend(
    client: ClientSession, dispatcher: str, world: World
) -> None:
    await late(world)
    await withdraw(world, "dispatch_tracking")

    assert len(await listed(client, dispatcher)) == 1


async def test_a_list_that_is_drawn_while_somebody_withdraws_leaves_without_them(
    client: ClientSession, dispatcher: str, world: World
) -> None:
    await late(world)
    ids = (world.company_id, world.driver.member_id)
    async with db.tenant(world.pool, world.company_id, readonly=True) as conn:
        drawn = await reading.page(
            conn,
            world.vault,
            world.company_id,
            is_open=None,
            route_id=None,
            driver_id=None,
            cursor=None,
            limit=10,
            now=NOW,
        )
        before = await gate.read(conn, *ids)
    await withdraw(world, "plan_fact")

    # The fence rests on the gates that the page was read under: they are those of all in it.
    assert list(drawn.gates) == [before]
    assert len(reading.opened(drawn)) == 1
    assert await listed(client, dispatcher) == []


async def test_who_acknowledged_first_stays(
    client: ClientSession, dispatcher: str, world: World, clock: Clock
) -> None:
    await late(world)
    boss_id = await add_member(
        world.vault, world.pool, world.company_id, role="main_user", name="Boss"
    )
    boss = await open_session(world.pool, world.company_id, boss_id)
    (alert,) = await listed(client, dispatcher)
    path = f"{LIST}/{alert['alert_id']}/acknowledge"

    first = await call(client, "POST", path, boss)
    clock.at = NOW + TICK
    second = await call(client, "POST", path, dispatcher)

    assert first == second
    assert first == (
        200,
        {
            "alert_id": alert["alert_id"],
            "acknowledged_at": rfc3339(NOW),
            "acknowledged_by": str(boss_id),
        },
    )
    (shown,) = await listed(client, dispatcher)
    assert (shown["acknowledged_by"], shown["acknowledged_by_name"]) == (str(boss_id), "Boss")
    assert shown["cleared_at"] is None


async def test_limits_are_the_usual_ones_until_the_main_user_chooses(
    client: ClientSession, dispatcher: str, world: World
) -> None:
    boss = await world.session("main_user")

    _, usual = await call(client, "GET", LIMITS, dispatcher)
    chosen = await call(client, "PUT", LIMITS, boss, CHOSEN)

    assert usual == {
        "late_min": 15,
        "off_route_m": 300,
        "off_route_min": 3,
        "no_signal_min": 10,
        "long_stop_min": 30,
    }
    assert chosen == (200, CHOSEN)
    assert await call(client, "GET", LIMITS, dispatcher) == chosen
    assert (await call(client, "PUT", LIMITS, dispatcher, CHOSEN))[0] == 403


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"off_route_m": None}, "alert-limits-uneven"),
        ({"off_route_min": None}, "alert-limits-uneven"),
        ({"late_min": 0}, "fields-invalid"),
        ({"late_min": 1_441}, "fields-invalid"),
        ({"late_min": 1.5}, "fields-invalid"),
        ({"late_min": True}, "fields-invalid"),
        ({"off_route_m": 49}, "fields-invalid"),
        ({"speeding": 1}, "fields-invalid"),
    ],
)
async def test_limits_that_mean_nothing_are_refused(
    client: ClientSession, world: World, change: dict[str, Any], code: str
) -> None:
    boss = await world.session("main_user")

    status, refused = await call(client, "PUT", LIMITS, boss, CHOSEN | change)
    missing, _ = await call(client, "PUT", LIMITS, boss, {"late_min": 5})

    assert (status, refused["code"], missing) == (422, code, 422)
    assert await world.owner.fetchval("SELECT count(*) FROM alert_limit") == 0


async def test_an_integration_reads_with_the_scope_of_tracks_alone(
    client: ClientSession, world: World
) -> None:
    await late(world)
    tokens = {}
    for scope in Scope:
        async with db.tenant(world.pool, world.company_id) as conn:
            _, tokens[scope] = await credentials.add_api_token(
                conn, world.company_id, name=scope.value, scopes=[scope], expires_at=None, now=NOW
            )

    status = {scope: (await call(client, "GET", LIST, token))[0] for scope, token in tokens.items()}

    assert {scope for scope, one in status.items() if one == 200} == {Scope.TRACKS_READ}


async def test_drivers_and_strangers_read_nothing(client: ClientSession, world: World) -> None:
    driver = await world.driver_session()

    assert [(await call(client, "GET", LIST, token))[0] for token in (driver, None)] == [403, 401]


async def test_alerts_are_shown_and_kept_as_long_as_tracks(
    client: ClientSession, world: World, clock: Clock
) -> None:
    await world.owner.execute("UPDATE company SET track_days = 3, buffer_max_s = 3600")
    await late(world)
    session = await world.session("dispatcher")
    shown = {}
    for after in (timedelta(hours=20), timedelta(days=3, seconds=1)):
        clock.at = NOW + after
        await world.owner.execute(
            "UPDATE session SET expires_at = $1, used_at = $1", clock.at + MINUTE
        )
        shown[after.days] = len(await listed(client, session))

    async def forgotten(at: datetime) -> int:
        async with db.tenant(world.pool, world.company_id, readonly=True) as conn:
            due, _ = await service.old(conn, world.company_id, at)
        gone = await service.forget_old(world.pool, world.company_id, at)
        assert gone == due
        return gone

    assert shown == {0: 1, 3: 0}
    assert await forgotten(NOW + timedelta(days=3)) == 0
    # A company that keeps tracks until the driver is erased keeps alerts so long as well.
    await world.owner.execute("UPDATE company SET track_days = NULL")
    assert await forgotten(NOW + timedelta(days=900)) == 0
    await world.owner.execute("UPDATE company SET track_days = 3")
    assert await forgotten(NOW + timedelta(days=3, seconds=1)) == 1


async def test_another_company_sees_and_acknowledges_nothing(
    client: ClientSession, dispatcher: str, world: World
) -> None:
    await late(world)
    (alert,) = await listed(client, dispatcher)
    row = await world.owner.fetchrow("SELECT company_id FROM alert")
    assert row is not None
    assert row["company_id"] == world.company_id
    stranger = UUID(int=7)

    path = f"{LIST}/{stranger}/acknowledge"
    assert (await call(client, "POST", path, dispatcher))[0] == 404
    assert alert["acknowledged_at"] is None
