"""Accepting an invitation while an erasure is asked for: whoever is first, the gate stays shut."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, TypeAlias
from uuid import UUID

import pytest
from aiohttp import ClientResponse, ClientSession

from server.accounts import service as accounts
from server.accounts.model import Locale, NewMember
from server.credentials.model import Role
from server.erasure import service as erasure
from server.erasure import store
from server.erasure.web import ENDPOINTS as ERASURE
from server.gate import service as gate
from server.kit import db
from server.kit.db import Connection
from server.ledger.model import Actor, ActorKind
from server.life import service as life
from server.log_in.web import logging_in
from tests.accounts.people import PASSWORD, PHONE, accept, code_of, gate_of, log_in, state_of
from tests.endpoints import ACCOUNTS, ATTESTATIONS
from tests.http import bearer, serve
from tests.world import NOW, World

SETTLE_S: Final = 1.0
"""How long one is left to get past the other. Where a lock keeps them from it, they wait."""
IN_THEIR_NAME: Final = Actor(kind=ActorKind.DRIVER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """A driver who was invited, and writes a letter that asks to be erased."""

    client: ClientSession
    world: World
    patch: pytest.MonkeyPatch
    driver_id: UUID
    code: str

    async def join(self) -> ClientResponse:
        return await accept(self.client, self.code)

    @asynccontextmanager
    async def asking(self) -> AsyncGenerator[str]:
        """Ask for the erasure; commit at the end of the block."""
        driver = self.world.company_id, self.driver_id
        async with gate.stopping(self.world.pool, *driver, now=NOW) as conn:
            asked = await erasure.ask(conn, *driver, by=IN_THEIR_NAME, reason=None, now=NOW)
            yield str(asked.request_id)

    async def ask(self) -> str:
        async with self.asking() as request_id:
            return request_id

    def when_looked(self, go_on: asyncio.Event | None = None) -> "asyncio.Future[None]":
        """Note when somebody next looks for an erasure, and hold them up there until ``go_on``."""
        looked = asyncio.get_running_loop().create_future()
        look = store.is_under_way

        async def noting(conn: Connection, company_id: UUID, driver_id: UUID) -> bool:
            found = await look(conn, company_id, driver_id)
            if not looked.done():
                looked.set_result(None)
                if go_on is not None:
                    await go_on.wait()
            return found

        self.patch.setattr(store, "is_under_way", noting)
        return looked

    async def is_opened(self) -> bool:
        """Tell whether the account is let through although its erasure was asked for."""
        assert await self.world.owner.fetchval("SELECT count(*) FROM erasure_request") == 1
        return (await gate_of(self.world, str(self.driver_id))).account_active


async def erasure_first(race: Race) -> bool:
    """Accept while the request is made but not committed: nobody else can see it yet."""
    async with race.asking():
        looked = race.when_looked()
        joining = asyncio.ensure_future(race.join())
        await asyncio.wait({looked}, timeout=SETTLE_S)
    await joining
    return await race.is_opened()


async def joining_first(race: Race) -> bool:
    """Ask when whoever accepts has just seen that nobody has."""
    go_on = asyncio.Event()
    looked = race.when_looked(go_on)
    joining = asyncio.ensure_future(race.join())
    await looked
    asking = asyncio.ensure_future(race.ask())
    await asyncio.wait({asking}, timeout=SETTLE_S)
    go_on.set()
    await asyncio.gather(joining, asking)
    return await race.is_opened()


Order: TypeAlias = Callable[[Race], Awaitable[bool]]
each_order = pytest.mark.parametrize("order", [erasure_first, joining_first])


@pytest.fixture
async def race(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Race]:
    new = NewMember(name="Newcomer", role=Role.DRIVER, locale=Locale.KK, phone=PHONE)
    async with db.tenant(world.pool, world.company_id) as conn:
        added, invitation = await accounts.add_member(
            conn, world.vault, world.company_id, new, now=NOW
        )
    async with serve(
        world,
        ACCOUNTS,
        ATTESTATIONS,
        ERASURE,
        prepare=lambda app: app.cleanup_ctx.append(logging_in),
    ) as client:
        yield Race(
            client=client,
            world=world,
            patch=monkeypatch,
            driver_id=added.member_id,
            code=invitation.code,
        )


async def test_without_an_erasure_accepting_opens_the_account(race: Race) -> None:
    assert (await race.join()).status == 200
    assert (await gate_of(race.world, str(race.driver_id))).account_active


async def test_an_account_whose_erasure_is_asked_for_is_not_opened(race: Race) -> None:
    request_id = await race.ask()

    assert await code_of(await race.join()) == (409, "erasure-under-way")

    assert not await race.is_opened()
    assert await state_of(race.world, race.driver_id) == "invited"
    assert (await log_in(race.client)).status == 401
    # Once it is refused, or called off, the same code opens the account.
    async with db.tenant(race.world.pool, race.world.company_id) as conn:
        await erasure.cancel(
            conn, race.world.company_id, UUID(request_id), by=IN_THEIR_NAME, now=NOW
        )
    assert (await race.join()).status == 200
    assert await race.is_opened()


async def test_who_joined_before_comes_back_while_their_erasure_is_asked_for(race: Race) -> None:
    """They lost their phone, and may want to call it off: nothing is opened by that."""
    await race.join()
    driver = race.world.company_id, race.driver_id
    async with gate.stopping(race.world.pool, *driver, now=NOW) as conn:
        by = Actor(kind=ActorKind.DISPATCHER)
        invitation = await life.lose_phone(conn, *driver, by=by, now=NOW)
    request_id = await race.ask()

    assert (await accept(race.client, invitation.code)).status == 200

    assert not await race.is_opened()
    token = (await (await log_in(race.client)).json())["token"]
    path = f"/v1/erasure-requests/{request_id}/cancel"
    assert (await race.client.post(path, headers=bearer(token))).status == 200


async def test_a_password_of_the_persons_own_words_is_refused_and_the_code_still_works(
    race: Race,
) -> None:
    answer = await accept(race.client, race.code, password="Newcomer+77011234567")  # noqa: S106 - of nobody

    assert await code_of(answer) == (422, "password-too-common")
    assert (await accept(race.client, race.code, password=PASSWORD)).status == 200


@each_order
async def test_accepting_does_not_open_the_gate_of_a_driver_who_asked(
    race: Race, order: Order
) -> None:
    assert not await order(race)


@each_order
async def test_control_without_the_lock_the_gate_of_a_driver_who_asked_is_opened(
    race: Race, order: Order
) -> None:
    # Read in the very same way; whoever changes the gate holds it anyway, but only from then on.
    race.patch.setattr(gate, "lock", gate.read)

    assert await order(race)
