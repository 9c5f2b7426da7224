"""A router in trouble is no trouble of anybody else, and its answers are not believed."""

import asyncio
import json
import time
from datetime import date
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from structlog.testing import capture_logs

from geo.types import Floats
from geo.values import Track
from server.kit.outgoing import READ_BYTES
from server.roads.asking import ANSWER_BYTES_MAX, AT_ONCE_MAX, Router
from server.roads.model import (
    ROAD_POINTS_MAX,
    Matched,
    Matrix,
    Method,
    Road,
    RouterAt,
    RouterKind,
)
from server.roads.osrm import Osrm
from server.roads.service import OF_COMPANY_MAX, Roads, roads_of
from server.roads.valhalla import Valhalla
from server.routes.model import NewRoute, Stop
from server.routes.service import drafted, on_roads
from tests.roads.drives import COMPANY, PLACES, POINTS, chords_m, drive
from tests.roads.router_server import Roadside, bent, encoded, router_server


def impatient(at: RouterAt, within_s: float) -> Roads:
    router = Router(at.url, within_s=within_s)
    return Roads(Osrm(router) if at.kind is RouterKind.OSRM else Valhalla(router))


GOOD = {
    "code": "Ok",
    "routes": [{"geometry": encoded(bent(PLACES)), "legs": [{"distance": 1, "duration": 1}] * 2}],
    "waypoints": [{"location": place} for place in PLACES],
    "trip": {
        "status": 0,
        "units": "kilometers",
        "legs": [
            {"shape": encoded(bent(pair)), "summary": {"length": 1, "time": 1}}
            for pair in (PLACES[:2], PLACES[1:])
        ],
    },
}


def changed(at: tuple[str | int, ...], value: Any) -> bytes:
    """Return an answer that both kinds of router could give, with one thing wrong in it."""
    answer: Any = json.loads(json.dumps(GOOD))
    inner = answer
    for step in at[:-1]:
        inner = inner[step]
    inner[at[-1]] = value
    return json.dumps(answer).encode()


async def test_the_answer_that_is_spoilt_below_is_good(roads: Roads, roadside: Roadside) -> None:
    roadside.body = json.dumps(GOOD).encode()

    assert (await roads.route(POINTS)).method is Method.ROADS


FAR = encoded([(10.0, 50.0), (10.1, 50.1)])
WRONG: dict[str, tuple[bytes, bytes]] = {
    "not JSON": (b"<html>", b"<html>"),
    "nothing": (b"", b""),
    "null": (b"null", b"null"),
    "cut": (json.dumps(GOOD).encode()[:-20],) * 2,
    "not UTF-8": (b'{"code": "\xff"}',) * 2,
    "deep": (b"[" * 100_000,) * 2,
    "not Ok": (changed(("code",), "NoRoute"), changed(("trip", "status"), 442)),
    "no route": (changed(("routes",), []), changed(("trip", "legs"), [])),
    "a leg too few": (
        changed(("routes", 0, "legs"), [{"distance": 1, "duration": 1}]),
        changed(("trip", "legs"), GOOD["trip"]["legs"][:1]),  # type: ignore[index]
    ),
    "no shape": (changed(("routes", 0, "geometry"), ""), changed(("trip", "legs", 0, "shape"), "")),
    "a negative length": (
        changed(("routes", 0, "legs", 0, "distance"), -1),
        changed(("trip", "legs", 0, "summary", "length"), -1),
    ),
    "a length that is no number": (
        changed(("routes", 0, "legs", 0, "distance"), float("nan")),
        changed(("trip", "legs", 0, "summary", "length"), float("nan")),
    ),
    "a shape of another kind": (
        changed(("routes", 0, "geometry"), {"type": "LineString", "coordinates": PLACES}),
        changed(("trip", "legs", 0, "shape"), PLACES),
    ),
    "a line elsewhere": (
        changed(("routes", 0, "geometry"), FAR),
        changed(("trip", "legs", 0, "shape"), FAR),
    ),
    "miles": (changed(("waypoints",), []), changed(("trip", "units"), "miles")),
    "a line of too many points": (
        changed(("routes", 0, "geometry"), encoded(PLACES[:1]) + "??" * ROAD_POINTS_MAX),
        changed(("trip", "legs", 0, "shape"), encoded(PLACES[:1]) + "??" * ROAD_POINTS_MAX),
    ),
}


@pytest.mark.parametrize("fault", WRONG)
async def test_an_answer_of_the_wrong_shape_is_no_answer(
    roads: Roads, roadside: Roadside, at: RouterAt, fault: str
) -> None:
    roadside.body = WRONG[fault][list(RouterKind).index(at.kind)]

    with capture_logs() as logs:
        road = await roads.route(POINTS)

    assert road.method is Method.STRAIGHT
    assert np.array_equal(road.line, POINTS)
    assert np.isnan(road.legs_s).all()
    assert [one["error"] for one in logs] in (["unreadable"], ["off_the_map"])


