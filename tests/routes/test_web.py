import io
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from http import HTTPStatus
from time import thread_time
from typing import Any

import pytest
from aiohttp import ClientSession

from server.kit.ids import uuid7
from server.kit.wire import rfc3339
from server.routes.web import ENDPOINTS
from tests.http import bearer, serve
from tests.world import NOW, World, add_company, add_member, open_session

LOOP_S_MAX = 0.1
PLAN: dict[str, Any] = {
    "name": "North of the river",
    "date": "2026-11-22",
    "planned_start": rfc3339(NOW - timedelta(hours=1)),
    "stops": [
        {"name": "Қойма", "lat": 43.238949, "lon": 76.889709, "service_s": 300},
        {
            "name": "Client",
            "lat": 43.25,
            "lon": 76.95,
            "planned_arrival": rfc3339(NOW),
            "window_start": rfc3339(NOW - timedelta(minutes=10)),
            "window_end": rfc3339(NOW + timedelta(minutes=10)),
        },
    ],
    "line": [[76.889709, 43.238949], [76.92, 43.24], [76.95, 43.25]],
}


@pytest.fixture
async def client(world: World) -> AsyncIterator[ClientSession]:
    async with serve(world, ENDPOINTS) as opened:
        yield opened


@pytest.fixture
async def dispatcher(world: World) -> dict[str, str]:
    return bearer(await world.session("dispatcher"))


async def create(
    client: ClientSession, headers: dict[str, str], **changes: Any
) -> tuple[int, dict[str, Any]]:
    async with client.post("/v1/routes", json=PLAN | changes, headers=headers) as answer:
        return answer.status, await answer.json()


async def read(client: ClientSession, path: str, headers: dict[str, str]) -> tuple[int, Any]:
    async with client.get(path, headers=headers) as answer:
        return answer.status, await answer.json()


async def test_a_route_reads_back_as_it_was_planned(
    client: ClientSession, dispatcher: dict[str, str], world: World
) -> None:
    status, made = await create(client, dispatcher, driver_id=str(world.driver.member_id))

    found = await read(client, f"/v1/routes/{made['route_id']}", dispatcher)

    assert status == HTTPStatus.CREATED
    assert found == (HTTPStatus.OK, made)
    assert made["line"] == PLAN["line"]
    assert [stop["name"] for stop in made["stops"]] == ["Қойма", "Client"]
    assert made["stops"][1]["window_end"] == PLAN["stops"][1]["window_end"]
    assert made["stop_count"] == 2
    assert 5_000 < made["planned_m"] < 5_500


async def test_the_list_pages_newest_first_and_filters(
    client: ClientSession, dispatcher: dict[str, str], world: World
) -> None:
    ids = [(await create(client, dispatcher))[1]["route_id"] for _ in range(3)]
    await create(client, dispatcher, date="2026-11-23", driver_id=str(world.driver.member_id))

    _, first = await read(client, "/v1/routes?date=2026-11-22&limit=2", dispatcher)
    after = first["next_cursor"]
    _, rest = await read(client, f"/v1/routes?date=2026-11-22&limit=2&cursor={after}", dispatcher)
    _, of_driver = await read(client, f"/v1/routes?driver_id={world.driver.member_id}", dispatcher)

    assert [item["route_id"] for item in first["items"]] == [ids[2], ids[1]]
    assert [item["route_id"] for item in rest["items"]] == [ids[0]]
    assert rest["next_cursor"] is None
    assert [item["date"] for item in of_driver["items"]] == ["2026-11-23"]


async def test_nothing_of_a_plan_is_stored_in_clear(
    client: ClientSession, dispatcher: dict[str, str], world: World
) -> None:
    await create(client, dispatcher)

    row = await world.owner.fetchval("SELECT r::text FROM route r")

    assert not any(secret in row for secret in ("North", "Client", "43.2", "76.8"))


@pytest.mark.parametrize(
    ("changes", "status", "place"),
    [
        ({"stops": []}, 422, "/stops"),
        ({"stops": [{"name": "a", "lat": 91, "lon": 0}]}, 422, "/stops/0/lat"),
        ({"stops": [{"name": "a", "lat": True, "lon": 0}]}, 422, "/stops/0/lat"),
        ({"stops": [{"name": "a\u202e", "lat": 1, "lon": 0}]}, 422, "/stops/0/name"),
        ({"line": [[76.9, 43.2]]}, 422, "/line"),
        ({"date": "2026-02-30"}, 422, "/date"),
        ({"planned_start": "2026-11-22T09:00:00"}, 422, "/planned_start"),
        ({"colour": "red"}, 422, "/colour"),
    ],
)
async def test_what_does_not_fit_is_refused_with_its_place(
    client: ClientSession,
    dispatcher: dict[str, str],
    changes: dict[str, Any],
    status: int,
    place: str,
) -> None:
    found, problem = await create(client, dispatcher, **changes)

    assert found == status
    assert place in [field["path"] for field in problem["fields"]]


