"""A driver who forgot their password, and a sender whose messages can be read."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import pytest
from aiohttp import ClientSession, web

from server.gate import service as gate
from server.ledger.model import Actor, ActorKind
from server.life import service as life
from server.log_in.web import logging_in
from server.notice_kinds.kinds import Channel
from server.notices.web import WAYS_OUT
from server.passwords.web import ENDPOINTS as PASSWORDS
from server.passwords.web import SENDING, resetting
from server.second_factor.web import ENDPOINTS as SECOND_FACTOR
from tests.accounts.people import (
    PHONE,
    join,
)
from tests.corrections.conftest import Outbox
from tests.delivery.stage import deliverer_over
from tests.endpoints import ACCOUNTS, ATTESTATIONS
from tests.http import Clock, serve
from tests.world import World

NEW: Final = "seven lanterns over water"
ASK: Final = "/v1/password-resets"
CONFIRM: Final = "/v1/password-resets/confirm"
MINUTE: Final = timedelta(minutes=1)
NUMBER: Final = "+77011234567"
NOBODYS: Final = "+7 701 999 99 99"
CODE: Final = re.compile(r"\b\d{8}\b")
NOBODY: Final = UUID(int=0)
STAFF: Final = Actor(kind=ActorKind.DISPATCHER)


@dataclass(kw_only=True)
class Stage:
    """A driver with a password, who forgot it, and a sender whose messages can be read."""

    world: World
    client: ClientSession
    clock: Clock
    app: web.Application
    outbox: Outbox = field(default_factory=Outbox)
    driver_id: UUID = NOBODY

    async def ask(self, login: str = PHONE) -> tuple[int, Any]:
        async with self.client.post(ASK, json={"login": login}) as answer:
            found = answer.status, await answer.json()
        await self.app[SENDING].sent()
        return found

    async def confirm(self, code: str, login: str = PHONE, password: str = NEW) -> tuple[int, str]:
        body = {"login": login, "code": code, "password": password}
        async with self.client.post(CONFIRM, json=body) as answer:
            return answer.status, "" if answer.status == 204 else (await answer.json())["code"]

    async def codes(self, to: str = NUMBER) -> list[str]:
        """Return the codes that were sent to an address, oldest first."""
        ways = {Channel.EMAIL: self.outbox, Channel.SMS: self.outbox}
        sender = deliverer_over(self.world, ways, self.clock)
        await sender.deliver_due(self.world.company_id, self.clock())
        found = [CODE.search(one) for one in self.outbox.to(to)]
        return [one[0] for one in found if one is not None]

    async def code(self) -> str:
        await self.ask()
        return (await self.codes())[-1]

    async def lose_phone(self) -> str:
        driver = self.world.company_id, self.driver_id
        async with gate.stopping(self.world.pool, *driver, now=self.clock()) as conn:
            return (await life.lose_phone(conn, *driver, by=STAFF, now=self.clock())).code

    async def has_password(self) -> bool:
        text = "SELECT password_hash IS NOT NULL FROM member WHERE member_id = $1"
        return bool(await self.world.owner.fetchval(text, self.driver_id))


def other_than(code: str) -> str:
    return "11111111" if code != "11111111" else "22222222"


@pytest.fixture
async def stage(world: World) -> AsyncIterator[Stage]:
    clock, apps = Clock(), []

    def prepare(app: web.Application) -> None:
        app[WAYS_OUT] = frozenset({Channel.EMAIL, Channel.SMS})
        app.cleanup_ctx.append(logging_in)
        app.cleanup_ctx.append(resetting)
        apps.append(app)

    async with serve(
        world, ACCOUNTS, ATTESTATIONS, PASSWORDS, SECOND_FACTOR, clock=clock, prepare=prepare
    ) as client:
        there = Stage(world=world, client=client, clock=clock, app=apps[0])
        added = await join(client, await world.session("dispatcher"))
        there.driver_id = UUID(added["driver"]["driver_id"])
        yield there
