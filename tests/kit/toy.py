"""A small application on the kit alone: an endpoint of each kind, for the tests of the glue."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from aiohttp import ClientSession, web
from aiohttp.typedefs import Handler
from pydantic import EmailStr, Field

from server.kit import api
from server.kit.api import endpoint
from server.kit.body import read_json
from server.kit.docs_page import docs_routes
from server.kit.errors import Conflict, NotFound, Unauthenticated
from server.kit.http_connection import Limits
from server.kit.http_server import listening
from server.kit.ids import uuid7
from server.kit.openapi import document
from server.kit.problem import problems
from server.kit.wire import Instant, Latitude, Longitude, Page, Text, Wire, listed

TOKEN: Final = "tt_toy"  # noqa: S105 - opens nothing
SLOW_S: Final = 0.6


class TokenAccess:
    """Two kinds of caller: everybody, or who shows the token."""

    def __init__(self, *, public: bool) -> None:
        self.public = public

    def security(self) -> list[dict[str, list[str]]]:
        return [] if self.public else [{"bearer": []}]

    def words(self) -> str:
        return "everybody" if self.public else "who has the `toy` token"


PUBLIC: Final = TokenAccess(public=True)
HOLDER: Final = TokenAccess(public=False)


class NotKnown(Unauthenticated):
    slug = "not-authenticated"
    title = "Not authenticated"


class PlaceUnknown(NotFound):
    slug = "place-unknown"
    title = "No such place"


class PlaceTaken(Conflict):
    slug = "place-taken"
    title = "There is a place of this name"


async def authorize(request: web.Request, access: TokenAccess) -> None:
    if not access.public and request.headers.get("Authorization") != f"Bearer {TOKEN}":
        raise NotKnown


class Kind(StrEnum):
    DEPOT = "depot"
    SHOP = "shop"


class Fence(Wire):
    shape: Literal["fence"]
    lat: Latitude


class Ring(Wire):
    shape: Literal["ring"]
    radius_m: Annotated[int, Field(ge=1, le=10_000)]


class PlaceBody(Wire):
    """A place as the caller describes it."""

    name: Annotated[str, Text(40)]
    lat: Latitude
    lon: Longitude
    kind: Kind = Kind.DEPOT
    open_from: Instant | None = None
    seats: Annotated[int, Field(ge=0, le=500)] = 0
    covered: bool = False
    email: Annotated[EmailStr | None, Field(max_length=254)] = None
    owner: UUID | None = None
    area: Annotated[Fence | Ring | None, Field(discriminator="shape")] = None
    tags: Annotated[list[Annotated[str, Text(10)]], Field(default_factory=list, max_length=5)]


class PlaceView(Wire):
    place_id: UUID
    name: str
    lat: float
    lon: float
    kind: Kind
    open_from: Instant | None


class PlaceQuery(Wire):
    kind: Kind | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 50
    near_lat: Latitude | None = None
    since: Instant | None = None
    place_id: Annotated[list[UUID], listed, Field(max_length=2)] | None = None


PLACES: web.AppKey[dict[UUID, PlaceView]] = web.AppKey("PLACES")


@endpoint("POST", "/v1/places", access=HOLDER, status=HTTPStatus.CREATED, raises=[PlaceTaken])
async def add_place(request: web.Request, *, body: PlaceBody) -> PlaceView:
    """Add a place.

    Its name stands for it: no other place may have it.
    """
    places = request.app[PLACES]
    if any(place.name == body.name for place in places.values()):
        raise PlaceTaken
    place = PlaceView(
        place_id=uuid7(),
        name=body.name,
        lat=body.lat,
        lon=body.lon,
        kind=body.kind,
        open_from=body.open_from,
    )
    places[place.place_id] = place
    return place


@endpoint("GET", "/v1/places", access=PUBLIC)
async def list_places(request: web.Request, *, query: PlaceQuery) -> Page[PlaceView]:
    """List the places."""
    found = [
        place
        for place in request.app[PLACES].values()
        if (query.kind is None or place.kind is query.kind)
        and (query.place_id is None or place.place_id in query.place_id)
    ]
    return Page(items=found[: query.limit])


@endpoint("GET", "/v1/places/{place_id}", access=PUBLIC, raises=[PlaceUnknown])
async def get_place(request: web.Request, *, place_id: UUID) -> PlaceView:
    """Return one place."""
    place = request.app[PLACES].get(place_id)
    if place is None:
        raise PlaceUnknown
    return place


@endpoint("DELETE", "/v1/places/{place_id}", access=HOLDER, raises=[PlaceUnknown])
async def remove_place(request: web.Request, *, place_id: UUID) -> None:
    """Remove a place."""
    if request.app[PLACES].pop(place_id, None) is None:
        raise PlaceUnknown


class Count(Wire):
    bytes: int


@endpoint("POST", "/v1/slow", access=PUBLIC, raw_body=PlaceBody)
async def slow_body(request: web.Request) -> Count:
    """Read a body by itself, with a short deadline."""
    return Count(bytes=len(await read_json(request, bytes_max=4096, read_s_max=SLOW_S)))


@endpoint("POST", "/v1/whole", access=PUBLIC, raw_body=PlaceBody)
async def whole_body(request: web.Request) -> Count:
    """Read a body by aiohttp's own means: without kit's deadline."""
    return Count(bytes=len(await request.read()))


ENDPOINTS: Final = (
    add_place,
    list_places,
    get_place,
    remove_place,
)
RAW: Final = (slow_body, whole_body)


def described() -> dict[str, Any]:
    return document(
        ENDPOINTS,
        title="Toy",
        version="1",
        security={"bearer": {"type": "http", "scheme": "bearer"}},
    )


def application(**middlewares: Any) -> web.Application:
    app = web.Application(**{"middlewares": [problems], **middlewares})
    app[PLACES] = {}
    api.install(app, (*ENDPOINTS, *RAW), authorize=authorize)
    app.add_routes(docs_routes(described))
    app.router.add_get("/v1/stream", stream, name="stream")
    app.router.add_get("/v1/nap", nap, name="nap")
    app.router.add_get("/v1/large", large, name="large")
    app.router.add_get("/v1/half", half, name="half")
    app.router.add_get("/v1/wrong", wrong, name="wrong")
    return app


async def stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    await response.write(b": here\n\n")
    await asyncio.Event().wait()
    return response


async def nap(_request: web.Request) -> web.Response:
    await asyncio.sleep(SLOW_S)
    return web.Response(text="awake")


async def large(_request: web.Request) -> web.Response:
    return web.Response(body=bytes(64 * 1024 * 1024))


async def half(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"one half")
    raise ValueError("CANARY after the answer began")


def told(document: Mapping[str, Any]) -> Handler:
    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.json_response(document)

    return answer


async def wrong(_request: web.Request) -> web.StreamResponse:
    raise ValueError("CANARY in an error's text")


@asynccontextmanager
async def served(limits: Limits | None = None) -> AsyncGenerator[ClientSession]:
    async with (
        listening(application(), host="127.0.0.1", port=0, limits=limits) as address,
        ClientSession(address.url) as client,
    ):
        yield client
