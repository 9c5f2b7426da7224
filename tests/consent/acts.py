"""Acts of a driver through the service, and what they did to the gate."""

from datetime import datetime, timedelta
from typing import Any

from aiohttp import ClientSession

from server.consent import service
from server.consent.model import Consent, ConsentAct, ConsentItem, Consents
from server.gate import service as gate
from server.gate.model import Gate, GateItem, Windows
from server.kit import db
from server.policies.model import NOTICE_PERIOD, AddedItem, ChangeClass, Document, Edition
from server.shifts import service as shifts
from server.shifts.model import Shift, ShiftEnd
from tests.consents import answer
from tests.http import bearer
from tests.world import CONSENTED, NOW, Driver, World

LOCATION, DISPATCH, PLAN_FACT = GateItem
MINUTE = timedelta(minutes=1)


async def decide(
    world: World, driver: Driver, item: str, act: ConsentAct, now: datetime = NOW, **more: Any
) -> Consent:
    """Give, decline or withdraw as the driver's endpoints do."""
    company_id, driver_id = world.company_id, driver.member_id
    async with gate.stopping(world.pool, company_id, driver_id, now=now) as conn:
        if act is ConsentAct.WITHDRAW:
            return await service.withdraw(conn, company_id, driver_id, ConsentItem(item), now=now)
        return await answer(conn, company_id, driver_id, item, act, now=now, **more)


async def give(
    world: World, driver: Driver, item: str, now: datetime = NOW, **more: Any
) -> Consent:
    return await decide(world, driver, item, ConsentAct.GIVE, now, **more)


async def withdraw(world: World, driver: Driver, item: str, now: datetime = NOW) -> Consent:
    return await decide(world, driver, item, ConsentAct.WITHDRAW, now)


async def act(world: World, driver: Driver, name: str, now: datetime = NOW) -> Shift | None:
    """Start, pause, resume or end as the driver."""
    company_id, driver_id = world.company_id, driver.member_id
    if name in {"start", "resume"}:
        change = {"start": shifts.start, "resume": shifts.resume}[name]
        async with db.tenant(world.pool, company_id) as conn:
            return await change(conn, company_id, driver_id, now=now)
    async with gate.stopping(world.pool, company_id, driver_id, now=now) as conn:
        if name == "pause":
            return await shifts.pause(conn, company_id, driver_id, now=now)
        await shifts.end(conn, company_id, driver_id, by=ShiftEnd.DRIVER, now=now)
    return None


def adding(item: ConsentItem) -> Edition:
    """Return an edition of the driver notice that adds a purpose and is in force now."""
    return Edition(
        document=Document.DRIVER_NOTICE,
        edition=2,
        change_class=ChangeClass.ADDS_PURPOSE,
        adds_purpose=AddedItem(item.value),
        published_at=NOW - NOTICE_PERIOD,
        noticed_at=NOW - NOTICE_PERIOD,
        effective_at=NOW,
    )


async def consents(world: World, driver: Driver) -> Consents:
    async with db.tenant(world.pool, world.company_id) as conn:
        return await service.consents(conn, world.company_id, driver.member_id)


async def states(world: World, driver: Driver) -> list[str]:
    """Return the states of the consents that bind positions."""
    return [cell.state.value for cell in (await consents(world, driver)).items][:3]


async def read_gate(world: World, driver: Driver) -> Gate:
    async with db.tenant(world.pool, world.company_id) as conn:
        return await gate.read(conn, world.company_id, driver.member_id)


async def windows(world: World, driver: Driver) -> Windows:
    async with db.tenant(world.pool, world.company_id) as conn:
        return await gate.windows(
            conn,
            world.company_id,
            driver.member_id,
            since=CONSENTED,
            until=NOW + timedelta(days=2),
        )


async def shift_ends(world: World, driver: Driver) -> list[tuple[datetime | None, str | None]]:
    rows = await world.owner.fetch(
        "SELECT ended_at, ended_by FROM shift WHERE driver_id = $1 ORDER BY started_at",
        driver.member_id,
    )
    return [(row["ended_at"], row["ended_by"]) for row in rows]


async def records(world: World, driver: Driver) -> int:
    count: int = await world.owner.fetchval(
        "SELECT count(*) FROM consent_record WHERE driver_id = $1", driver.member_id
    )
    return count


async def call(
    client: ClientSession, token: str, method: str, path: str, sent: object = None
) -> tuple[int, Any]:
    answer = await client.request(method, path, headers=bearer(token), json=sent)
    return answer.status, await answer.json()


async def history(world: World, driver: Driver, item: ConsentItem) -> list[tuple[str, str]]:
    """Return the state and the actor of each record of a consent, the oldest first."""
    rows = await world.owner.fetch(
        "SELECT state, actor FROM consent_record WHERE driver_id = $1 AND item = $2"
        " ORDER BY version",
        driver.member_id,
        item.value,
    )
    return [(row["state"], row["actor"]) for row in rows]