@pytest.mark.parametrize(
    ("trouble", "error"),
    [
        (Roadside(status=400), "refused"),
        (Roadside(status=500), "unreachable"),
        (Roadside(status=302, headers={"Location": "/elsewhere"}), "unreachable"),
        (Roadside(status=307, headers={"Location": "/elsewhere"}), "unreachable"),
        (Roadside(body=b" " * (ANSWER_BYTES_MAX + READ_BYTES)), "too_large"),
        (Roadside(headers={"Content-Encoding": "gzip"}), "unreachable"),
        (Roadside(headers={"X-Long": "x" * 9_000}), "unreachable"),
        (Roadside(shift=1.0), "off_the_map"),
        (Roadside(delay_s=5.0), "too_slow"),
    ],
    ids=lambda found: found if isinstance(found, str) else "",
)
@pytest.mark.parametrize("kind", RouterKind)
async def test_a_router_in_trouble_leaves_legs_straight_and_tells_no_place(
    trouble: Roadside, error: str, kind: RouterKind
) -> None:
    began = time.monotonic()
    async with router_server(trouble, kind) as at:
        roads = impatient(at, within_s=0.5 if trouble.delay_s else 10.0)
        with capture_logs() as logs:
            road = await roads.route(POINTS)
            line = await roads.line(COMPANY, PLACES)
            matched = await roads.match(drive(5))

    assert road.method is Method.STRAIGHT
    assert line is None
    assert matched.method is Method.STRAIGHT
    assert matched.length_m == pytest.approx(chords_m(drive(5).lon_lat))
    told = {one["error"] for one in logs if one["event"] == "roads_unanswered"}
    assert told <= {error}
    assert len(logs) >= 2
    assert not any(secret in str(logs) for secret in ("76.", "43.", "127.0.0.1", "http"))
    assert trouble.elsewhere == 0
    assert time.monotonic() - began < 10.0  # thrice the delay is 15 s


async def test_a_router_that_is_not_there_leaves_legs_straight() -> None:
    roads = roads_of(RouterAt(kind=RouterKind.OSRM, url="http://127.0.0.1:9"))

    with capture_logs() as logs:
        assert await roads.line(COMPANY, PLACES) is None

    assert [one["error"] for one in logs] == ["unreachable"]


class Matcher:
    """A router of which every question takes long, and then fails in a way nobody foresaw."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s

    async def route(self, _points: Floats) -> Road:
        await asyncio.sleep(self._delay_s)
        raise KeyError(PLACES)

    async def match(self, _track: Track) -> Matched:
        raise KeyError(PLACES)

    async def matrix(self, _points: Floats) -> Matrix:
        raise KeyError(PLACES)


@pytest.mark.parametrize(
    ("delay_s", "event", "error"),
    [(60.0, "roads_unanswered", "too_slow"), (0.0, "roads_broken", "KeyError")],
)
async def test_no_matcher_holds_a_plan_up_or_breaks_it(
    delay_s: float, event: str, error: str
) -> None:
    with capture_logs() as logs:
        assert await Roads(Matcher(delay_s), plan_s_max=0.1).line(COMPANY, PLACES) is None

    assert [(one["event"], one["error"]) for one in logs] == [(event, error)]
    assert "76." not in str(logs)


async def test_only_so_many_questions_are_asked_at_once(roads: Roads, roadside: Roadside) -> None:
    roadside.delay_s = 0.05

    lines = await asyncio.gather(*(roads.line(uuid4(), PLACES) for _ in range(3 * AT_ONCE_MAX)))

    assert None not in lines
    assert roadside.at_once_max == AT_ONCE_MAX


async def test_a_companys_many_plans_leave_room_for_anothers(
    roads: Roads, roadside: Roadside
) -> None:
    roadside.delay_s = 0.2
    many = [asyncio.create_task(roads.line(COMPANY, PLACES)) for _ in range(12)]
    await roadside.thinking.wait()

    assert await roads.line(uuid4(), PLACES[:2]) is not None

    assert sum(one.done() for one in many) <= 2 * OF_COMPANY_MAX  # it did not wait for them
    assert roadside.at_once_max == OF_COMPANY_MAX + 1 < AT_ONCE_MAX
    assert None not in await asyncio.gather(*many)


class Astray:
    """A router whose roads go the other way round the Earth."""

    async def route(self, points: Floats) -> Road:
        line = np.array([points[0], points[0] - [90.0, 0.0], points[-1]])
        return Road(line=line, legs_m=np.zeros(2), legs_s=np.zeros(2))

    async def match(self, _track: Track) -> Matched:
        raise NotImplementedError

    async def matrix(self, _points: Floats) -> Matrix:
        raise NotImplementedError


async def test_a_line_that_cannot_be_planned_with_is_no_fault_of_the_plan() -> None:
    stops = [
        Stop(
            stop_id=uuid4(), name="S", lat=43.0, lon=lon, radius_m=50.0, service_s=0.0,
            planned_arrival=None, window_start=None, window_end=None,
        )
        for lon in (0.0, 100.0, 1.0)
    ]  # fmt: skip
    new = NewRoute(
        name="East", day=date(2026, 12, 1), driver_id=None, vehicle_id=None, planned_start=None,
        stops=stops, line=None,
    )  # fmt: skip
    draft = await drafted(new)

    assert await on_roads(COMPANY, draft, Roads(Astray())) is draft
