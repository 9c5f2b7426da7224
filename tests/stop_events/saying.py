"""What tests of the drivers' statuses do."""

from datetime import timedelta
from typing import Any, Final
from uuid import UUID, uuid4

from aiohttp import ClientSession

from server.kit import db
from server.kit.wire import rfc3339
from server.stop_events import service
from server.stop_events.model import EventKind, Said, StopEvent
from tests.http import bearer
from tests.world import NOW, World

TODAY: Final = "/v1/me/today"
COMMENT: Final = "The gate is shut.\nI rang twice."
PLAN: Final[dict[str, Any]] = {
    "name": "North of the river",
    "date": "2026-11-22",
    "planned_start": rfc3339(NOW - timedelta(hours=1)),
    "stops": [
        {"name": "Қойма", "lat": 43.238949, "lon": 76.889709, "service_s": 300},
        {"name": "Client", "lat": 43.25, "lon": 76.95, "planned_arrival": rfc3339(NOW)},
    ],
}


async def call(
    client: ClientSession, method: str, path: str, token: str | None, body: object = None
) -> tuple[int, Any]:
    headers = {} if token is None else bearer(token)
    async with client.request(method, path, json=body, headers=headers) as answer:
        return answer.status, await answer.json(content_type=None)


async def planned(
    client: ClientSession, dispatcher: str, driver_id: UUID | None, **changes: object
) -> Any:
    """Plan a route for the driver; return it."""
    assigned = None if driver_id is None else str(driver_id)
    status, route = await call(
        client, "POST", "/v1/routes", dispatcher, {**PLAN, "driver_id": assigned, **changes}
    )
    assert status == 201, route
    return route


def event(route: Any, kind: str = "arrived", **changes: object) -> dict[str, Any]:
    """Return the body of an event that nobody has reported yet."""
    return {
        "event_id": str(uuid4()),
        "route_id": route["route_id"],
        "type": kind,
        "at": rfc3339(NOW - timedelta(minutes=1)),
        **changes,
    }


async def report(
    client: ClientSession, token: str, route: Any, body: dict[str, Any], *, stop: int = 0
) -> tuple[int, Any]:
    path = f"/v1/me/stops/{route['stops'][stop]['stop_id']}/events"
    return await call(client, "POST", path, token, body)


async def reported(
    client: ClientSession, token: str, route: Any, kind: str, *, stop: int = 0, **changes: object
) -> Any:
    """Report an event that is taken; return it."""
    status, told = await report(client, token, route, event(route, kind, **changes), stop=stop)
    assert status == 201, told
    return told


def said(route: Any, *, event_id: UUID | None = None, text: str | None = COMMENT) -> Said:
    return Said(
        event_id=event_id or uuid4(),
        route_id=UUID(route["route_id"]),
        stop_id=UUID(route["stops"][0]["stop_id"]),
        kind=EventKind.COMMENT,
        at=NOW,
        text=text,
    )


async def say(world: World, what: Said) -> StopEvent:
    """Report without HTTP."""
    async with db.tenant(world.pool, world.company_id) as conn:
        return await service.report(
            conn, world.vault, world.company_id, world.driver.member_id, what, now=NOW
        )
