"""Drivers of one company, where they are, and how somebody looks for them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from server.gate import service as gates
from server.gate.model import GateItem
from server.kit import db
from server.kit.wire import rfc3339
from tests.geo.circles import away_from
from tests.http import bearer
from tests.uploading import Api
from tests.world import NOW, Driver, World, add_driver

LAT: Final = 51.1234567
LON: Final = 71.4321098
HOUR: Final = timedelta(hours=1)
MINUTE: Final = timedelta(minutes=1)
SPAN: Final = {"from": rfc3339(NOW - 3 * HOUR), "to": rfc3339(NOW + HOUR)}
HERE: Final[dict[str, Any]] = {
    "lat": LAT,
    "lon": LON,
    "radius_m": 100,
    "purpose": "plan_fact",
    **SPAN,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    api: Api
    staff: str
    """The token of a dispatcher."""

    @property
    def world(self) -> World:
        return self.api.world

    @property
    def first(self) -> Driver:
        return self.world.driver

    async def add(self, count: int = 1) -> list[Driver]:
        """Add drivers who gave every consent and are on shift; the one of the world comes first."""
        world = self.world
        return [await add_driver(world.vault, world.pool, world.company_id) for _ in range(count)]

    async def drive(
        self,
        driver: Driver,
        *places: tuple[float, float],
        until: datetime = NOW,
        step_s: float = 10,
        **values: Any,
    ) -> None:
        """Upload positions that end then: metres east and north of here."""
        sent = []
        for before, (east_m, north_m) in enumerate(reversed(places)):
            lat, lon = away_from(LAT, LON, east_m, north_m)
            at = rfc3339(until - timedelta(seconds=step_s * before))
            sent.append({"recorded_at": at, "lat": round(lat, 7), "lon": round(lon, 7), **values})
        answer = await self.api.upload(sent[::-1], driver=driver)
        assert answer["refused"] == []

    async def stand(self, driver: Driver, count: int = 3) -> None:
        """Be here, 30 m off."""
        await self.drive(driver, *([(30.0, 0.0)] * count))

    async def tracks(
        self, *driver_ids: object, token: str | None = None, **query: object
    ) -> tuple[int, Any]:
        asked = [*({**SPAN, **query}).items(), *(("driver_id", one) for one in driver_ids)]
        async with self.api.client.get(
            "/v1/tracks",
            params=[(name, str(value)) for name, value in asked],
            headers=bearer(token or self.staff),
        ) as answer:
            assert answer.headers["Cache-Control"] == "no-store"
            return answer.status, await answer.json(content_type=None)

    async def search(self, *, token: str | None = None, **changes: Any) -> tuple[int, Any]:
        body = {name: value for name, value in {**HERE, **changes}.items() if value is not ...}
        async with self.api.client.post(
            "/v1/area-searches", json=body, headers=bearer(token or self.staff)
        ) as answer:
            assert answer.headers["Cache-Control"] == "no-store"
            return answer.status, await answer.json(content_type=None)

    async def search_raw(self, members: str) -> tuple[int, Any]:
        """Search with these members as the text they are, instead of those of the usual search."""
        given = json.loads(members, parse_constant=lambda _: 0)
        rest = {name: value for name, value in HERE.items() if name not in given}
        text = members.removesuffix("}") + "," + json.dumps(rest).removeprefix("{")
        headers = {**bearer(self.staff), "Content-Type": "application/json"}
        async with self.api.client.post(
            "/v1/area-searches", data=text.encode(), headers=headers
        ) as answer:
            return answer.status, await answer.json(content_type=None)

    async def found(self, **changes: Any) -> list[str]:
        """Return the ids of those who were there."""
        status, answer = await self.search(**changes)
        assert status == 200, answer
        return [one["driver_id"] for one in answer["items"]]

    async def withdraw(self, driver: Driver, item: GateItem = GateItem.PLAN_FACT) -> None:
        place = (self.world.company_id, driver.member_id)
        async with gates.stopping(self.world.pool, *place, now=NOW) as conn:
            await gates.set_consent(conn, *place, item, None)

    async def pause(self, driver: Driver, *, since: datetime, until: datetime) -> None:
        """Be on a pause for a while, an hour before the end of the shift."""
        place = (self.world.company_id, driver.member_id)
        async with db.tenant(self.world.pool, self.world.company_id) as conn:
            await gates.close_window(conn, *place, at=since)
            await gates.open_window(conn, *place, at=until, expires_at=NOW + HOUR)

    async def looks(self) -> set[tuple[str, str, str]]:
        """Return who looked, what for and where, as it is written down."""
        rows = await self.world.owner.fetch(
            "SELECT viewer_kind, purpose, screen FROM location_read"
        )
        return {tuple(row) for row in rows}

    async def looked_at(self) -> set[str]:
        """Return which drivers were looked at."""
        rows = await self.world.owner.fetch(
            "SELECT DISTINCT s.member_id FROM location_read r"
            " JOIN location_read_set l USING (company_id, set_hash)"
            " JOIN ledger_subject s ON s.pseudonym = ANY(l.drivers)"
        )
        return {str(row["member_id"]) for row in rows}


def ids(drivers: Sequence[Driver]) -> list[str]:
    return sorted(str(one.member_id) for one in drivers)