async def test_a_large_plan_leaves_the_loop_free(
    client: ClientSession, dispatcher: dict[str, str]
) -> None:
    """Counted is the processor time of the loop's thread, in which uploads wait."""
    raw = json.dumps(PLAN | {"stops": [{}] * 900_000}).encode()
    headers = {**dispatcher, "Content-Type": "application/json"}
    began = thread_time()

    async with client.post("/v1/routes", data=io.BytesIO(raw), headers=headers) as answer:
        assert answer.status == HTTPStatus.UNPROCESSABLE_ENTITY

    assert thread_time() - began < LOOP_S_MAX


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        (
            {
                "stops": [
                    {
                        "name": "a",
                        "lat": 1,
                        "lon": 1,
                        "window_start": rfc3339(NOW),
                        "window_end": rfc3339(NOW - timedelta(hours=1)),
                    }
                ]
            },
            "window-backwards",
        ),
        ({"planned_start": rfc3339(NOW + timedelta(days=9))}, "plan-too-long"),
        ({"stops": [{"name": "a", "lat": 1, "lon": 0}, {"name": "b", "lat": 1, "lon": 180}]},
         "plan-unmeasurable"),
        ({"line": [[76.9, 43.2], [76.9, 43.2]]}, "plan-unmeasurable"),
        ({"driver_id": "019aa7a4-8b00-7000-8000-000000000000"}, "assignee-unknown"),
        ({"vehicle_id": "019aa7a4-8b00-7000-8000-000000000000"}, "assignee-unknown"),
    ],
)  # fmt: skip
async def test_a_meaningless_plan_is_refused(
    client: ClientSession, dispatcher: dict[str, str], changes: dict[str, Any], code: str
) -> None:
    status, problem = await create(client, dispatcher, **changes)

    assert (status, problem["code"]) == (HTTPStatus.UNPROCESSABLE_ENTITY, code)


async def test_a_plan_may_cross_the_180th_meridian(
    client: ClientSession, dispatcher: dict[str, str]
) -> None:
    stops = [{"name": "a", "lat": 1, "lon": 179.95}, {"name": "b", "lat": 1, "lon": -179.95}]

    status, made = await create(client, dispatcher, stops=stops, line=None)

    assert status == HTTPStatus.CREATED
    assert 11_000 < made["planned_m"] < 11_300


async def test_another_companys_route_is_as_absent_as_none(
    client: ClientSession, dispatcher: dict[str, str], world: World
) -> None:
    _, made = await create(client, dispatcher)
    other = await add_company(world.vault, world.owner)
    stranger = await add_member(world.vault, world.pool, other, role="dispatcher")
    foreign = bearer(await open_session(world.pool, other, stranger))

    theirs = await read(client, f"/v1/routes/{made['route_id']}", foreign)
    assert theirs == await read(client, f"/v1/routes/{uuid7()}", foreign)
    assert theirs[0] == HTTPStatus.NOT_FOUND
    assert (await read(client, "/v1/routes", foreign))[1]["items"] == []


async def test_drivers_may_not_read_routes_of_the_company(
    client: ClientSession, world: World
) -> None:
    status, _ = await read(client, "/v1/routes", bearer(await world.driver_session()))

    assert status == HTTPStatus.FORBIDDEN


@pytest.mark.parametrize("state", ["blocked", "offboarded", "grace", "erasing"])
async def test_a_route_is_given_only_to_who_may_drive_it(
    client: ClientSession, dispatcher: dict[str, str], world: World, state: str
) -> None:
    driver_id = world.driver.member_id
    await world.owner.execute("UPDATE member SET state = $2 WHERE member_id = $1", driver_id, state)

    status, problem = await create(client, dispatcher, driver_id=str(driver_id))

    assert (status, problem["code"]) == (HTTPStatus.UNPROCESSABLE_ENTITY, "assignee-unknown")


async def test_a_list_opens_names_and_never_plans(
    client: ClientSession, dispatcher: dict[str, str], world: World
) -> None:
    await create(client, dispatcher)
    await world.owner.execute("UPDATE route SET plan_sealed = 'unreadable'")

    status, found = await read(client, "/v1/routes", dispatcher)

    assert status == HTTPStatus.OK
    assert [item["name"] for item in found["items"]] == [PLAN["name"]]
