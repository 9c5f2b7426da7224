"""Routes under way as they are judged, made by hand: nothing but numbers."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

from server.alerts import service
from server.alerts.judging import Refreshed
from server.alerts.service import Judged
from server.gate import service as gate
from server.gate.model import Gate
from server.kit import db
from server.routes import service as routes
from server.routes.model import NewRoute, RouteHead, Stop
from tests import consents
from tests.world import NOW, World

MINUTE: Final = timedelta(minutes=1)
TICK: Final = timedelta(seconds=30)
NOW_S: Final = NOW.timestamp()
START: Final = NOW - timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is known of a route: by default all is well, and a position came just now."""

    last_fix_s: float | None = NOW_S
    deviation_s: float | None = 0.0
    next_stop: int | None = 1
    visits: Sequence[Any] = (1,)
    off_route_since_s: float | None = None
    off_route_m: float | None = None
    standing_since_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OnTheWay:
    head: RouteHead
    gate: Gate
    since: datetime = START
    summary: Seen = field(default_factory=Seen)
    stop_ids: tuple[UUID, ...]

    def seen(self, at: datetime = NOW, **members: Any) -> "OnTheWay":
        """Return it as it is seen at that time."""
        return replace(self, summary=Seen(**{"last_fix_s": at.timestamp(), **members}))

    def late(self, minutes: float, at: datetime = NOW) -> "OnTheWay":
        return self.seen(at, deviation_s=60 * minutes)


def on_the_way(driver_id: UUID | None = None) -> OnTheWay:
    """Return a route that is in no database."""
    head = RouteHead(
        route_id=uuid4(),
        date=NOW.date(),
        starts_at=START,
        ends_at=NOW + timedelta(hours=5),
        driver_id=driver_id or uuid4(),
        vehicle_id=None,
        plan_version=1,
        stop_count=2,
        planned_m=5_000.0,
    )
    closed = Gate(
        company_id=uuid4(),
        driver_id=driver_id or uuid4(),
        account_active=True,
        location_since=None,
        dispatch_since=None,
        plan_fact_since=None,
        epoch=1,
        rev=1,
        credential_epoch=1,
        key_epoch=1,
        closing=False,
    )
    return OnTheWay(head=head, gate=closed, stop_ids=(uuid4(), uuid4()))


async def planned(world: World, driver_id: UUID | None = None) -> OnTheWay:
    """Plan a route of two stops that the driver is on now."""
    stops = [
        Stop(
            stop_id=uuid4(),
            name=name,
            lat=43.238949,
            lon=76.889709 + number / 50,
            radius_m=50,
            service_s=0,
            planned_arrival=START + number * timedelta(hours=1),
            window_start=None,
            window_end=None,
        )
        for number, name in enumerate(("Depot", "Client"))
    ]
    draft = await routes.drafted(
        NewRoute(
            name="North of the river",
            day=NOW.date(),
            driver_id=driver_id or world.driver.member_id,
            vehicle_id=None,
            planned_start=START,
            stops=stops,
            line=None,
        )
    )
    async with db.tenant(world.pool, world.company_id) as conn:
        route = await routes.create(conn, world.vault, world.company_id, draft, now=START)
        read = await gate.read(conn, world.company_id, driver_id or world.driver.member_id)
    return OnTheWay(head=route.head, gate=read, stop_ids=tuple(one.stop_id for one in stops))


async def refreshed(world: World, route: OnTheWay) -> OnTheWay:
    """Return the route as it is computed anew, under the consents of now."""
    async with db.tenant(world.pool, world.company_id, readonly=True) as conn:
        read = await gate.read(conn, world.company_id, route.gate.driver_id)
    return replace(route, gate=read)


async def judge(world: World, *refreshed: Refreshed, at: datetime = NOW) -> Judged:
    """Judge as the job does."""
    return await service.judge_all(world.pool, world.vault, world.company_id, refreshed, now=at)


async def withdraw(world: World, *items: str, at: datetime = NOW) -> None:
    """Let the driver withdraw, as the endpoint does."""
    ids = (world.company_id, world.driver.member_id)
    async with gate.stopping(world.pool, *ids, now=at) as conn:
        await consents.withdraw(conn, *ids, *items, now=at)


async def give(world: World, *items: str, at: datetime = NOW) -> None:
    """Let the driver consent again."""
    async with db.tenant(world.pool, world.company_id) as conn:
        await consents.give(conn, world.company_id, world.driver.member_id, *items, now=at)


async def alerts(world: World) -> list[tuple[str, int, bool]]:
    """Return kind, occurrence and whether it is open of every alert, as they were raised."""
    rows = await world.owner.fetch(
        "SELECT kind, occurrence, cleared_at IS NULL FROM alert ORDER BY raised_at, kind"
    )
    return [tuple(row) for row in rows]
