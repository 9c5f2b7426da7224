"""Current positions to dispatchers: a snapshot, and a stream of what changes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import datetime
from http import HTTPStatus
from time import monotonic
from typing import Annotated, Final

from aiohttp import HttpVersion11, web
from pydantic import Field

from server.credentials.access import CALLER, VAULT, presented
from server.credentials.model import NotAuthenticated, NotPermitted
from server.credentials.viewers import viewer
from server.gate import handover
from server.gate.handover import Viewing
from server.kit.api import Media, endpoint
from server.kit.sending import Connection, flushed
from server.kit.tasks import ended
from server.kit.web import CLOCK, COMPANY, POOL, now, transaction
from server.kit.wire import Wire, listed
from server.live import service
from server.live.hub import HEARTBEAT_S, SEND_S_MAX, TICK_S, Hub, listen
from server.live.model import (
    LiveUnavailable,
    Sight,
    Sights,
    Topic,
    WatchersFull,
)
from server.live.service import LIVE, Names
from server.live.wire import EventStream, LiveDriverView, LiveView, VehicleRef, members_of, to_json
from server.reads.model import ReadPurpose, Screen
from server.vehicles.model import Vehicle

HUB: web.AppKey[Hub] = web.AppKey("HUB")
_EVENT: Final = {
    "description": "Each event of the stream; its data are JSON.",
    "type": "object",
    "required": ["event", "data"],
    "properties": {
        "id": {"type": "string"},
        "event": {
            "enum": [
                "hello",
                "pos",
                "state",
                "gone",
                "undriven",
                "erasure",
                "alert",
                "stop",
                "resync",
            ]
        },
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
}
_LOOKS: Final = {
    Topic.LIVE: (ReadPurpose.DISPATCH_TRACKING, Screen.LIVE_MAP),
    Topic.ALERTS: (ReadPurpose.PLAN_FACT, Screen.ALERTS),
}
"""What a look at a topic is written down as."""
_STREAM_HEADERS: Final = {
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # a proxy that collects frames would break the barrier's promise
}


class StreamQuery(Wire):
    topics: Annotated[list[Topic], listed, Field(min_length=1, max_length=len(Topic))] = Field(
        [Topic.LIVE],
        description="What to hear of: `live`, `alerts`, `routes`, `tracks`, or several of them.",
    )


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
    await _look(request, Topic.LIVE).at(glimpsed.fixes.keys())
    connection = Connection(request.transport, chunked=False)
    response: web.StreamResponse | None = None
    until = monotonic() + SEND_S_MAX
    try:
        async with request.app[HUB].barrier(pool, company_id) as conn:
            sights, _ = await service.judged(conn, company_id, glimpsed, now=at)
            body = to_json(_live_view(sights, names, at))
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
                **members_of(sight),
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
    purposes=tuple(purpose for purpose, _ in _LOOKS.values()),
)
async def stream_live(request: web.Request, *, query: StreamQuery) -> web.StreamResponse:
    """Stream what changes, as server-sent events.

    `hello`, `state`, `gone`, `undriven`, `erasure`, `alert`, `stop` and `resync` carry an id and
    resume by `Last-Event-ID`. `pos` carries none, and neither it nor `alert` is ever replayed:
    after `hello` or `resync`, read `GET /v1/live`, and for alerts `GET /v1/alerts`. A `pos` whose
    `epoch` is at or below the driver's last `gone` is to be dropped.

    Purposes: of the topic `live` dispatch_tracking, of `alerts` plan_fact; `routes` and
    `tracks` hold nothing that comes of a position. For `alerts` and `tracks` an API token needs
    `tracks:read` as well, for `routes` `routes:read`.
    """
    hub = request.app[HUB]
    token = presented(request)
    if token is None:  # authorize() has read the same header before
        raise NotAuthenticated
    if not service.topics_of(request[CALLER]) >= set(query.topics):
        raise NotPermitted
    looks = {topic: _look(request, topic) if topic in _LOOKS else None for topic in query.topics}
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
            looks=looks,
            last_event_id=request.headers.get("Last-Event-ID"),
            digest=token.digest,
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


def _look(request: web.Request, topic: Topic) -> Viewing:
    return handover.viewing(request, viewer(request), *_LOOKS[topic])


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
