"""Drivers who may be minors, and their guardians: through the services, as it happens."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from aiohttp import ClientSession

from server.attestations import minors
from server.gate import service as gate
from server.guardians import service as guardians
from server.guardians.model import Agreed, GuardianAgreement, Relation
from server.kit import db
from server.kit.wire import rfc3339
from server.ledger.model import Actor, ActorKind
from tests.consents import body as given
from tests.http import bearer
from tests.uploading import positions
from tests.world import CONSENTED, NOW, Driver, World, add_member

MINOR: Final = 2008
"""18 in the year of the tests' clock: perhaps not yet."""
ADULT: Final = 2007
USES: Final = ("location", "dispatch_tracking", "plan_fact", "customer_link")
GUARDIAN_NAME: Final = "Gulnara Opekunova"
DOCUMENT: Final = "Folder 17, sheet 3"
AGREEMENT: Final[dict[str, Any]] = {
    "guardian_name": GUARDIAN_NAME,
    "relation": "parent",
    "how": "in_writing",
    "told_at": rfc3339(CONSENTED),
    "document_reference": DOCUMENT,
}


async def call(
    client: ClientSession, method: str, path: str, token: str, body: object = None
) -> tuple[int, Any]:
    async with client.request(method, path, json=body, headers=bearer(token)) as answer:
        return answer.status, await answer.json(content_type=None)


def path_of(driver_id: UUID, what: str) -> str:
    return f"/v1/drivers/{driver_id}/{what}"


async def a_main_user(world: World) -> tuple[Actor, UUID]:
    by = await add_member(world.vault, world.pool, world.company_id, role="main_user", name="Boss")
    return Actor(kind=ActorKind.MAIN_USER, member_id=by), by


async def state(world: World, driver_id: UUID, year: int) -> tuple[str, ...]:
    """State the birth year as a member of staff; return what is void by it."""
    actor, by = await a_main_user(world)
    key = (world.company_id, driver_id)
    new = await guardians.seal_birth_year(world.vault, *key, year, now=NOW)
    async with gate.stopping(world.pool, *key, now=NOW) as conn:
        return await minors.state_birth_year(conn, *key, new, by=actor, by_member=by, now=NOW)


async def agree(world: World, driver_id: UUID, now: datetime = NOW) -> UUID:
    """Record that the guardian agreed; return the record's id."""
    actor, by = await a_main_user(world)
    key = (world.company_id, driver_id)
    agreement = GuardianAgreement(
        guardian_name=GUARDIAN_NAME,
        relation=Relation.PARENT,
        how=Agreed.IN_WRITING,
        told_at=CONSENTED,
        document_reference=DOCUMENT,
    )
    new = await guardians.seal_agreement(world.vault, *key, agreement, now=now)
    async with db.tenant(world.pool, world.company_id) as conn:
        known = await guardians.age_to_record(conn, world.vault, *key, now=now)
        await guardians.record(conn, *key, new, known, by=actor, by_member=by, now=now)
    return new.guardian_id


async def revoke(
    world: World, driver_id: UUID, *, staff: tuple[Actor, UUID] | None = None
) -> tuple[str, ...]:
    """End the guardian's consent; return what is void by it."""
    actor, by = staff or await a_main_user(world)
    key = (world.company_id, driver_id)
    async with gate.stopping(world.pool, *key, now=NOW) as conn:
        return await minors.revoke_guardian_consent(conn, *key, by=actor, by_member=by, now=NOW)


async def gate_is_open(world: World, driver_id: UUID) -> bool:
    async with db.tenant(world.pool, world.company_id) as conn:
        return (await gate.read(conn, world.company_id, driver_id)).is_open


async def give(client: ClientSession, token: str, item: str) -> tuple[int, Any]:
    return await call(client, "POST", "/v1/me/consents", token, given(item))


async def upload(client: ClientSession, driver: Driver, at: datetime = NOW) -> Any:
    body = {"positions": positions(1, until=at)}
    return (await call(client, "POST", "/v1/positions", driver.device_token, body))[1]
