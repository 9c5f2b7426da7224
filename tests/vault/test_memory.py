"""Unwrapped keys leave memory: within a minute, and at once when their person is erased.

Each rule has its control: the same check, with the guard that keeps the rule taken away.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import timedelta
from math import inf
from pathlib import Path
from typing import TypeAlias
from uuid import UUID

import pytest

from server import databases
from server.kek.key_file import load
from server.kit.db import Pool
from server.vault import held as held_keys
from server.vault import store
from server.vault.held import EVICT_EVERY_S, Held
from server.vault.model import Category, DataKey
from server.vault.opening import evicting, open_vault
from server.vault.service import Vault
from tests import running
from tests.vault.memory import Seconds, held
from tests.world import NOW, World

SWEPT_S = 0.1


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
async def timed(world: World, keys_pool: Pool, kek_file: Path, seconds: Seconds) -> Vault:  # noqa: ARG001 - has the keys
    vault = await open_vault(keys_pool, load(kek_file), NOW)
    vault._held._monotonic = seconds  # noqa: SLF001 - the clock of the test
    return vault


async def key_of(world: World, vault: Vault, category: Category = Category.TRACK) -> DataKey:
    return await vault.key(world.company_id, world.driver.member_id, category, at=NOW)


@pytest.fixture
def nothing_evicted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Held, "evict", lambda _held: None)


async def usable_after(world: World, timed: Vault, seconds: Seconds, wait_s: float) -> bool:
    """Destroy a key behind a vault's back; tell whether it still gives it so much later."""
    key = await key_of(world, timed)
    await world.vault.destroy(world.company_id, world.driver.member_id, NOW)
    seconds.at = wait_s
    return key.key_id in await timed.keys(world.company_id, [key.key_id])


async def test_unwrapped_keys_are_used_for_a_minute_at_most(
    world: World, timed: Vault, seconds: Seconds
) -> None:
    assert not await usable_after(world, timed, seconds, 60.0)


async def test_an_unwrapped_key_is_used_without_asking_for_less_than_that(
    world: World, timed: Vault, seconds: Seconds
) -> None:
    assert await usable_after(world, timed, seconds, 60.0 - 2 * EVICT_EVERY_S - 1.0)


async def test_control_without_an_end_a_destroyed_key_is_used_on(
    world: World, timed: Vault, seconds: Seconds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_keys, "USED_S_MAX", inf)

    assert await usable_after(world, timed, seconds, 60.0)


async def overstayed(world: World, timed: Vault, seconds: Seconds) -> list[str]:
    """Fetch a key, half a minute later another, then nothing; name those that stay too long."""
    old = await key_of(world, timed)
    seconds.at = 30.0
    new = await key_of(world, timed, Category.LIVE)
    names = {old.key_id: "old", new.key_id: "new"}
    assert held(timed) == names.keys()
    found = []
    async with evicting(timed, every_s=SWEPT_S / 10):
        # The sweep may come as late as its interval, and still in time.
        seconds.at = 60.0 - EVICT_EVERY_S
        await asyncio.sleep(SWEPT_S)
        assert new.key_id in held(timed)
        found += [names[one] for one in held(timed) - {new.key_id}]
        seconds.at = 90.0 - EVICT_EVERY_S
        await asyncio.sleep(SWEPT_S)
        found += [names[one] for one in held(timed) & {new.key_id}]
    return found


async def test_unwrapped_keys_leave_memory_although_nobody_asks_for_them(
    world: World, timed: Vault, seconds: Seconds
) -> None:
    assert await overstayed(world, timed, seconds) == []


@pytest.mark.usefixtures("nothing_evicted")
async def test_control_keys_that_nobody_evicts_stay(
    world: World, timed: Vault, seconds: Seconds
) -> None:
    assert await overstayed(world, timed, seconds) == ["old", "new"]


async def stays_when_another_is_fetched(world: World, timed: Vault, seconds: Seconds) -> bool:
    old = await key_of(world, timed)
    seconds.at = 60.0
    new = await key_of(world, timed, Category.LIVE)
    assert new.key_id in held(timed)
    return old.key_id in held(timed)


async def test_unwrapped_keys_also_leave_when_another_is_fetched(
    world: World, timed: Vault, seconds: Seconds
) -> None:
    assert not await stays_when_another_is_fetched(world, timed, seconds)


@pytest.mark.usefixtures("nothing_evicted")
async def test_control_a_key_that_nobody_evicts_stays_when_another_is_fetched(
    world: World, timed: Vault, seconds: Seconds
) -> None:
    assert await stays_when_another_is_fetched(world, timed, seconds)


async def test_a_key_that_is_fetched_again_is_held_as_long_as_a_new_one(
    world: World, timed: Vault, seconds: Seconds
) -> None:
    first = await key_of(world, timed)
    seconds.at = 60.0
    second = await key_of(world, timed, Category.LIVE)
    again = await key_of(world, timed)
    assert again.key_id == first.key_id

    seconds.at = 100.0
    timed.evict()
    assert held(timed) == {first.key_id, second.key_id}
    timed.forget(world.company_id, world.driver.member_id)
    assert held(timed) == set()


