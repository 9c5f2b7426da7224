"""An exchange of keys goes on, and destroys nothing in force, whatever is odd about the ground."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TypeAlias
from uuid import UUID

import asyncpg
import pytest
from structlog.testing import capture_logs

from server.kek.disk import next_of
from server.kek.key_file import FileKek, KeyFile, load
from server.kek.model import Keeping, KekGone
from server.kit.db import Pool
from server.rekeying import service
from server.rekeying.model import AT_LEAST_EVERY, SETTLES
from server.rekeying.service import KeysHeld, Rekeyer
from server.vault.model import Category
from server.vault.opening import open_vault
from server.vault.service import peppers
from tests.conftest import Databases
from tests.kek.sealing import PHONE, sealed_phone
from tests.rekeying.conftest import HOUR, Exchange, nothing_to_index
from tests.world import NOW, World, add_member

Owner: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Meanwhile: TypeAlias = Callable[[], Awaitable[object]]


class Crash(Exception):
    """The process died here."""


@dataclass(slots=True)
class Stalling:
    """A KEK file of a process that once stands still, just before it makes or destroys."""

    keks: KeyFile
    looks: int
    """How many times it goes on before."""
    meanwhile: Meanwhile

    @property
    def kept_in(self) -> frozenset[Keeping]:
        return self.keks.kept_in

    async def refuse_other(self, installation_id: UUID | None) -> None:
        await self.keks.refuse_other(installation_id)

    async def claim(self, installation_id: UUID) -> None:
        await self.keks.claim(installation_id)

    async def disclaim(self) -> None:
        await self.keks.disclaim()

    @asynccontextmanager
    async def alone(self) -> AsyncGenerator[None]:
        if self.looks == 0:
            await self.meanwhile()
        self.looks -= 1
        async with self.keks.alone():
            yield

    async def in_force(self, kek_id: bytes | None) -> FileKek:
        return await self.keks.in_force(kek_id)

    async def follow(self) -> FileKek:
        return await self.keks.follow()

    async def end_others(self, kek_id: bytes) -> bool:
        return await self.keks.end_others(kek_id)


async def another_goes_on(exchange: Exchange, kek_file: Path, databases: Databases) -> None:
    """Take the lock from who stands still, and leave what is in force in ``.next`` alone."""

    def crash(here: str) -> None:
        if here == "wrapped":
            raise Crash

    conn = await asyncpg.connect(databases.keys)
    try:
        await conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks"
            " WHERE locktype = 'advisory' AND objid = 7242004"
            "   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        await asyncio.sleep(0.1)
        rekeyer = Rekeyer(
            keys_dsn=databases.keys, keks=load(kek_file), reindex=nothing_to_index, failpoint=crash
        )
        other = Exchange(rekeyer, conn, at=exchange.at)
        if await conn.fetchval("SELECT wrapped_at IS NOT NULL FROM rekeying"):
            other.rekeyer = replace(rekeyer, failpoint=lambda _place: None)
            await other.due()
            other.rekeyer = rekeyer
            await service.begin(rekeyer, now=other.at)
            other.at += SETTLES
        with pytest.raises(Crash):
            await other.due()
    finally:
        await conn.close()


@pytest.mark.parametrize("looks", [0, 1])
async def test_who_stood_still_destroys_nothing_that_is_in_force_by_now(
    world: World,
    exchange: Exchange,
    databases: Databases,
    keys_pool: Pool,
    kek_file: Path,
    looks: int,
) -> None:
    item = await sealed_phone(world, world.driver.member_id)
    meanwhile = partial(another_goes_on, exchange, kek_file, databases)
    keks = Stalling(load(kek_file), looks, meanwhile)
    late = Exchange(replace(exchange.rekeyer, keks=keks), exchange.keys_owner)

    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, ConnectionError)):
        await late.whole()

    assert keks.looks < 0
    vault = await open_vault(keys_pool, load(kek_file), NOW)
    assert await vault.open_texts(world.company_id, [item]) == [PHONE]
    exchange.at = late.at + SETTLES
    assert await exchange.due() is not None
    assert not next_of(kek_file).exists()


async def test_control_who_makes_one_without_looking_destroys_the_one_in_force(
    exchange: Exchange, kek_file: Path, databases: Databases, keys_pool: Pool
) -> None:
    await service.begin(exchange.rekeyer, now=exchange.at)
    exchange.at += SETTLES
    await another_goes_on(exchange, kek_file, databases)

    await load(kek_file).follow()

    with pytest.raises(KekGone):
        await open_vault(keys_pool, load(kek_file), NOW)
    next_of(kek_file).unlink()


@pytest.fixture
async def holding(databases: Databases) -> AsyncIterator[Owner]:
    """Hold the keys as they are, as whoever makes or destroys one does."""
    conn = await asyncpg.connect(databases.keys)
    await conn.execute("SELECT pg_advisory_lock_shared(7242003)")
    yield conn
    await conn.close()


async def seconds_for_a_key(world: World, exchange: Exchange) -> float:
    """Make a key while an exchange would begin; return for how long it was waited."""
    member_id = await add_member(world.vault, world.pool, world.company_id, role="dispatcher")
    beginning = asyncio.create_task(service.begin(exchange.rekeyer, now=exchange.at))
    await asyncio.sleep(0.1)
    begun = time.monotonic()
    await world.vault.key(world.company_id, member_id, Category.REPORT, at=NOW)
    waited = time.monotonic() - begun
    with pytest.raises(KeysHeld):
        await beginning
    return waited


@pytest.mark.usefixtures("holding")
async def test_nobody_waits_behind_an_exchange_that_waits(world: World, exchange: Exchange) -> None:
    assert await seconds_for_a_key(world, exchange) < 1.0


@pytest.mark.usefixtures("holding")
async def test_control_one_that_waits_for_longer_holds_everybody_up(
    world: World, exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "LOCK_MS_MAX", 2_000)

    assert await seconds_for_a_key(world, exchange) > 1.0


async def test_who_holds_the_keys_puts_it_off_and_no_kek_is_made_in_vain(
    exchange: Exchange, holding: Owner, kek_file: Path
) -> None:
    with pytest.raises(KeysHeld):
        await service.begin(exchange.rekeyer, now=exchange.at)
    await holding.execute("SELECT pg_advisory_unlock_shared(7242003)")
    await service.begin(exchange.rekeyer, now=exchange.at)
    exchange.at += SETTLES
    await holding.execute("SELECT pg_advisory_lock_shared(7242003)")

    with pytest.raises(KeysHeld):
        await exchange.due()

    assert not next_of(kek_file).exists()
    await holding.execute("SELECT pg_advisory_unlock_shared(7242003)")
    assert await exchange.due() is not None


async def test_daily_it_begins_though_nobody_was_ever_erased(exchange: Exchange) -> None:
    exchange.at += AT_LEAST_EVERY - SETTLES
    assert await exchange.due() is None
    exchange.at += SETTLES

    assert await exchange.due() is not None


async def pepper_ids(keys_owner: Owner) -> list[UUID]:
    return [one.pepper_id for one in await peppers(keys_owner)]


async def test_with_the_clock_set_back_it_is_the_old_pepper_that_goes(
    exchange: Exchange, keys_owner: Owner
) -> None:
    (old,) = await pepper_ids(keys_owner)
    exchange.at = NOW - timedelta(minutes=30)
    await service.begin(exchange.rekeyer, now=exchange.at)
    new, second = await pepper_ids(keys_owner)
    assert second == old

    await exchange.whole()

    assert await pepper_ids(keys_owner) == [new]


async def test_with_the_clock_set_back_one_follows_and_then_all_is_as_ever(
    exchange: Exchange, databases: Databases
) -> None:
    exchange.at = NOW + 1_000 * HOUR
    await exchange.whole()
    exchange.at = NOW

    begun = await exchange.due()

    assert begun is not None
    exchange.at += SETTLES
    done = await exchange.due()
    assert done is not None
    standing = await service.standing(databases.keys)
    assert standing.last is not None
    assert (done.rekeying_id, standing.last.rekeying_id) == (begun.rekeying_id, begun.rekeying_id)
    exchange.at += HOUR
    assert await exchange.due() is None


async def test_with_the_clock_set_back_meanwhile_it_goes_on(exchange: Exchange) -> None:
    await service.begin(exchange.rekeyer, now=exchange.at)
    exchange.at -= 1_000 * HOUR

    done = await exchange.due()

    assert done is not None
    assert done.ended_at is not None


async def test_a_damaged_data_key_is_left_as_it_is_and_told(
    world: World, exchange: Exchange, keys_owner: Owner
) -> None:
    item = await sealed_phone(world, world.driver.member_id)
    member_id = await add_member(world.vault, world.pool, world.company_id, role="dispatcher")
    await keys_owner.execute(
        r"UPDATE data_key SET wrapped = overlay(wrapped placing '\x0000' from 20)"
        " WHERE subject_id = $1",
        member_id,
    )
    there = await keys_owner.fetchval("SELECT count(*) FROM data_key")

    with capture_logs() as logs:
        done = await exchange.whole()

    assert done.keys == there - 1
    assert logs == [
        {
            "event": "data_keys_damaged",
            "log_level": "error",
            "company": str(world.company_id),
            "count": 1,
        }
    ]
    world.vault.forget(world.company_id, world.driver.member_id)
    assert await world.vault.open_texts(world.company_id, [item]) == [PHONE]
