"""What tests of a change of the controller do and look at."""

from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import pytest
from aiohttp import ClientSession

from server.consent import service as consent
from server.controllers import service
from server.controllers.model import ControllerChange, NewController
from server.controllers.transfer import Failpoint, carry_out
from server.credentials import service as credentials
from server.credentials.model import Role
from server.gate.model import Gate
from server.kit import db
from server.kit.wire import rfc3339
from server.ledger.model import SYSTEM
from tests.consent.acts import read_gate
from tests.consent.people import ALL, new_driver
from tests.http import Clock, bearer
from tests.world import NOW, Driver, World, add_member

PROVES: Final = pytest.mark.proves("relog-service:4.2", "gocargo:disclosure-merger", "qoldau:16")
CHANGES: Final = "/v1/controller-changes"
THIRTY_DAYS: Final = timedelta(days=30)
DUE: Final = NOW + THIRTY_DAYS
"""When what is announced at NOW can be in effect at the earliest."""
JUST_BEFORE: Final = DUE - timedelta(minutes=1)
"""29 days, 23 hours and 59 minutes after NOW."""
TO: Final = NewController(
    name="Turan Logistics", bin="210987654321", privacy_contact="privacy@turan.example"
)
BODY: Final = {
    "name": TO.name,
    "bin": TO.bin,
    "privacy_contact": TO.privacy_contact,
    "effective_at": rfc3339(DUE),
}
OPERATOR: Final = {"name": TO.name, "bin": TO.bin}
OPERATOR_BEFORE: Final = {"name": "Aral Freight", "bin": "123456789012"}


async def announced(world: World, effective_at: datetime = DUE) -> ControllerChange:
    async with db.tenant(world.pool, world.company_id) as conn:
        return await service.announce(
            conn, world.company_id, TO, effective_at=effective_at, by=SYSTEM, now=NOW
        )


async def agree(
    world: World, driver: Driver, change: ControllerChange, now: datetime = NOW
) -> datetime:
    async with db.tenant(world.pool, world.company_id) as conn:
        made = await service.agree(
            conn, world.company_id, driver.member_id, change.change_id, now=now
        )
    return made.agreed_at


async def agreeing(world: World, change: ControllerChange) -> Driver:
    """Add a driver who gave everything that binds positions, and agrees."""
    driver = await new_driver(world, *ALL)
    await agree(world, driver, change)
    return driver


async def carried_out(
    world: World,
    change: ControllerChange,
    now: datetime = DUE,
    failpoint: Failpoint = lambda _place: None,
) -> int:
    return await carry_out(world.pool, world.company_id, change.change_id, now, failpoint=failpoint)


async def states(world: World, driver: Driver) -> dict[str, str]:
    """Return the states of what the driver was ever asked."""
    async with db.tenant(world.pool, world.company_id) as conn:
        found = await consent.consents(conn, world.company_id, driver.member_id)
    return {cell.item.value: cell.state.value for cell in found.items if cell.decision is not None}


async def history(world: World, driver: Driver) -> list[dict[str, Any]]:
    """Return the driver's records, the oldest first, each with whom it names."""
    rows = await world.owner.fetch(
        "SELECT item, state, actor, version, recorded_at, valid_until, held_since, record_sha256,"
        " record::jsonb->'law_94_v_article_8_4'->'operator'->>'name' AS name,"
        " record::jsonb->'law_94_v_article_8_4'->'operator'->>'bin' AS bin"
        " FROM consent_record WHERE driver_id = $1 ORDER BY ledger_index",
        driver.member_id,
    )
    return [dict(row) for row in rows]


def since(found: Gate) -> tuple[datetime | None, ...]:
    return found.location_since, found.dispatch_since, found.plan_fact_since


async def gate_of(world: World, driver: Driver) -> Gate:
    return await read_gate(world, driver)


async def session(world: World, role: Role, member_id: UUID | None = None) -> dict[str, str]:
    """Log a member in for longer than the change takes; return the header."""
    if member_id is None:
        member_id = await add_member(world.vault, world.pool, world.company_id, role=role.value)
    async with db.tenant(world.pool, world.company_id) as conn:
        opened = await credentials.open_session(
            conn, world.company_id, member_id, role, lasts=timedelta(days=90), now=NOW
        )
    # As if it were used until its end: none is open for want of use.
    await world.owner.execute("UPDATE session SET used_at = expires_at")
    return bearer(opened.token)


async def announce(client: ClientSession, headers: dict[str, str], **other: Any) -> tuple[int, Any]:
    answer = await client.post("/v1/controller-changes", json={**BODY, **other}, headers=headers)
    return answer.status, await answer.json()


async def moves(world: World) -> dict[UUID, tuple[list[str], list[str]]]:
    rows = await world.owner.fetch("SELECT driver_id, kept, lapsed FROM controller_move")
    return {row["driver_id"]: (sorted(row["kept"]), sorted(row["lapsed"])) for row in rows}


async def acts_of(world: World) -> list[str]:
    rows = await world.owner.fetch(
        "SELECT act FROM ledger_entry WHERE company_id = $1 AND act LIKE 'controller%'"
        " ORDER BY index",
        world.company_id,
    )
    return [row["act"] for row in rows]


async def as_driver(world: World, driver: Driver) -> dict[str, str]:
    return await session(world, Role.DRIVER, driver.member_id)


async def agreement(
    client: ClientSession, headers: dict[str, str], change_id: str
) -> tuple[int, Any]:
    path = f"/v1/me/controller-changes/{change_id}/agreement"
    answer = await client.post(path, headers=headers)
    return answer.status, await answer.json()


async def upload(client: ClientSession, clock: Clock, driver: Driver) -> Any:
    sent = [
        {"recorded_at": rfc3339(clock.at - minutes), "lat": 43.2, "lon": 76.9}
        for minutes in (timedelta(minutes=30), timedelta(minutes=1))
    ]
    answer = await client.post(
        "/v1/positions", json={"positions": sent}, headers=bearer(driver.device_token)
    )
    return (await answer.json())["accepted"]


async def notices(client: ClientSession, headers: dict[str, str], kind: str) -> list[Any]:
    answer = await client.get("/v1/me/notices", headers=headers)
    return [one for one in (await answer.json())["items"] if one["kind"] == kind]
