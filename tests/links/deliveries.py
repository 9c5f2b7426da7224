"""A delivery for tests: a route under way, a link to one of its stops, a phone that moves."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from aiohttp import ClientSession, web

from server.kit.wire import rfc3339
from server.links import web as links
from server.links.web import showing
from server.reports import web as reports
from server.rights import web as rights
from server.routes import web as routes
from server.uploads import web as uploads
from tests import consents
from tests.conftest import Databases
from tests.endpoints import CONSENT, TRACKING
from tests.http import Clock, bearer, serve
from tests.world import NOW, Driver, World

STOP_LAT, STOP_LON = 43.3000, 76.9000
FAR_LAT, FAR_LON = 43.2381234, 76.8891234
"""Seven kilometres before the stop."""
NEAR_LAT, NEAR_LON = 43.2911234, 76.9001234
"""One kilometre before it."""
STOP: Final = {
    "name": "Altyn Orda",
    "lat": STOP_LAT,
    "lon": STOP_LON,
    "planned_arrival": rfc3339(NOW + timedelta(hours=1)),
}
LAST: Final = {"name": "Depot", "lat": 43.35, "lon": 76.95}


@asynccontextmanager
async def serve_links(
    world: World,
    databases: Databases,
    *,
    clock: Clock,
    prepare: Callable[[web.Application], None] = lambda _app: None,
) -> AsyncGenerator[ClientSession]:
    def prepared(app: web.Application) -> None:
        app.cleanup_ctx.append(uploads.uploading(databases.main))
        app.cleanup_ctx.append(showing)
        prepare(app)

    async with serve(
        world,
        CONSENT,
        TRACKING,
        routes.ENDPOINTS,
        reports.ENDPOINTS,
        links.ENDPOINTS,
        rights.ENDPOINTS,
        clock=clock,
        prepare=prepared,
    ) as client:
        yield client


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A link and those who have to do with it."""

    client: ClientSession
    driver: Driver
    staff: str
    person: str
    route_id: str
    stop_id: str
    link_id: str
    url_token: str

    async def look(self) -> tuple[int, dict[str, Any]]:
        """Return what the customer is answered."""
        async with self.client.get(f"/v1/track/{self.url_token}") as answer:
            return answer.status, await answer.json()

    async def drive(self, lat: float, lon: float, at: datetime = NOW, **more: Any) -> None:
        position = {"recorded_at": rfc3339(at), "lat": lat, "lon": lon, **more}
        headers = bearer(self.driver.device_token)
        body = {"positions": [position]}
        async with self.client.post("/v1/positions", json=body, headers=headers) as answer:
            assert (await answer.json())["accepted"] == 1

    async def agree(self, item: str = "customer_link") -> None:
        body = consents.body(item)
        headers = bearer(self.person)
        async with self.client.post("/v1/me/consents", json=body, headers=headers) as answer:
            assert answer.status == 201, await answer.text()

    async def act(self, path: str, who: str | None = None) -> dict[str, Any]:
        async with self.client.post(path, headers=bearer(who or self.person)) as answer:
            assert answer.status == 200, await answer.text()
            found: dict[str, Any] = await answer.json()
            return found

    async def withdraw(self, item: str = "customer_link") -> None:
        await self.act(f"/v1/me/consents/{item}/withdraw")

    async def get(self, path: str, who: str | None = None) -> dict[str, Any]:
        async with self.client.get(path, headers=bearer(who or self.staff)) as answer:
            assert answer.status == 200, await answer.text()
            found: dict[str, Any] = await answer.json()
            return found


async def planned(
    client: ClientSession,
    staff: str,
    driver: Driver | None,
    *,
    start: datetime = NOW - timedelta(hours=1),
) -> dict[str, Any]:
    body = {
        "name": "North",
        "date": NOW.date().isoformat(),
        "driver_id": None if driver is None else str(driver.member_id),
        "planned_start": rfc3339(start),
        "stops": [STOP, LAST],
    }
    async with client.post("/v1/routes", json=body, headers=bearer(staff)) as answer:
        assert answer.status == 201, await answer.text()
        found: dict[str, Any] = await answer.json()
        return found


async def made(
    client: ClientSession, staff: str, route: dict[str, Any], **body: Any
) -> dict[str, Any]:
    path = f"/v1/routes/{route['route_id']}/stops/{route['stops'][0]['stop_id']}/links"
    async with client.post(path, json=body, headers=bearer(staff)) as answer:
        assert answer.status == 201, await answer.text()
        found: dict[str, Any] = await answer.json()
        return found


async def delivery(
    client: ClientSession,
    world: World,
    *,
    driver: Driver | None = None,
    agreed: bool = True,
    start: datetime = NOW - timedelta(hours=1),
) -> Delivery:
    """Plan a route for the driver and make a link to its first stop."""
    driver = driver or world.driver
    staff = await world.session("dispatcher")
    route = await planned(client, staff, driver, start=start)
    link = await made(client, staff, route)
    found = Delivery(
        client=client,
        driver=driver,
        staff=staff,
        person=await world.driver_session(driver),
        route_id=route["route_id"],
        stop_id=link["stop_id"],
        link_id=link["link_id"],
        url_token=link["url_token"],
    )
    if agreed:
        await found.agree()
    return found


def shows_nothing(seen: tuple[int, dict[str, Any]], phase: str = "not_shared") -> bool:
    """Tell whether the answer, as ``Delivery.look`` gives it, is of the phase and no more."""
    status, answer = seen
    if status != 200 or answer["phase"] != phase:
        return False
    return answer["position"] is None and answer["eta"] is None
