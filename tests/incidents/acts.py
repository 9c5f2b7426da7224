"""What tests of the register of incidents do."""

from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from aiohttp import ClientSession

from server.incidents import telling
from server.kit import db
from server.kit.wire import rfc3339
from server.ledger.model import Actor, ActorKind
from server.reads.model import ReadPurpose, Screen
from server.reads.service import Reads
from server.rights.service import tell_of_alert
from tests.disclosures.acts import People, call
from tests.world import NOW, Driver, World, add_driver

INCIDENTS: Final = "/v1/incidents"
MINUTE: Final = timedelta(minutes=1)
HOUR: Final = timedelta(hours=1)
WHAT: Final = "The dispatcher's laptop was stolen from the car."


async def reported(client: ClientSession, token: str, *, noticed_at: datetime | None = None) -> str:
    """Report an incident; return its id."""
    body: dict[str, Any] = {"what": WHAT}
    if noticed_at is not None:
        body["noticed_at"] = rfc3339(noticed_at)
    status, told = await call(client, "POST", INCIDENTS, token, body)
    assert status == 201, told
    return str(told["incident_id"])


def scope(source: str = "account", **more: Any) -> dict[str, Any]:
    """Return an assessment of what was seen in the last two hours."""
    body = {
        "cause": "stolen_access",
        "source": source,
        "from": rfc3339(NOW - 2 * HOUR),
        "to": rfc3339(NOW),
        "categories": ["track"],
        "consequences": ["location_known"],
        "advice": ["tell_police", "change_password"],
    }
    return {**body, **more}


async def assessed(
    client: ClientSession, people: People, incident_id: str, body: dict[str, Any]
) -> Any:
    path = f"{INCIDENTS}/{incident_id}/assessments"
    status, told = await call(client, "POST", path, people.boss, body)
    assert status == 201, told
    return told


async def read(client: ClientSession, people: People, incident_id: str) -> Any:
    status, told = await call(client, "GET", f"{INCIDENTS}/{incident_id}", people.boss)
    assert status == 200, told
    return told


async def members(client: ClientSession, people: People, incident_id: str) -> set[UUID]:
    """Return who is in the list, as a main user sees it."""
    path = f"{INCIDENTS}/{incident_id}/members?limit=200"
    status, told = await call(client, "GET", path, people.boss)
    assert status == 200, told
    return {UUID(one["member_id"]) for one in told["items"]}


async def notify(
    client: ClientSession, people: People, incident_id: str, at: datetime = NOW
) -> tuple[int, Any]:
    path = f"{INCIDENTS}/{incident_id}/authority-notification"
    body = {"reference": "KZ-2026-11873", "notified_at": rfc3339(at)}
    return await call(client, "POST", path, people.boss, body)


async def end(
    client: ClientSession, people: People, incident_id: str, act: str = "close"
) -> tuple[int, Any]:
    path = f"{INCIDENTS}/{incident_id}/{act}"
    return await call(client, "POST", path, people.boss, {"outcome": "Passwords changed."})


async def drivers(world: World, count: int) -> list[Driver]:
    return [
        await add_driver(world.vault, world.pool, world.company_id, name=f"Driver {number}")
        for number in range(count)
    ]


def of_dispatcher(people: People) -> Actor:
    return Actor(kind=ActorKind.DISPATCHER, member_id=people.dispatcher_id)


async def look(
    world: World,
    viewer: Actor,
    *driver_ids: UUID,
    at: datetime = NOW - HOUR,
    screen: Screen = Screen.LIVE_MAP,
) -> None:
    """Let somebody look at drivers, as any screen writes it down."""
    reads = Reads(world.pool, tell_of_alert)
    await reads.record(
        world.company_id, viewer, ReadPurpose.DISPATCH_TRACKING, screen, driver_ids, at
    )
    await reads.close()


async def tell(world: World, at: datetime = NOW) -> int:
    """Run the job that tells who is affected, once."""
    async with db.tenant(world.pool, world.company_id) as conn:
        return await telling.tell_affected(conn, world.company_id, at)


async def watch(world: World, at: datetime) -> int:
    """Run the job that watches the clocks, once."""
    async with db.tenant(world.pool, world.company_id) as conn:
        return await telling.watch_clocks(conn, world.company_id, at)


async def told_of(world: World, kind: str) -> dict[UUID, int]:
    """Return by member how many notices of a kind there are."""
    rows = await world.owner.fetch(
        "SELECT member_id, count(*) AS count FROM notice WHERE kind = $1 GROUP BY 1", kind
    )
    return {row["member_id"]: row["count"] for row in rows}
