"""One driver of the readers' proof: moves, stops in every way there is, and shares again."""

import asyncio
import random
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from aiohttp import ClientSession

from server.kit.wire import rfc3339
from tests import consents
from tests.http import bearer
from tests.races.reader_looks import STREAM
from tests.races.reader_server import RunningClock
from tests.world import NOW, Driver

if TYPE_CHECKING:
    import asyncpg

MOVES_EVERY_S: Final = 0.05
# By the fast clock: a minute is a second of driving.
TRACK_SPAN: Final = (timedelta(minutes=10), timedelta(hours=1))
"""Before and after now; a page of JSON holds it."""
FILE_SPAN: Final = (timedelta(minutes=2), timedelta(minutes=6))
"""Some parts of a file. Of more, a part alone would wait for its turn behind all the others."""
ROUTE_LASTS: Final = timedelta(hours=23)
FIRST_LAT: Final = 61.2381234
"""No second of a time, and no driver's is another's: what reads 61.238 is the first one's."""
ITEMS: Final = ("location", "dispatch_tracking", "plan_fact", "customer_link")
LIVE: Final = frozenset({STREAM, "live", "link"})
PAST: Final = frozenset({"track", "tracks", "GeoJSON", "GPX", "CSV", "report"})
FILES: Final = frozenset({"GeoJSON", "GPX", "CSV"})
WAYS: Final = LIVE | PAST


class Stop(StrEnum):
    """Every act that takes something from somebody who looks."""

    WITHDRAW_LOCATION = "withdraw location"
    WITHDRAW_DISPATCH = "withdraw dispatch_tracking"
    WITHDRAW_PLAN_FACT = "withdraw plan_fact"
    WITHDRAW_LINK = "withdraw customer_link"
    PAUSE = "pause"
    END = "end of shift"
    END_BY_STAFF = "end of shift by staff"
    PERMISSION = "permission denied on the phone"
    DISPUTE = "dispute"
    BLOCK = "block"
    ERASURE = "erasure"
    ERASURE_BY_STAFF = "erasure by staff"
    REVOKE = "link revoked"


# What each takes away. A pause hides where the driver is, not where they were.
HIDES: Final[Mapping[Stop, frozenset[str]]] = {
    Stop.WITHDRAW_LOCATION: WAYS,
    Stop.WITHDRAW_DISPATCH: frozenset({STREAM, "live"}),
    Stop.WITHDRAW_PLAN_FACT: PAST,
    Stop.WITHDRAW_LINK: frozenset({"link"}),
    Stop.PAUSE: LIVE,
    Stop.END: LIVE,
    Stop.END_BY_STAFF: LIVE,
    Stop.PERMISSION: LIVE,
    Stop.DISPUTE: WAYS,
    Stop.BLOCK: WAYS,
    Stop.ERASURE: WAYS,
    Stop.ERASURE_BY_STAFF: WAYS,
    Stop.REVOKE: frozenset({"link"}),
}
# The consents to give again after it.
TAKEN: Final[Mapping[Stop, tuple[str, ...]]] = {
    Stop.WITHDRAW_LOCATION: ("location",),
    Stop.WITHDRAW_DISPATCH: ("dispatch_tracking",),
    Stop.WITHDRAW_PLAN_FACT: ("plan_fact",),
    Stop.WITHDRAW_LINK: ("customer_link",),
    Stop.DISPUTE: ITEMS,
    Stop.ERASURE: ITEMS,
    Stop.ERASURE_BY_STAFF: ITEMS,
}
GOES_ON_SHIFT: Final = (
    HIDES.keys()
    - {Stop.PAUSE, Stop.PERMISSION, Stop.REVOKE}
    - {Stop.WITHDRAW_DISPATCH, Stop.WITHDRAW_PLAN_FACT, Stop.WITHDRAW_LINK}
)