async def held_by_a_server_after_a_minute(server_dsn: str, home: Path) -> int:
    async with running.demo(server_dsn, home, driving=False) as demo:
        vault = demo.running.opened.vault
        assert held(vault) != set()
        vault._held._monotonic = lambda: time.monotonic() + 60.0  # noqa: SLF001 - a minute later
        await asyncio.sleep(1.5 * EVICT_EVERY_S)
        return len(held(vault))


async def test_the_server_drops_keys_while_it_runs(server_dsn: str, tmp_path: Path) -> None:
    assert await held_by_a_server_after_a_minute(server_dsn, tmp_path) == 0


async def test_control_a_server_that_does_not_sweep_keeps_them(
    server_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(databases, "evicting", nullcontext)

    assert await held_by_a_server_after_a_minute(server_dsn, tmp_path) > 0


async def held_once_destroyed(world: World, vault: Vault) -> set[UUID]:
    """Fetch a person's keys, destroy them; return those that are still in memory."""
    keys = [await key_of(world, vault, category) for category in Category]
    mine = {key.key_id for key in keys}
    assert held(vault) >= mine
    await vault.destroy(world.company_id, world.driver.member_id, NOW)
    return held(vault) & mine


async def test_keys_leave_memory_at_once_when_they_are_destroyed(world: World) -> None:
    assert await held_once_destroyed(world, world.vault) == set()


async def test_control_keys_that_are_not_forgotten_outlive_their_destruction(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Vault, "forget", lambda *_place: None)

    assert len(await held_once_destroyed(world, world.vault)) == len(Category)


OLD = NOW - timedelta(days=2)
"""A key of live positions of then is destroyed with its person, and daily."""

Fetch: TypeAlias = Callable[[World, Vault, UUID], Awaitable[object]]
Destroy: TypeAlias = Callable[[World, Vault], Awaitable[int]]


async def old_key(world: World, vault: Vault) -> DataKey:
    return await vault.key(world.company_id, world.driver.member_id, Category.LIVE, at=OLD)


async def by_period(world: World, vault: Vault, _key_id: UUID) -> object:
    return await old_key(world, vault)


async def by_id(world: World, vault: Vault, key_id: UUID) -> object:
    return await vault.keys(world.company_id, [key_id])


async def with_the_person(world: World, vault: Vault) -> int:
    return await vault.destroy(world.company_id, world.driver.member_id, NOW)


async def daily(world: World, vault: Vault) -> int:
    return await vault.destroy_live(world.company_id, NOW)


each_fetch = pytest.mark.parametrize(
    ("fetch", "read"), [(by_period, "keys_at"), (by_id, "keys_by_id")], ids=["period", "id"]
)
each_destruction = pytest.mark.parametrize("destroy", [with_the_person, daily])


@pytest.fixture
async def fetching(world: World, timed: Vault, monkeypatch: pytest.MonkeyPatch) -> "Fetching":
    key_id = (await old_key(world, timed)).key_id
    timed.forget(world.company_id, world.driver.member_id)
    return Fetching(world, timed, key_id, monkeypatch)


@dataclass(frozen=True, slots=True)
class Fetching:
    """A key that is not in memory, and that is destroyed while it is on its way there."""

    world: World
    vault: Vault
    key_id: UUID
    patch: pytest.MonkeyPatch

    async def is_held(self, fetch: Fetch, read: str, destroy: Destroy) -> bool:
        """Destroy the key between ``read`` and the holding; tell whether it is held then."""
        was_read, go_on = asyncio.Event(), asyncio.Event()
        reading = getattr(store, read)

        async def stalling(*args: object, **named: object) -> object:
            found = await reading(*args, **named)
            was_read.set()
            await go_on.wait()
            return found

        self.patch.setattr(store, read, stalling)
        under_way = asyncio.ensure_future(fetch(self.world, self.vault, self.key_id))
        await was_read.wait()
        assert await destroy(self.world, self.vault) > 0
        go_on.set()
        await under_way
        return self.key_id in held(self.vault)


@each_fetch
@each_destruction
async def test_a_key_that_is_destroyed_while_it_is_fetched_is_not_held(
    fetching: Fetching, fetch: Fetch, read: str, destroy: Destroy
) -> None:
    assert not await fetching.is_held(fetch, read, destroy)


@each_fetch
@each_destruction
async def test_control_a_vault_that_does_not_count_holds_the_destroyed_key(
    fetching: Fetching, fetch: Fetch, read: str, destroy: Destroy
) -> None:
    stands_still = property(lambda _vault: 0, lambda _vault, _count: None)
    fetching.patch.setattr(Held, "forgotten", stands_still, raising=False)

    assert await fetching.is_held(fetch, read, destroy)
