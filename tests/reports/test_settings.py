"""What a company chooses about its reports: for how long, and from which speed on."""

from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

import pytest
from aiohttp import ClientSession

from server.reports.web import ENDPOINTS
from tests.http import bearer, serve
from tests.reports.days import MINUTE, STARTED, Office, driven, finish, keep_reports, rows
from tests.world import NOW, World

PATH = "/v1/report-settings"


@pytest.fixture
async def client(world: World) -> AsyncIterator[ClientSession]:
    async with serve(world, ENDPOINTS) as opened:
        yield opened


async def choose(
    client: ClientSession, world: World, role: str = "main_user", **changes: Any
) -> tuple[int, Any]:
    body = {"report_days": 365, "speed_limit_kmh": None, **changes}
    headers = bearer(await world.session(role))
    async with client.put(PATH, json=body, headers=headers) as answer:
        return answer.status, await answer.json()


async def test_what_was_chosen_is_read_by_the_staff(client: ClientSession, world: World) -> None:
    chosen = await choose(client, world, report_days=90, speed_limit_kmh=80)

    headers = bearer(await world.session("dispatcher"))
    async with client.get(PATH, headers=headers) as answer:
        read = await answer.json()

    assert chosen == (HTTPStatus.OK, {"report_days": 90, "speed_limit_kmh": 80})
    assert read == chosen[1]


async def test_only_a_main_user_chooses(client: ClientSession, world: World) -> None:
    assert (await choose(client, world, "dispatcher"))[0] == HTTPStatus.FORBIDDEN


@pytest.mark.parametrize(("before", "asked"), [(90, 91), (None, 1)])
async def test_reports_are_never_kept_for_longer_than_drivers_were_told(
    client: ClientSession, world: World, before: int | None, asked: int
) -> None:
    await keep_reports(world, before)

    status, problem = await choose(client, world, report_days=asked)

    assert (status, problem["code"]) == (HTTPStatus.CONFLICT, "report-days-promised")
    assert await world.owner.fetchval("SELECT report_days FROM company") == before


async def test_a_shorter_time_is_written_down_and_the_same_again_is_not(
    client: ClientSession, world: World
) -> None:
    for days in (90, 90, None):
        assert (await choose(client, world, report_days=days))[0] == HTTPStatus.OK

    entries = await world.owner.fetch(
        "SELECT actor_kind, facts FROM ledger_entry WHERE act = 'report_days_set' ORDER BY index"
    )
    assert [tuple(entry) for entry in entries] == [
        ("main_user", '{"before":365,"report_days":90}'),
        ("main_user", '{"before":90,"report_days":null}'),
    ]


async def test_where_no_reports_are_kept_any_more_none_is_made(
    client: ClientSession, world: World
) -> None:
    await driven(world)
    await choose(client, world, report_days=None)

    assert (await finish(world), await rows(world)) == (0, [])


@pytest.mark.parametrize(("limit_kmh", "found"), [(None, 0), (20, 1), (60, 0)])
async def test_a_report_names_where_the_companys_speed_limit_was_passed(
    world: World, office: Office, limit_kmh: int | None, found: int
) -> None:
    """The drive between the stops is at 36 km/h."""
    await world.owner.execute("UPDATE company SET speed_limit_kmh = $1", limit_kmh)
    head = await driven(world)

    report = await office.report(head)

    assert len(report["speeding"]) == found
    assert report["parameters"]["speed_limit_mps"] == (limit_kmh and limit_kmh / 3.6)
    for one in report["speeding"]:
        assert 9.0 < one["max_mps"] < 12.0
        assert one["limit_mps"] == 5.6
        assert one["from"] > (STARTED + 4 * MINUTE).isoformat()
        assert one["to"] < NOW.isoformat()
