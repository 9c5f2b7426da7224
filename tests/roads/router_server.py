"""A small server that answers as OSRM and Valhalla do.

The answers are written by hand after the documented formats (project-osrm.org/docs, API v1;
valhalla.github.io/valhalla/api), with the members that Jolda does not look at: no router ran here.
Roads run east or west first and then north or south, so none is straight.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, TypeAlias

from aiohttp import web

from server.roads.model import RouterAt, RouterKind

Place: TypeAlias = tuple[float, float]

SPEED_MPS = 10.0
METRES_PER_DEGREE = 111_195.0
NO_ROUTE = {"code": "NoRoute", "message": "Impossible route between points"}
NO_EDGES = {
    "error_code": 171,
    "error": "No suitable edges near location",
    "status_code": 400,
    "status": "Bad Request",
}


@dataclass
class Roadside:
    """What arrived, and what is to go wrong."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    body: bytes | None = None
    """In place of the answer."""
    refused_from: int | None = None
    """Questions from this one on are answered with "no road here"."""
    split_at: int | None = None
    """A trace is given back in two parts, cut at this fix."""
    lost: int = 0
    """So many fixes at the beginning of a trace are matched with no road."""
    shift: float = 0.0
    """How many degrees further north the router's roads are than they should be."""
    asked: list[str] = field(default_factory=list)
    places: list[list[Place]] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    elsewhere: int = 0
    at_once: int = 0
    at_once_max: int = 0
    thinking: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a question has arrived."""


def encoded(line: Sequence[Place]) -> str:
    """Write a polyline of 1e-6 degrees."""
    text, before = "", (0, 0)
    for lon, lat in line:
        at = round(lat * 1e6), round(lon * 1e6)
        for step in (at[0] - before[0], at[1] - before[1]):
            bits = ~(step << 1) if step < 0 else step << 1
            while bits >= 32:
                text += chr((bits & 31 | 32) + 63)
                bits >>= 5
            text += chr(bits + 63)
        before = at
    return text


def bent(places: Sequence[Place], shift: float = 0.0) -> list[Place]:
    line = [(places[0][0], places[0][1] + shift)]
    for lon, lat in places[1:]:
        line += [(lon, line[-1][1]), (lon, lat + shift)]
    return line


def length_m(line: Sequence[Place]) -> float:
    pairs = pairwise(line)
    return METRES_PER_DEGREE * sum(abs(b[0] - a[0]) + abs(b[1] - a[1]) for a, b in pairs)


def osrm_route(places: Sequence[Place], roadside: Roadside) -> dict[str, Any]:
    legs = [
        {
            "steps": [],
            "distance": round(length_m(bent(pair)), 1),
            "duration": round(length_m(bent(pair)) / SPEED_MPS, 1),
            "summary": "",
            "weight": 1.0,
        }
        for pair in pairwise(places)
    ]
    return {
        "code": "Ok",
        "routes": [
            {
                "geometry": encoded(bent(places, roadside.shift)),
                "legs": legs,
                "distance": sum(leg["distance"] for leg in legs),
                "duration": sum(leg["duration"] for leg in legs),
                "weight_name": "routability",
                "weight": 1.0,
            }
        ],
        "waypoints": [_waypoint(place, roadside.shift) for place in places],
    }


def _waypoint(place: Place, shift: float) -> dict[str, Any]:
    return {"distance": 4.2, "name": "Абай", "location": [place[0], place[1] + shift]}


def osrm_match(places: Sequence[Place], roadside: Roadside) -> dict[str, Any]:
    tracepoints = [
        None
        if at < roadside.lost
        else _waypoint(place, roadside.shift)
        | {"alternatives_count": 0, "waypoint_index": at, "matchings_index": 0}
        for at, place in enumerate(places)
    ]
    return {
        "code": "Ok",
        "matchings": [
            {
                "confidence": 0.94,
                "geometry": encoded(bent(part, roadside.shift)),
                "legs": [],
                "distance": length_m(bent(part)),
                "duration": 1.0,
                "weight_name": "routability",
                "weight": 1.0,
            }
            for part in _parts(places[roadside.lost :], roadside)
        ],
        "tracepoints": tracepoints,
    }


def osrm_table(places: Sequence[Place]) -> dict[str, Any]:
    metres = [[length_m(bent([a, b])) for b in places] for a in places]
    return {
        "code": "Ok",
        "durations": [[one / SPEED_MPS for one in row] for row in metres],
        "distances": metres,
        "sources": [_waypoint(place, 0.0) for place in places],
        "destinations": [_waypoint(place, 0.0) for place in places],
    }


def valhalla_trip(places: Sequence[Place], shift: float, *, legs: bool) -> dict[str, Any]:
    parts = list(pairwise(places)) if legs else [places]
    made = [
        {
            "maneuvers": [],
            "summary": {
                "has_time_restrictions": False,
                "min_lat": 43.2,
                "time": length_m(bent(part)) / SPEED_MPS,
                "length": round(length_m(bent(part)) / 1_000.0, 3),
                "cost": 200.0,
            },
            "shape": encoded(bent(part, shift)),
        }
        for part in parts
    ]
    return {
        "locations": [
            {"type": "break", "lat": lat, "lon": lon, "original_index": at}
            for at, (lon, lat) in enumerate(places)
        ],
        "legs": made,
        "summary": {"time": 1.0, "length": 1.0, "cost": 1.0},
        "status_message": "Found route between points",
        "status": 0,
        "units": "kilometers",
        "language": "en-US",
    }


def valhalla_trace(places: Sequence[Place], roadside: Roadside) -> dict[str, Any]:
    trips = [valhalla_trip(part, roadside.shift, legs=False) for part in _parts(places, roadside)]
    answer: dict[str, Any] = {"trip": trips[0]}
    return answer | ({"alternates": [{"trip": one} for one in trips[1:]]} if trips[1:] else {})


def valhalla_matrix(sources: Sequence[Place], targets: Sequence[Place]) -> dict[str, Any]:
    return {
        "sources": [{"lon": lon, "lat": lat} for lon, lat in sources],
        "targets": [{"lon": lon, "lat": lat} for lon, lat in targets],
        "sources_to_targets": [
            [
                {
                    "distance": length_m(bent([a, b])) / 1_000.0,
                    "time": length_m(bent([a, b])) / SPEED_MPS,
                    "to_index": to,
                    "from_index": at,
                }
                for to, b in enumerate(targets)
            ]
            for at, a in enumerate(sources)
        ],
        "units": "kilometers",
        "algorithm": "costmatrix",
    }


def _parts(places: Sequence[Place], roadside: Roadside) -> list[Sequence[Place]]:
    at = roadside.split_at
    return [places] if at is None else [places[: at + 1], places[at + 1 :]]


@asynccontextmanager
async def router_server(roadside: Roadside, kind: RouterKind) -> AsyncGenerator[RouterAt]:
    """Serve the router under a path of its own, as behind a proxy."""

    async def told(places: list[Place], path: str, answer: object) -> web.Response:
        roadside.asked.append(path)
        roadside.places.append(places)
        roadside.at_once += 1
        roadside.at_once_max = max(roadside.at_once_max, roadside.at_once)
        roadside.thinking.set()
        try:
            await asyncio.sleep(roadside.delay_s)
        finally:
            roadside.at_once -= 1
        status = roadside.status
        if roadside.refused_from is not None and len(roadside.asked) > roadside.refused_from:
            status, answer = 400, NO_ROUTE if kind is RouterKind.OSRM else NO_EDGES
        body = json.dumps(answer).encode() if roadside.body is None else roadside.body
        return web.Response(
            status=status, body=body, headers=roadside.headers, content_type="application/json"
        )

    async def osrm(request: web.Request) -> web.Response:
        lon_lat = [one.split(",") for one in request.match_info["places"].split(";")]
        places = [(float(lon), float(lat)) for lon, lat in lon_lat]
        service = request.match_info["service"]
        if service == "route":
            answer = osrm_route(places, roadside)
        else:
            answer = osrm_match(places, roadside) if service == "match" else osrm_table(places)
        return await told(places, request.path_qs, answer)

    async def valhalla(request: web.Request) -> web.Response:
        body = await request.json()
        roadside.bodies.append(body)
        asked = body.get("locations") or body.get("shape") or body.get("sources")
        places = [(one["lon"], one["lat"]) for one in asked]
        action = request.match_info["action"]
        if action == "route":
            answer = {"trip": valhalla_trip(places, roadside.shift, legs=True)}
        elif action == "trace_route":
            answer = valhalla_trace(places, roadside)
        else:
            answer = valhalla_matrix(places, places)
        return await told(places, request.path_qs, answer)

    async def elsewhere(_request: web.Request) -> web.Response:
        roadside.elsewhere += 1
        return web.Response()

    app = web.Application()
    app.router.add_get("/roads/{service:route|match|table}/v1/driving/{places}", osrm)
    app.router.add_post("/roads/{action:route|trace_route|sources_to_targets}", valhalla)
    app.router.add_route("*", "/{rest:.*}", elsewhere)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield RouterAt(kind=kind, url=f"http://127.0.0.1:{runner.addresses[0][1]}/roads/")
    finally:
        await runner.cleanup()
