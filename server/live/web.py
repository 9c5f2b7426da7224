"""Current positions to dispatchers: a snapshot, and a stream of what changes."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import datetime
from http import HTTPStatus
from time import monotonic
from typing import Annotated, Any, Final
from uuid import UUID

from aiohttp import HttpVersion11, web
from pydantic import Field

from server.alerts.model import AlertKind, AlertNews, AlertWord
from server.credentials.access import VAULT, presented
from server.credentials.model import NotAuthenticated
from server.credentials.viewers import viewer
from server.gate import handover
from server.gate.handover import Viewing
from server.kit.api import Media, endpoint
from server.kit.sending import Connection, flushed
from server.kit.tasks import ended
from server.kit.web import CLOCK, COMPANY, POOL, now, transaction
from server.kit.wire import Instant, Latitude, Longitude, Wire, listed
from server.live import service
from server.live.hub import HEARTBEAT_S, SEND_S_MAX, TICK_S, Hub, listen
from server.live.model import (
    Erasure,
    ErasureWord,
    Event,
    Gone,
    LiveUnavailable,
    Sight,
    Sights,
    Signal,
    Topic,
    WatchersFull,
    Work,
)
from server.live.service import LIVE, Names
from server.reads.model import ReadPurpose, Screen
from server.vehicles.model import Vehicle

HUB: web.AppKey[Hub] = web.AppKey("HUB")
_EVENT: Final = {
    "description": "Each event of the stream; its data are JSON.",
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "id": {"type": "string"},
        "event": {"enum": ["hello", "pos", "state", "gone", "erasure", "alert", "resync"]},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
}
_STREAM_HEADERS: Final = {
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # a proxy that collects frames would break the barrier's promise
}


class VehicleRef(Wire):
    name: str
    plate: str


class StateView(Wire):
    """What became of a driver. ``not_shared`` and ``off_shift`` never tell a cause."""

    driver_id: UUID
    link: Signal
    work: Work | None
    route_id: UUID | None
    epoch: int
    """Grows by one when it begins or ends that positions may be shown, whatever the cause."""


class PositionView(StateView):
    """The position's members are absent unless ``link`` is live, stale or lost."""

    lat: Latitude | None = None
    lon: Longitude | None = None
    fix_at: Instant | None = None
    speed_mps: Annotated[float, Field(ge=0, le=1_000)] | None = None
    heading_deg: Annotated[float, Field(ge=0, le=360)] | None = None
    accuracy_m: Annotated[float, Field(ge=0, le=10_000_000)] | None = None


class LiveDriverView(PositionView):
    name: str
    vehicle: VehicleRef | None


class LiveView(Wire):
    server_now: Instant
    drivers: list[LiveDriverView]


class HelloData(Wire):
    stream_id: str
    server_now: Instant
    heartbeat_s: Annotated[float, Field(ge=0, le=3_600)]


class ResyncData(Wire):
    """Events were missed: read the snapshot again."""

    reason: str


class PosData(Wire):
    server_now: Instant
    drivers: list[PositionView]


class GoneData(Wire):
    """Forget this driver's positions of this epoch and before."""

    driver_id: UUID
    epoch: int


class ErasureData(Wire):
    driver_id: UUID
    state: ErasureWord


class AlertData(Wire):
    """What became of an alert, without any place."""

    alert_id: UUID
    kind: AlertKind
    route_id: UUID
    driver_id: UUID
    state: AlertWord


class StreamQuery(Wire):
    topics: Annotated[list[Topic], listed, Field(min_length=1, max_length=len(Topic))] = Field(
        [Topic.LIVE], description="What to hear: `live`, `alerts`, or both."
    )


class EventStream:
    """Writes what is told as server-sent events."""

    def __init__(self, *, heartbeat_s: float) -> None:
        self._heartbeat_s = heartbeat_s

    def hello(self, event_id: str, *, stream_id: str, now: datetime) -> bytes:
        data = HelloData(stream_id=stream_id, server_now=now, heartbeat_s=self._heartbeat_s)
        return _sse("hello", data, event_id)

    def resync(self, event_id: str, reason: str) -> bytes:
        return _sse("resync", ResyncData(reason=reason), event_id)

    def event(self, event_id: str, event: Event) -> bytes:
        match event:
            case Gone():
                return _sse("gone", GoneData.model_validate(event), event_id)
            case Erasure():
                return _sse("erasure", ErasureData.model_validate(event), event_id)
            case AlertNews():
                return _sse("alert", AlertData.model_validate(event), event_id)
            case Sight():
                return _sse("state", StateView(**_state(event)), event_id)

    def moves(self, moves: Sequence[Sight], *, now: datetime) -> bytes:
        """Write positions. Without an id: they are never replayed."""
        drivers = [PositionView(**_members(sight)) for sight in moves]
        return _sse("pos", PosData(server_now=now, drivers=drivers))


def _sse(name: str, data: Wire, event_id: str | None = None) -> bytes:
    head = f"event: {name}\n" if event_id is None else f"id: {event_id}\nevent: {name}\n"
    # JSON escapes line ends, so that the data are one line.
    return head.encode() + b"data: " + _json(data) + b"\n\n"


def _json(data: Wire) -> bytes:
    return data.model_dump_json(exclude_unset=True).encode()


def _state(sight: Sight) -> dict[str, Any]:
    return {
        "driver_id": sight.driver_id,
        "link": sight.signal,
        "work": sight.work,
        "route_id": sight.route_id,
        "epoch": sight.epoch,
    }


