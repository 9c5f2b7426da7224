"""Calls to the erasure endpoints, and what they did to the driver."""

from typing import Any
from uuid import UUID

from aiohttp import ClientSession

from server.gate import service as gate
from server.gate.model import Gate
from server.kit import db
from tests.http import bearer
from tests.world import Driver, World


async def set_grace(world: World, grace_s: int) -> None:
    await world.owner.execute("UPDATE company SET erasure_grace_s = $1", grace_s)


async def call(
    client: ClientSession, token: str, method: str, path: str, body: object = None
) -> tuple[int, Any]:
    answer = await client.request(method, path, headers=bearer(token), json=body)
    return answer.status, await answer.json()


async def ask(client: ClientSession, token: str, driver: Driver) -> Any:
    status, asked = await call(
        client, token, "POST", "/v1/erasure-requests", {"driver_id": str(driver.member_id)}
    )
    assert status == 201, asked
    return asked


async def decide(
    client: ClientSession, token: str, asked: Any, outcome: str, ground: str | None = None
) -> tuple[int, Any]:
    path = f"/v1/erasure-requests/{asked['request_id']}/decision"
    return await call(client, token, "POST", path, {"outcome": outcome, "ground": ground})


async def cancel(client: ClientSession, token: str, asked: Any) -> tuple[int, Any]:
    path = f"/v1/erasure-requests/{asked['request_id']}/cancel"
    return await call(client, token, "POST", path)


async def account(world: World, driver_id: UUID) -> str:
    state: str = await world.owner.fetchval(
        "SELECT state FROM member WHERE member_id = $1", driver_id
    )
    return state


async def read_gate(world: World, driver: Driver) -> Gate:
    async with db.tenant(world.pool, world.company_id) as conn:
        return await gate.read(conn, world.company_id, driver.member_id)


async def consent_states(world: World, driver: Driver) -> set[str]:
    rows = await world.owner.fetch(
        "SELECT DISTINCT ON (item) state FROM consent_record WHERE driver_id = $1"
        " ORDER BY item, version DESC",
        driver.member_id,
    )
    return {row["state"] for row in rows}


async def caller_of(world: World, driver: Driver, role: str) -> str:
    return await (world.driver_session(driver) if role == "driver" else world.session(role))
