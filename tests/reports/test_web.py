"""A report over HTTP: what it says of itself, and why it has no fact."""

from http import HTTPStatus
from typing import Any

import pytest

from geo.plan_fact import ALGORITHM_VERSION, DEFAULT
from server.gate import service as gate
from server.gate.model import GateItem
from server.kit import db
from server.kit.ids import uuid7
from server.reports.web import get_plan_fact
from server.routes.model import PlanVersionNotFound, RouteHead
from tests.http import bearer
from tests.reports.days import HOUR, MINUTE, STARTED, STOPS, Office, driven, plan
from tests.world import NOW, World, add_company, add_member, open_session


async def test_a_report_says_what_was_compared_and_by_which_rules(
    world: World, office: Office
) -> None:
    head = await driven(world)

    found = await office.report(head)

    assert found["version"] == 1
    assert found["route_id"] == str(head.route_id)
    assert (found["plan_version"], found["state"]) == (1, "final")
    assert found["algorithm_version"] == ALGORITHM_VERSION
    assert found["parameters"].keys() == set(DEFAULT.__slots__)
    assert found["computed_at"] == "2026-11-22T12:00:00Z"
    assert found["until"] == "2026-11-22T08:35:00Z"
    assert found["display_time_zone"] == "Asia/Almaty"
    assert found["quality"]["fixes"] == found["quality"]["used"] == 221
    assert [stop["name"] for stop in found["stops"]] == [stop.name for stop in STOPS]
    assert [stop["status"] for stop in found["stops"]] == ["visited", "visited"]
    assert found["speeding"] == []


async def test_while_it_is_driven_a_report_tells_when_the_next_stop_will_be_reached(
    world: World, office: Office
) -> None:
    head = await driven(world, began=NOW - 10 * MINUTE)

    found = await office.report(head)

    live = found["live"]
    assert found["state"] == "live"
    assert live["next_stop"] == 1
    assert 0 < live["along_m"] < live["length_m"]
    [eta] = [one for one in live["eta"] if one["planned_sequence"] == 1]
    assert "2026-11-22T12:00:00Z" <= eta["p10_at"] <= eta["p50_at"] <= eta["p90_at"]


async def test_an_earlier_version_of_the_plan_can_be_asked_for(
    world: World, office: Office
) -> None:
    head = await driven(world)

    assert (await office.report(head, plan_version=1))["plan_version"] == 1
    status, problem = await office.get(f"/v1/routes/{head.route_id}/plan-fact", plan_version=7)
    assert (status, problem["code"]) == (HTTPStatus.NOT_FOUND, "plan-version-not-found")
    assert PlanVersionNotFound in get_plan_fact.raises


async def test_another_companys_report_is_as_absent_as_none(world: World, office: Office) -> None:
    head = await driven(world)
    other = await add_company(world.vault, world.owner)
    stranger = await add_member(world.vault, world.pool, other, role="dispatcher")
    foreign = bearer(await open_session(world.pool, other, stranger))

    async def ask(method: str, route_id: object, path: str) -> tuple[int, Any]:
        async with office.client.request(
            method, f"/v1/routes/{route_id}/{path}", headers=foreign
        ) as answer:
            return answer.status, await answer.json()

    for method, path in (("GET", "plan-fact"), ("POST", "plan-fact/recompute")):
        theirs = await ask(method, head.route_id, path)
        assert theirs == await ask(method, uuid7(), path)
        assert theirs[0] == HTTPStatus.NOT_FOUND


async def test_a_report_says_why_it_has_no_fact_and_nothing_more(
    world: World, office: Office
) -> None:
    nobody = await plan(world, None)
    silent = await plan(world, world.driver)

    async def availability(head: RouteHead) -> str:
        report = await office.report(head)
        assert report["fact"]["segments"] == []
        return str(report["availability"])

    assert await availability(nobody) == "no_driver"
    assert await availability(silent) == "no_positions"
    async with db.tenant(world.pool, world.company_id) as conn:
        await gate.set_consent(
            conn, world.company_id, world.driver.member_id, GateItem.PLAN_FACT, None
        )
    assert await availability(silent) == "not_shared"


async def test_a_report_on_an_erased_driver_has_no_driver(world: World, office: Office) -> None:
    head = await plan(world, world.driver)
    await world.owner.execute("DELETE FROM gate WHERE driver_id = $1", world.driver.member_id)

    assert (await office.report(head))["availability"] == "no_driver"


@pytest.mark.parametrize("began", [STARTED, NOW + HOUR])
async def test_drivers_may_not_read_reports_of_the_company(
    world: World, office: Office, began: Any
) -> None:
    head = await plan(world, world.driver, began=began)
    headers = bearer(await world.driver_session())

    async with office.client.get(
        f"/v1/routes/{head.route_id}/plan-fact", headers=headers
    ) as answer:
        assert answer.status == HTTPStatus.FORBIDDEN
