"""What the accounts' tests share: the endpoints served, and people made through them."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from aiohttp import ClientResponse, ClientSession

from server.devices.web import ENDPOINTS as DEVICES
from server.gate import service as gate
from server.gate.model import Gate
from server.kit import db
from server.log_in.web import logging_in
from tests.endpoints import ACCOUNTS as ENDPOINTS
from tests.endpoints import ATTESTATIONS
from tests.http import Clock, bearer, serve
from tests.world import World

PASSWORD = "correct horse battery"  # noqa: S105 - of nobody
PHONE = "+7 701 123 45 67"
EMAIL = "dana.dispatch@aral.example"


@asynccontextmanager
async def accounts(world: World, *, clock: Clock | None = None) -> AsyncGenerator[ClientSession]:
    async with serve(
        world,
        ENDPOINTS,
        ATTESTATIONS,
        DEVICES,
        clock=clock,
        prepare=lambda app: app.cleanup_ctx.append(logging_in),
    ) as client:
        yield client


def new_driver(**changes: object) -> dict[str, object]:
    return {"name": "Aigerim Canaryova", "phone": PHONE, "locale": "kk", **changes}


def new_staff(**changes: object) -> dict[str, object]:
    return {
        "name": "Bolat Staffbek",
        "email": EMAIL,
        "role": "dispatcher",
        "locale": "ru",
        **changes,
    }


async def add(client: ClientSession, path: str, token: str, body: Mapping[str, object]) -> Any:
    """Post something that creates; return the answer's body."""
    answer = await client.post(path, json=body, headers=bearer(token))
    assert answer.status == 201, await answer.text()
    return await answer.json()


async def accept(client: ClientSession, code: str, *, password: str = PASSWORD) -> ClientResponse:
    return await client.post("/v1/invitations/accept", json={"code": code, "password": password})


async def log_in(client: ClientSession, login: str = PHONE, **changes: object) -> ClientResponse:
    body = {"login": login, "password": PASSWORD, "transport": "bearer", **changes}
    return await client.post("/v1/session", json=body)


async def join(client: ClientSession, staff_token: str, **changes: object) -> Any:
    """Add a driver who accepts; return what adding answered."""
    added = await add(client, "/v1/drivers", staff_token, new_driver(**changes))
    answer = await accept(client, added["invitation"]["code"])
    assert answer.status == 200, await answer.text()
    return added


async def token_of(answer: ClientResponse) -> str:
    assert answer.status == 200, await answer.text()
    token: str = (await answer.json())["token"]
    return token


async def code_of(answer: ClientResponse) -> tuple[int, str]:
    return answer.status, (await answer.json())["code"]


async def gate_of(world: World, driver_id: str) -> Gate:
    async with db.tenant(world.pool, world.company_id) as conn:
        return await gate.read(conn, world.company_id, UUID(driver_id))


async def state_of(world: World, member_id: UUID | str) -> str:
    state: str = await world.owner.fetchval(
        "SELECT state FROM member WHERE member_id = $1", UUID(str(member_id))
    )
    return state
