"""Importing routes over HTTP: all of them or none, and never twice."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from datetime import date, time
from http import HTTPStatus
from time import thread_time
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import ClientSession

from server.accounts.model import Locale
from server.kit import openapi
from server.route_imports.model import Column
from server.route_imports.template import header
from server.route_imports.web import ENDPOINTS, FILE_BYTES_MAX, XLSX
from server.routes.web import ENDPOINTS as ROUTES
from server.vehicles.web import ENDPOINTS as VEHICLES
from tests.accounts.people import PHONE
from tests.http import bearer, serve
from tests.route_imports.workbooks import COLUMNS, DAY, ROWS, workbook
from tests.world import World

STOPS = [
    {"name": "Depot", "lat": 43.238949, "lon": 76.889709},
    {"name": "S", "lat": 43.3, "lon": 77},
]
NOBODY = (None, None, None)
LOOP_S_MAX = 0.25
PLANS = {"routes": [{"name": name, "date": "2026-12-01", "stops": STOPS} for name in ("A", "B")]}


@pytest.fixture
async def client(world: World) -> AsyncIterator[ClientSession]:
    async with serve(world, ENDPOINTS, ROUTES, VEHICLES) as opened:
        opened.headers.update(bearer(await world.session("dispatcher")))
        yield opened


async def send(
    client: ClientSession, body: bytes | dict[str, Any], **query: str
) -> tuple[int, dict[str, Any]]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    kind = XLSX if isinstance(body, bytes) else "application/json"
    headers = {"Content-Type": kind}
    asked = client.post("/v1/route-imports", data=io.BytesIO(raw), params=query, headers=headers)
    async with asked as answer:
        return answer.status, await answer.json()


async def stored(client: ClientSession) -> list[dict[str, Any]]:
    async with client.get("/v1/routes") as answer:
        items: list[dict[str, Any]] = (await answer.json())["items"]
    return items


async def read(client: ClientSession, path: str) -> Any:
    async with client.get(path) as answer:
        assert answer.status == HTTPStatus.OK
        return await answer.json()


def changed(row: int, column: Column, value: Any) -> bytes:
    """Return the usual workbook with something else in one cell."""
    rows = [[*one, *[None] * (len(COLUMNS) - len(one))] for one in ROWS]
    rows[row][COLUMNS.index(column)] = value
    return workbook(rows)


async def test_a_workbook_becomes_routes(client: ClientSession, world: World) -> None:
    login_hash = world.vault.blind_index("phone", "+77011234567")
    await world.owner.execute(
        "UPDATE member SET phone_hash = $2 WHERE member_id = $1",
        world.driver.member_id,
        login_hash,
    )
    async with client.post("/v1/vehicles", json={"name": "Van", "plate": "123 ABC 02"}) as answer:
        vehicle = await answer.json()
    rows = [list(one) for one in ROWS]
    rows[0][COLUMNS.index(Column.DRIVER)] = "8 701 123-45-67"
    rows[0][COLUMNS.index(Column.VEHICLE)] = "123abc02"

    status, made = await send(client, workbook(rows))
    north = await read(client, f"/v1/routes/{made['routes'][0]['route_id']}")

    assert (status, made["stored"], made["repeated"]) == (HTTPStatus.OK, True, False)
    assert [one["name"] for one in made["routes"]] == ["North", "South"]
    assert len(await stored(client)) == 2
    assert north["driver_id"] == str(world.driver.member_id)
    assert north["vehicle_id"] == vehicle["vehicle_id"]
    assert north["starts_at"] == "2026-12-01T03:30:00Z"  # 08:30 in Almaty
    shop = north["stops"][1]
    assert shop["window_end"] == "2026-12-01T07:00:00Z"
    assert (shop["service_s"], shop["reference"]) == (600.0, "10452")
    assert shop["contact"] == {"name": "Айгүл", "phone": "+77011234567"}


async def test_json_becomes_the_same_routes_as_one_by_one(client: ClientSession) -> None:
    status, made = await send(client, PLANS)

    assert status == HTTPStatus.OK
    assert {one["name"] for one in await stored(client)} == {"A", "B"}
    assert (await read(client, f"/v1/routes/{made['routes'][0]['route_id']}"))["stop_count"] == 2


async def test_a_dry_run_shows_what_would_be_made_and_makes_nothing(
    client: ClientSession, world: World
) -> None:
    _, shown = await send(client, workbook(), dry_run="true", import_id=str(uuid4()))
    nothing = await stored(client)
    _, made = await send(client, workbook())

    assert (shown["stored"], shown["import_id"], nothing) == (False, None, [])
    assert await world.owner.fetchval("SELECT count(*) FROM route_import") == 1
    for outline, route in zip(shown["routes"], made["routes"], strict=True):
        assert outline == {**route, "route_id": None}


@pytest.mark.parametrize(
    ("body", "place", "code"),
    [
        (changed(1, Column.LAT, None), (3, Column.LAT), "no_place"),
        (changed(1, Column.LAT, "=A1"), (3, Column.LAT), "formula"),
        (changed(0, Column.DATE, "31.02.2026"), (2, Column.DATE), "not_date"),
        (changed(1, Column.LON, 190), (3, Column.LON), "out_of_range"),
        (changed(1, Column.STOP, "x" * 201), (3, Column.STOP), "too_long"),
        (changed(1, Column.STOP, "a\u202eb"), (3, Column.STOP), "unsafe_text"),
        (changed(2, Column.CONTACT, "901301300007"), (4, Column.CONTACT), "national_id"),
        (changed(2, Column.PHONE, "ask Dana"), (4, Column.PHONE), "phone"),
        (changed(2, Column.SERVICE, 1441), (4, Column.SERVICE), "out_of_range"),
        (changed(2, Column.DRIVER, "+77019999999"), (4, Column.DRIVER), "driver_unknown"),
        (changed(2, Column.DRIVER, "Aidos"), (4, Column.DRIVER), "driver_unknown"),
        (changed(1, Column.VEHICLE, "777 XXX 01"), (2, Column.VEHICLE), "vehicle_unknown"),
        (changed(0, Column.REFERENCE, "10452"), (3, Column.REFERENCE), "reference_twice"),
        (changed(2, Column.ARRIVAL, "05.12.2026 09:00"), (4, Column.DATE), "plan_too_long"),
        (
            workbook([("R", DAY, *NOBODY, "Far", 1, lon) for lon in (0, 100, -160)]),
            (2, None),
            "unmeasurable",
        ),
        (workbook([*ROWS, ROWS[2]], merged="A4:A5"), (4, None), "merged"),
        (workbook([*ROWS, *([ROWS[2]] * 500)]), (4, Column.ROUTE), "too_many_stops"),
    ],
)
async def test_what_does_not_fit_is_named_and_nothing_is_stored(
    client: ClientSession, body: bytes, place: tuple[int, Column | None], code: str
) -> None:
    status, problem = await send(client, body, language="kk")

    assert (status, problem["code"]) == (HTTPStatus.UNPROCESSABLE_ENTITY, "route-import-refused")
    first = problem["faults"][0]
    row, column = place
    shown = None if column is None else header(column, Locale.KK)
    assert (first["sheet"], first["row"], first["column"]) == ("Маршруты", row, shown)
    assert (first["field"], first["code"]) == (column, code)
    assert await stored(client) == []


async def test_a_window_backwards_is_named_in_its_row(client: ClientSession) -> None:
    rows = [list(one) for one in ROWS]
    rows[1][COLUMNS.index(Column.WINDOW_FROM)] = "01.12.2026 13:00"
    rows[1][COLUMNS.index(Column.WINDOW_TO)] = "01.12.2026 12:00"

    _, problem = await send(client, workbook(rows))

    assert [(one["row"], one["code"]) for one in problem["faults"]] == [(3, "window_backwards")]


async def test_every_faulty_row_is_told_at_once(client: ClientSession) -> None:
    rows = [
        ("North", DAY, None, None, None, f"Stop {n}", None if n % 2 else 43.2, 76.9)
        for n in range(300)
    ]

    _, problem = await send(client, workbook(rows))

    assert problem["faults_total"] == 150
    assert [one["row"] for one in problem["faults"]] == list(range(3, 303, 2))


async def test_faults_are_told_in_the_callers_language(client: ClientSession) -> None:
    body = changed(1, Column.LAT, None)

    told = {
        language: (await send(client, body, **({"language": language} if language else {})))[1]
        for language in ("", "ru", "kk", "en")
    }

    sentences = {language: one["faults"][0]["message"] for language, one in told.items()}
    assert "координат" in sentences["ru"]
    assert "Координаттар" in sentences["kk"]
    assert sentences[""] == sentences["en"]  # the dispatcher reads English
    assert len(set(sentences.values())) == 3


async def test_in_json_the_path_is_named(client: ClientSession, world: World) -> None:
    routes = [
        {**PLANS["routes"][0], "driver_id": str(uuid4())},
        {**PLANS["routes"][1], "stops": [{**stop, "reference": "A"} for stop in STOPS]},
        PLANS["routes"][0],
    ]

    status, problem = await send(client, {"routes": routes})

    assert status == HTTPStatus.UNPROCESSABLE_ENTITY
    assert {(one["path"], one["code"]) for one in problem["faults"]} == {
        ("/routes/0/driver_id", "driver_unknown"),
        ("/routes/1/stops/1/reference", "reference_twice"),
    }
    assert await stored(client) == []
    assert await world.owner.fetchval("SELECT count(*) FROM route_import") == 0


async def test_an_import_sent_again_is_the_same_and_another_is_refused(
    client: ClientSession,
) -> None:
    import_id = str(uuid4())
    _, first = await send(client, PLANS, import_id=import_id)
    _, again = await send(client, PLANS, import_id=import_id)
    status, problem = await send(client, workbook(), import_id=import_id)

    assert first["import_id"] == again["import_id"] == import_id
    assert again == {**first, "repeated": True}
    assert (status, problem["code"]) == (HTTPStatus.CONFLICT, "route-import-differs")
    assert len(await stored(client)) == 2


async def test_imports_at_once_under_one_id_are_one(client: ClientSession) -> None:
    import_id = str(uuid4())

    answers = await asyncio.gather(*(send(client, PLANS, import_id=import_id) for _ in range(6)))

    assert [status for status, _ in answers] == [HTTPStatus.OK] * 6
    assert sorted(made["repeated"] for _, made in answers) == [False, *[True] * 5]
    assert len({json.dumps(made["routes"]) for _, made in answers}) == 1
    assert len(await stored(client)) == 2


async def test_control_without_an_id_each_is_stored(client: ClientSession) -> None:
    await asyncio.gather(*(send(client, PLANS) for _ in range(3)))

    assert len(await stored(client)) == 6


@pytest.mark.parametrize("size", [FILE_BYTES_MAX + 1, 50 * 1024 * 1024])
async def test_a_file_that_is_too_large_is_refused(client: ClientSession, size: int) -> None:
    status, problem = await send(client, bytes(size))

    assert (status, problem["code"]) == (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body-too-large")


async def test_what_is_no_workbook_is_refused(client: ClientSession) -> None:
    status, problem = await send(client, b"route;date;stop")

    assert (status, problem["code"]) == (HTTPStatus.UNPROCESSABLE_ENTITY, "sheet-unreadable")


async def test_another_companys_drivers_and_vehicles_are_unknown(
    client: ClientSession, world: World
) -> None:
    await world.owner.execute(
        "INSERT INTO login_directory (login_hash, company_id) VALUES ($1, $2)",
        world.vault.blind_index("phone", PHONE),
        uuid4(),
    )

    _, problem = await send(client, changed(2, Column.DRIVER, PHONE))

    assert problem["faults"][0]["code"] == "driver_unknown"


async def test_a_year_of_routes_is_no_import(client: ClientSession) -> None:
    routes = [{"name": f"{n}", "date": "2026-12-01", "stops": STOPS} for n in range(201)]
    rows = [(f"{n}", DAY, None, None, time(8), "Depot", 43.2, 76.9) for n in range(201)]

    status, problem = await send(client, {"routes": routes})
    _, of_sheet = await send(client, workbook(rows))

    assert (status, problem["fields"][0]["path"]) == (HTTPStatus.UNPROCESSABLE_ENTITY, "/routes")
    assert [(one["row"], one["code"]) for one in of_sheet["faults"]] == [(202, "too_many_routes")]


async def test_two_hundred_routes_are_imported_in_one_go(client: ClientSession) -> None:
    rows = [
        (f"R{n}", date(2026, 12, 1 + n % 2), None, None, time(8), f"Stop {stop}", 43.2, 76.9)
        for n in range(200)
        for stop in range(20)
    ]

    status, made = await send(client, workbook(rows))

    assert status == HTTPStatus.OK
    assert len(made["routes"]) == 200
    assert {one["stop_count"] for one in made["routes"]} == {20}


async def test_of_json_the_first_route_that_does_not_fit_is_told(client: ClientSession) -> None:
    """A hundred thousand empty stops are a small file, and would be three faults each."""
    wrong = {"name": "A", "date": "2026-12-01", "stops": [{}]}

    status, problem = await send(client, {"routes": [PLANS["routes"][0], *[wrong] * 199]})

    assert (status, problem["code"]) == (HTTPStatus.UNPROCESSABLE_ENTITY, "fields-invalid")
    assert [one["path"] for one in problem["fields"]] == [
        f"/routes/1/stops/0/{member}" for member in ("name", "lat", "lon")
    ]


async def test_json_of_many_stops_leaves_the_loop_free(client: ClientSession) -> None:
    """Counted is the processor time of the loop's thread, in which uploads wait."""
    stops = [{"name": "S", "lat": 43.2 + n / 1e4, "lon": 76.9} for n in range(500)]
    plans = {"routes": [{"name": "A", "date": "2026-12-01", "stops": stops} for _ in range(100)]}
    raw = json.dumps(plans).encode()
    headers = {"Content-Type": "application/json"}
    began = thread_time()

    async with client.post(
        "/v1/route-imports?dry_run=true", data=io.BytesIO(raw), headers=headers
    ) as answer:
        shown = await answer.json()

    assert len(shown["routes"]) == 100
    assert thread_time() - began < LOOP_S_MAX


def test_the_document_names_both_forms() -> None:
    document: dict[str, Any] = openapi.document(ENDPOINTS, title="t", version="1", security={})
    operation = document["paths"]["/v1/route-imports"]["post"]

    assert set(operation["requestBody"]["content"]) == {"application/json", XLSX}