class ReadDriver:
    """Acts over HTTP, at any of the servers; so do the staff who have to do with them."""

    def __init__(
        self,
        *,
        number: int,
        company_id: UUID,
        made: Driver,
        person: str,
        staff: str,
        http: ClientSession,
        urls: Sequence[str],
        owner: "asyncpg.Connection[asyncpg.Record]",
        clock: RunningClock,
    ) -> None:
        self.company_id = company_id
        # Also as a link rounds it: to 100 m.
        self.mark = re.compile(rb"(?<!\d)%d\.23[789]" % int(FIRST_LAT + number))
        self._lat = FIRST_LAT + number
        self._made = made
        self._person = person
        self._staff = staff
        self._http = http
        self._urls = urls
        self._owner = owner
        self._clock = clock
        self._route: dict[str, Any] = {}
        self._link_id = ""
        self._request_id = ""

    @asynccontextmanager
    async def moving(self) -> AsyncGenerator[None]:
        """Be on a shift and on the way with a route, and upload without pause."""
        await self._post("/v1/me/shift/start")
        self._route = await self._post("/v1/routes", self._plan(), token=self._staff)
        moving = asyncio.create_task(self._move())
        try:
            yield
        finally:
            moving.cancel()
            await asyncio.gather(moving, return_exceptions=True)

    async def paths(self) -> dict[str, tuple[str, str | None]]:
        """Return every way to the driver's position: where to ask, and with which token."""
        stop_id = self._route["stops"][0]["stop_id"]
        links = f"/v1/routes/{self._route['route_id']}/stops/{stop_id}/links"
        link = await self._post(links, {}, token=self._staff)
        self._link_id = link["link_id"]
        track, file = self._track(), self._track(FILE_SPAN)
        paths = {
            STREAM: "/v1/stream",
            "live": "/v1/live",
            "track": track,
            "tracks": f"/v1/tracks?{track.partition('?')[2]}",
            "GeoJSON": f"{file}&format=geojson",
            "GPX": f"{file}&format=gpx",
            "CSV": f"{file}&format=csv",
            "report": f"/v1/routes/{self._route['route_id']}/plan-fact",
        }
        found: dict[str, tuple[str, str | None]] = {
            way: (path, self._staff) for way, path in paths.items()
        }
        return {**found, "link": (f"/v1/track/{link['url_token']}", None)}

    async def stop(self, stop: Stop, urls: Sequence[str]) -> None:
        """Return when it is answered."""
        member_id, staff = str(self._made.member_id), self._staff
        of_driver = f"/v1/drivers/{member_id}"
        match stop:
            case Stop.PAUSE:
                await self._post("/v1/me/shift/pause", urls=urls)
            case Stop.END:
                await self._post("/v1/me/shift/end", urls=urls)
            case Stop.END_BY_STAFF:
                await self._post(f"{of_driver}/shift/end", token=staff, urls=urls)
            case Stop.PERMISSION:
                await self._switch("denied", urls)
            case Stop.DISPUTE:
                await self._post("/v1/me/attestation/dispute", urls=urls)
            case Stop.BLOCK:
                reason = {"reason_code": "other"}
                await self._post(f"{of_driver}/block", reason, token=staff, urls=urls)
            case Stop.ERASURE | Stop.ERASURE_BY_STAFF:
                by = self._person if stop is Stop.ERASURE else staff
                asked = {"driver_id": member_id}
                request = await self._post("/v1/erasure-requests", asked, token=by, urls=urls)
                self._request_id = request["request_id"]
            case Stop.REVOKE:
                await self._post(f"/v1/links/{self._link_id}/revoke", token=staff, urls=urls)
            case _:
                (item,) = TAKEN[stop]
                await self._post(f"/v1/me/consents/{item}/withdraw", urls=urls)

    async def share_again(self, stop: Stop) -> None:
        match stop:
            case Stop.ERASURE | Stop.ERASURE_BY_STAFF:
                by = self._person if stop is Stop.ERASURE else self._staff
                await self._post(f"/v1/erasure-requests/{self._request_id}/cancel", token=by)
            case Stop.BLOCK:
                path = f"/v1/drivers/{self._made.member_id}/unblock"
                await self._post(path, token=self._staff)
            case Stop.DISPUTE:  # final in the product; it also hides what a fast clock may send
                await self._owner.execute("DELETE FROM attestation_dispute")
                await self._owner.execute("DELETE FROM set_apart")
        for item in TAKEN.get(stop, ()):
            await self._post("/v1/me/consents", consents.body(item))
        if stop is Stop.PERMISSION:
            await self._switch("granted", self._urls)
        if stop in (Stop.PAUSE, Stop.PERMISSION):
            await self._post("/v1/me/shift/resume")
        if stop in GOES_ON_SHIFT:
            await self._post("/v1/me/shift/start")

    async def sees_themself(self) -> bool:
        url = random.choice(self._urls) + self._track()  # noqa: S311 - no secret
        async with self._http.get(url, headers=bearer(self._person)) as answer:
            return self.mark.search(await answer.read()) is not None

    def _track(self, span: tuple[timedelta, timedelta] = TRACK_SPAN) -> str:
        since, to = self._clock() - span[0], self._clock() + span[1]
        member_id = self._made.member_id
        return f"/v1/drivers/{member_id}/track?from={rfc3339(since)}&to={rfc3339(to)}"

    def _plan(self) -> dict[str, Any]:
        arrival = rfc3339(self._clock() + ROUTE_LASTS)
        return {
            "name": "North",
            "date": NOW.date().isoformat(),
            "driver_id": str(self._made.member_id),
            "planned_start": rfc3339(self._clock() - timedelta(minutes=1)),
            "stops": [
                {"name": "a", "lat": self._lat + 0.5, "lon": 10.0},
                {"name": "b", "lat": self._lat + 0.6, "lon": 10.0, "planned_arrival": arrival},
            ],
        }

    async def _move(self) -> None:
        headers = bearer(self._made.device_token)
        while True:
            at = rfc3339(self._clock())
            position = {"recorded_at": at, "lat": self._lat, "lon": 10.0, "speed_mps": 9.0}
            url = random.choice(self._urls) + "/v1/positions"  # noqa: S311 - no secret
            body = {"positions": [position]}
            async with self._http.post(url, json=body, headers=headers):
                pass
            await asyncio.sleep(MOVES_EVERY_S)

    async def _switch(self, state: str, urls: Sequence[str]) -> None:
        body, token = {"state": state}, self._made.device_token
        await self._post("/v1/device/permission", body, token=token, urls=urls)

    async def _post(
        self, path: str, body: Any = None, *, token: str = "", urls: Sequence[str] = ()
    ) -> dict[str, Any]:
        url = random.choice(urls or self._urls) + path  # noqa: S311 - no secret
        headers = bearer(token or self._person)
        async with self._http.post(url, headers=headers, json=body) as answer:
            assert answer.status in (200, 201), (path, await answer.text())
            found: dict[str, Any] = await answer.json()
            return found