def _members(sight: Sight) -> dict[str, Any]:
    members = _state(sight)
    if sight.position is not None:
        members |= {
            "lat": sight.position.lat,
            "lon": sight.position.lon,
            "fix_at": sight.position.recorded_at,
            "speed_mps": sight.position.speed_mps,
            "heading_deg": sight.position.heading_deg,
            "accuracy_m": sight.position.accuracy_m,
        }
    return members


@endpoint(
    "GET",
    "/v1/live",
    access=LIVE,
    raises=(LiveUnavailable,),
    answer=LiveView,
    purposes=(ReadPurpose.DISPATCH_TRACKING,),
)
async def read_live(request: web.Request) -> web.StreamResponse:
    """Read where the company's drivers are now.

    Purpose: dispatch_tracking. Positions of drivers who are on shift, not paused, and agreed.
    """
    at = now(request)
    pool, vault, company_id = request.app[POOL], request.app[VAULT], request[COMPANY]
    async with transaction(request, readonly=True) as conn:
        names = await service.names(conn, vault, company_id)
    glimpsed = await service.glimpse(pool, vault, company_id, now=at)
    await _seen(request).at(glimpsed.fixes.keys())
    connection = Connection(request.transport, chunked=False)
    response: web.StreamResponse | None = None
    until = monotonic() + SEND_S_MAX
    try:
        async with request.app[HUB].barrier(pool, company_id) as conn:
            sights, _ = await service.judged(conn, company_id, glimpsed, now=at)
            body = _json(_live_view(sights, names, at))
            if monotonic() >= until:
                raise LiveUnavailable
            response = web.StreamResponse(headers={"Cache-Control": "no-store"})
            response.content_type = "application/json"
            response.content_length = len(body)
            try:
                await response.prepare(request)
                connection.send(body, until=until)
                await flushed((connection,), until)
            finally:
                if connection.unsent_bytes():
                    connection.drop()
    except (TimeoutError, ConnectionError):
        # Once it was begun, nothing else can be said on this connection.
        if response is None:
            raise LiveUnavailable from None
    return response


def _live_view(sights: Sights, names: Names, at: datetime) -> LiveView:
    return LiveView(
        server_now=at,
        drivers=[
            LiveDriverView(
                **_members(sight),
                name=names.drivers[sight.driver_id],
                vehicle=_vehicle(sight, names),
            )
            for sight in sights.values()
            if sight.driver_id in names.drivers
        ],
    )


def _vehicle(sight: Sight, names: Names) -> VehicleRef | None:
    found: Vehicle | None = None
    if sight.vehicle_id is not None:
        found = names.vehicles.get(sight.vehicle_id)
    return None if found is None else VehicleRef(name=found.name, plate=found.plate)


@endpoint(
    "GET",
    "/v1/stream",
    access=LIVE,
    raises=(LiveUnavailable, WatchersFull),
    media=(Media(content_type="text/event-stream", schema=_EVENT),),
    purposes=(ReadPurpose.DISPATCH_TRACKING,),
)
async def stream_live(request: web.Request, *, query: StreamQuery) -> web.StreamResponse:
    """Stream what changes, as server-sent events.

    `hello`, `state`, `gone`, `erasure`, `alert` and `resync` carry an id and resume by
    `Last-Event-ID`. `pos` carries none and is never replayed: after `hello` or `resync`, read
    `GET /v1/live`, and for alerts `GET /v1/alerts`. A `pos` whose `epoch` is at or below the
    driver's last `gone` is to be dropped.
    """
    hub = request.app[HUB]
    token = presented(request)
    if token is None:  # authorize() has read the same header before
        raise NotAuthenticated
    async with hub.joined(request[COMPANY]) as channel:
        response = web.StreamResponse(status=HTTPStatus.OK, headers=_STREAM_HEADERS)
        response.content_type = "text/event-stream"
        response.charset = "utf-8"
        await response.prepare(request)
        await response.write(b": jolda\n\n")
        connection = Connection(request.transport, chunked=request.version >= HttpVersion11)
        hub.admit(
            channel,
            connection,
            seen=_seen(request),
            last_event_id=request.headers.get("Last-Event-ID"),
            digest=token.digest,
            topics=query.topics,
        )
        try:
            await _keep_open(hub, connection)
        finally:
            hub.leave(channel, connection)
    return response


async def _keep_open(hub: Hub, connection: Connection) -> None:
    """Return when the screen is gone, or was cut off.

    Whether it may watch is asked for all screens at once in every tick: each asking for itself
    would take every connection of the pool at once, as screens that came together wake together.
    """
    while True:
        with suppress(TimeoutError):
            async with asyncio.timeout(hub.heartbeat_s):
                await connection.ended.wait()
        if connection.is_gone():
            return
        connection.send(b": hb\n\n")


def _seen(request: web.Request) -> Viewing:
    return handover.viewing(
        request, viewer(request), ReadPurpose.DISPATCH_TRACKING, Screen.LIVE_MAP
    )


def install(
    app: web.Application, *, tick_s: float = TICK_S, heartbeat_s: float = HEARTBEAT_S
) -> None:
    """Give the application its hub; it ends every stream when the application shuts down."""

    async def running(app: web.Application) -> AsyncIterator[None]:
        app[HUB] = hub = Hub(
            app[POOL],
            app[VAULT],
            app[CLOCK],
            EventStream(heartbeat_s=heartbeat_s),
            tick_s=tick_s,
            heartbeat_s=heartbeat_s,
        )
        listening = asyncio.create_task(listen(app[POOL], hub))
        yield
        await ended(listening)

    async def end(app: web.Application) -> None:
        await app[HUB].close()

    app.cleanup_ctx.append(running)
    app.on_shutdown.append(end)


ENDPOINTS: Final = (read_live, stream_live)
