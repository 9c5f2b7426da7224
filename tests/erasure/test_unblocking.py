"""Unblocking a driver while their erasure is asked for: whoever is first, the gate stays shut."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias
from uuid import UUID

import pytest
from aiohttp import ClientSession

from server.accounts import acts as accounts
from server.accounts import store as accounts_store
from server.credentials.model import MemberState, Role
from server.erasure import service, store
from server.erasure.web import ENDPOINTS
from server.gate import service as gate
from server.kit.db import Connection
from server.ledger.model import Actor, ActorKind
from server.standing.model import Act, BlockReason, By
from tests.erasure.calls import call, read_gate, set_grace
from tests.http import serve
from tests.world import NOW, World

SETTLE_S: Final = 1.0
"""How long one is left to get past the other. Where a lock keeps them from it, they wait."""
HOUR_S: Final = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """A blocked driver, whom the staff unblock just when their erasure is asked for."""

    client: ClientSession
    world: World
    token: str
    patch: pytest.MonkeyPatch

    @property
    def driver(self) -> tuple[UUID, UUID]:
        return self.world.company_id, self.world.driver.member_id

    async def unblock(self) -> tuple[int, Any]:
        path = f"/v1/drivers/{self.world.driver.member_id}/unblock"
        return await call(self.client, self.token, "POST", path)

    @asynccontextmanager
    async def asking(self, by: Role) -> AsyncGenerator[None]:
        """Ask for the erasure; commit at the end of the block."""
        actor = Actor(kind=ActorKind(by.value))
        async with gate.stopping(self.world.pool, *self.driver, now=NOW) as conn:
            await service.ask(conn, *self.driver, by=actor, reason=None, now=NOW)
            yield

    async def ask(self, by: Role) -> None:
        async with self.asking(by):
            pass

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

    async def is_reopened(self) -> bool:
        """Tell whether the account is let through although its erasure was asked for."""
        asked = await self.world.owner.fetchval("SELECT count(*) FROM erasure_request")
        assert asked == 1
        return (await read_gate(self.world, self.world.driver)).account_active


async def erasure_first(race: Race, by: Role) -> bool:
    """Unblock while the request is made but not committed: nobody else can see it yet."""
    async with race.asking(by):
        looked = race.when_looked()
        unblocking = asyncio.ensure_future(race.unblock())
        await asyncio.wait({looked}, timeout=SETTLE_S)
    await unblocking
    return await race.is_reopened()


async def unblocking_first(race: Race, by: Role) -> bool:
    """Ask when the unblocking has just seen that nobody has."""
    go_on = asyncio.Event()
    looked = race.when_looked(go_on)
    unblocking = asyncio.ensure_future(race.unblock())
    await looked
    asking = asyncio.ensure_future(race.ask(by))
    await asyncio.wait({asking}, timeout=SETTLE_S)
    go_on.set()
    await asyncio.gather(unblocking, asking)
    return await race.is_reopened()


Order: TypeAlias = Callable[[Race, Role], Awaitable[bool]]

each_order = pytest.mark.parametrize("order", [erasure_first, unblocking_first])
by_staff = pytest.mark.parametrize("grace_s", [HOUR_S, 0], ids=["grace", "erasing"])


@pytest.fixture
async def race(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Race]:
    driver = (world.company_id, world.driver.member_id)
    async with gate.stopping(world.pool, *driver, now=NOW) as conn:
        await accounts.block(conn, *driver, BlockReason.OTHER, by=By.DISPATCHER, now=NOW)
    token = await world.session("dispatcher")
    async with serve(world, ENDPOINTS) as client:
        yield Race(client=client, world=world, token=token, patch=monkeypatch)


def leave_the_gate_unlocked(patch: pytest.MonkeyPatch) -> None:
    # Read in the very same way; whoever changes the gate holds it anyway, but only from then on.
    patch.setattr(gate, "lock", gate.read)


def move_from_whatever_state(patch: pytest.MonkeyPatch) -> None:
    async def move(
        conn: Connection,
        company_id: UUID,
        member_id: UUID,
        act: Act,
        _by: By,
    ) -> None:
        assert act is Act.UNBLOCK
        await accounts_store.set_state(conn, company_id, member_id, MemberState.ACTIVE)

    patch.setattr(accounts, "_move", move)


async def test_without_an_erasure_unblocking_opens_the_gate(race: Race) -> None:
    status, _ = await race.unblock()

    assert status == 200
    assert (await read_gate(race.world, race.world.driver)).account_active


@each_order
async def test_unblocking_does_not_reopen_the_gate_of_a_driver_who_asked(
    race: Race, order: Order
) -> None:
    assert not await order(race, Role.DRIVER)

    status, problem = await race.unblock()
    assert (status, problem["code"]) == (409, "erasure-under-way")


@each_order
async def test_control_without_the_lock_the_gate_of_a_driver_who_asked_is_reopened(
    race: Race, order: Order
) -> None:
    leave_the_gate_unlocked(race.patch)

    assert await order(race, Role.DRIVER)


@each_order
@by_staff
async def test_unblocking_does_not_reopen_the_gate_in_grace_or_erasing(
    race: Race, order: Order, grace_s: int
) -> None:
    await set_grace(race.world, grace_s)

    assert not await order(race, Role.DISPATCHER)

    status, problem = await race.unblock()
    assert (status, problem["code"]) == (409, "erasure-under-way")


@each_order
@by_staff
async def test_in_grace_or_erasing_the_state_of_the_account_would_do_without_the_lock(
    race: Race, order: Order, grace_s: int
) -> None:
    await set_grace(race.world, grace_s)
    leave_the_gate_unlocked(race.patch)

    assert not await order(race, Role.DISPATCHER)


@each_order
@by_staff
async def test_control_without_lock_and_state_the_gate_is_reopened_in_grace_or_erasing(
    race: Race, order: Order, grace_s: int
) -> None:
    await set_grace(race.world, grace_s)
    leave_the_gate_unlocked(race.patch)
    move_from_whatever_state(race.patch)

    assert await order(race, Role.DISPATCHER)
