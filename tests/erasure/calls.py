"""Calls to the erasure endpoints, and what they did to the driver."""

from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from aiohttp import ClientSession

from server.erasure.model import Outcome, Request, State
from server.erasure_decisions import service as decisions
from server.erasure_decisions.service import Refusal
from server.gate import service as gate
from server.gate.model import Gate
from server.kit import db
from server.kit.db import Connection
from server.kit.ids import uuid7
from server.kit.wire import rfc3339
from server.ledger.model import Actor, ActorKind
from tests.http import bearer
from tests.world import NOW, Driver, World

REFUSAL: Final = "Your former customer sues us. We keep your tracks until the court has decided."


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
    client: ClientSession,
    token: str,
    asked: Any,
    outcome: str,
    ground: str | None = None,
    *categories: str,
    until: datetime = NOW + timedelta(days=20),
) -> tuple[int, Any]:
    """Decide; with a ground, as a refusal of these categories until then, or of tracks."""
    path = f"/v1/erasure-requests/{asked['request_id']}/decision"
    body: dict[str, object] = {"outcome": outcome}
    if ground is not None:
        body |= {
            "items": [
                {"category": one, "ground": ground, "until": rfc3339(until)}
                for one in categories or ("track",)
            ],
            "notice_text": REFUSAL,
            "locale": "en",
        }
    return await call(client, token, "POST", path, body)


async def cancel(client: ClientSession, token: str, asked: Any) -> tuple[int, Any]:
    path = f"/v1/erasure-requests/{asked['request_id']}/cancel"
    return await call(client, token, "POST", path)


async def agree(conn: Connection, company_id: UUID, asked: Request) -> Request:
    """Let somebody else of the staff approve, where the driver disputes something."""
    if asked.state is not State.OPEN:
        return asked
    return await decisions.decide(
        conn,
        company_id,
        asked.request_id,
        Outcome.APPROVE,
        Refusal(),
        by=Actor(kind=ActorKind.MAIN_USER, member_id=uuid7()),
        now=asked.requested_at,
    )


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
