"""Acts of a driver through the service, and what they did to the gate."""

from datetime import datetime, timedelta

from server.consent import service
from server.consent.model import (
    Consent,
    ConsentAct,
    Consents,
    Shift,
    ShiftEnd,
)
from server.gate import service as gate
from server.gate.model import Gate, GateItem, Windows
from server.kit import db
from tests.world import CONSENTED, NOW, Driver, World

LOCATION, DISPATCH, PLAN_FACT = GateItem
MINUTE = timedelta(minutes=1)


async def decide(
    world: World, driver: Driver, item: GateItem, act: ConsentAct, now: datetime = NOW
) -> Consent:
    async with db.tenant(world.pool, world.company_id) as conn:
        return await service.decide(conn, world.company_id, driver.member_id, item, act, now=now)


async def withdraw(world: World, driver: Driver, item: GateItem, now: datetime = NOW) -> Consent:
    company_id, driver_id = world.company_id, driver.member_id
    async with gate.stopping(world.pool, company_id, driver_id, now=now) as conn:
        return await service.decide(conn, company_id, driver_id, item, ConsentAct.WITHDRAW, now=now)


async def act(world: World, driver: Driver, name: str, now: datetime = NOW) -> Shift | None:
    """Start, pause, resume or end as the driver."""
    company_id, driver_id = world.company_id, driver.member_id
    if name in {"start", "resume"}:
        change = {"start": service.start_shift, "resume": service.resume_shift}[name]
        async with db.tenant(world.pool, company_id) as conn:
            return await change(conn, company_id, driver_id, now=now)
    async with gate.stopping(world.pool, company_id, driver_id, now=now) as conn:
        if name == "pause":
            return await service.pause_shift(conn, company_id, driver_id, now=now)
        await service.end_shift(conn, company_id, driver_id, by=ShiftEnd.DRIVER, now=now)
    return None


async def consents(world: World, driver: Driver) -> Consents:
    async with db.tenant(world.pool, world.company_id) as conn:
        return await service.consents(conn, world.company_id, driver.member_id)


async def states(world: World, driver: Driver) -> list[str]:
    return [cell.state.value for cell in (await consents(world, driver)).items]


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
