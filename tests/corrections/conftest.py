"""A driver with a phone and an e-mail, the staff, and a sender whose messages can be read."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest
from aiohttp import ClientSession, web

from server.accounts import service as accounts
from server.accounts.model import Locale, NewMember
from server.corrections.web import ENDPOINTS as CORRECTIONS
from server.credentials.model import MemberState, Role
from server.delivery.model import Message
from server.kit import db
from server.notice_kinds.kinds import Channel
from server.notices.web import ENDPOINTS as NOTICES
from server.notices.web import WAYS_OUT
from tests.delivery.stage import deliverer_over
from tests.endpoints import ACCOUNTS
from tests.http import Clock, bearer, serve
from tests.world import CONSENTED, NOW, World, add_member, open_session, step_up

PHONE = "+77010000101"
EMAIL = "aidos@example.com"
NEW_PHONE = "+77010000202"
NEW_EMAIL = "aidos.t@example.com"


@dataclass
class Outbox:
    """A way out that keeps what it was handed."""

    sent: list[Message] = field(default_factory=list)

    async def hand_over(self, message: Message, _now: datetime) -> None:
        self.sent.append(message)

    def to(self, address: str) -> list[str]:
        """Return what was said to an address, oldest first."""
        return [f"{one.text.title}\n{one.text.short}" for one in self.sent if one.to == address]


@dataclass
class Stage:
    """Who is there, and how they speak to the server."""

    world: World
    clock: Clock
    client: ClientSession
    outbox: Outbox
    driver: str = field(repr=False)
    driver_id: Any
    dispatcher: str = field(repr=False)

    async def call(self, method: str, path: str, token: str, **body: Any) -> tuple[int, Any]:
        sent = body if method != "GET" else None
        async with self.client.request(method, path, headers=bearer(token), json=sent) as answer:
            return answer.status, await answer.json()

    async def correct(self, **changed: Any) -> tuple[int, Any]:
        return await self.call("PATCH", "/v1/me", self.driver, **changed)

    async def correct_driver(self, **changed: Any) -> tuple[int, Any]:
        path = f"/v1/drivers/{self.driver_id}"
        return await self.call("PATCH", path, self.dispatcher, **changed)

    async def confirm(self, what: str, code: str) -> tuple[int, Any]:
        path = f"/v1/me/contact-changes/{what}/confirmation"
        return await self.call("POST", path, self.driver, code=code)

    async def history(self) -> Any:
        return (await self.call("GET", "/v1/me/corrections", self.driver))[1]

    async def deliver(self) -> None:
        """Send what is to be sent by now."""
        ways = {Channel.EMAIL: self.outbox, Channel.SMS: self.outbox}
        sender = deliverer_over(self.world, ways, self.clock)
        await sender.deliver_due(self.world.company_id, self.clock())

    async def code_at(self, address: str) -> str:
        """Return the code of the last message to an address."""
        await self.deliver()
        codes = [re.search(r"\b\d{6}\b", one) for one in self.outbox.to(address)]
        return [one[0] for one in codes if one is not None][-1]

    async def found_by(self, kind: str, login: str) -> Any:
        """Return who logs in with that: through the directory, as a log-in looks."""
        hashes = self.world.vault.blind_indexes(kind, login)
        async with self.world.pool.acquire() as conn:
            companies = await accounts.companies_of_login(conn, hashes, wanted=None, limit=8)
        for company_id in companies:
            async with db.tenant(self.world.pool, company_id) as conn:
                found = await accounts.member_of_login(conn, company_id, hashes)
            if found is not None:
                return found.member_id
        return None


def of(found: object, field: str) -> list[tuple[object, ...]]:
    """Return a field's history: source, by whom, before, after."""
    assert isinstance(found, dict)
    return [
        (one["source"], one["by_name"], one["before"], one["after"])
        for one in found["items"]
        if one["field"] == field
    ]


async def joined(world: World, *, active: bool = True) -> Any:
    """Add a driver with a phone and an e-mail, who has accepted; return their id."""
    new = NewMember(
        name="Aidos Testov", role=Role.DRIVER, locale=Locale.EN, phone=PHONE, email=EMAIL
    )
    async with db.tenant(world.pool, world.company_id) as conn:
        profile, _ = await accounts.add_member(conn, world.vault, world.company_id, new, now=NOW)
        if active:
            await accounts.set_state(conn, world.company_id, profile.member_id, MemberState.ACTIVE)
    return profile.member_id


async def proven(world: World, member_id: Any, at: datetime = CONSENTED) -> str:
    """Log a member in who has just proved anew who they are."""
    session = await open_session(world.pool, world.company_id, member_id, at=at)
    return await step_up(world.pool, session)


@pytest.fixture
async def stage(world: World) -> AsyncIterator[Stage]:
    clock = Clock()
    driver_id = await joined(world)
    dispatcher = await add_member(world.vault, world.pool, world.company_id, role="dispatcher")

    def prepare(app: web.Application) -> None:
        app[WAYS_OUT] = frozenset({Channel.EMAIL, Channel.SMS})

    async with serve(world, ACCOUNTS, CORRECTIONS, NOTICES, clock=clock, prepare=prepare) as client:
        yield Stage(
            world=world,
            clock=clock,
            client=client,
            outbox=Outbox(),
            driver=await proven(world, driver_id),
            driver_id=driver_id,
            dispatcher=await proven(world, dispatcher),
        )
