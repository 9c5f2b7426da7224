"""After an exchange of keys the living open as before, and destroyed keys are closed in old copies.

Each rule has its control: the same check, with the guard that keeps the rule taken away.
"""

import asyncio
import secrets
from collections.abc import Coroutine
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TypeAlias
from uuid import UUID

import asyncpg
import pytest

from server.kek.disk import next_of
from server.kek.key_file import FileKek, KeyFile, load
from server.kek.model import Bound, Keks, KekUnusable
from server.kit.db import Connection, Pool
from server.kit.ids import uuid7
from server.rekeying import service, store
from server.rekeying.model import SETTLES
from server.vault import store as vault_store
from server.vault.model import Category, SealedText, WrappedKey
from server.vault.opening import open_vault
from server.vault.service import Vault
from server.vault.wrapping import company_aad
from tests.conftest import Databases
from tests.rekeying.attacker import Copy, copied, keys_opened, peppers_opened
from tests.rekeying.conftest import HOUR, Exchange
from tests.world import NOW, World, add_member

Owner: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


async def sealed_phone(world: World, member_id: UUID) -> SealedText:
    sealed = await world.vault.seal_text(
        world.company_id,
        member_id,
        Category.CONTACT,
        "+7 701 000 00 00",
        row_id=member_id,
        schema="member.phone",
        now=NOW,
    )
    return SealedText(sealed=sealed, row_id=member_id, schema="member.phone")


async def in_a_new_process(keys_pool: Pool, kek_file: Path) -> Vault:
    return await open_vault(keys_pool, load(kek_file), NOW)


async def test_what_the_living_have_opens_as_before(
    world: World, exchange: Exchange, keys_pool: Pool, kek_file: Path
) -> None:
    item = await sealed_phone(world, world.driver.member_id)
    elsewhere = await in_a_new_process(keys_pool, kek_file)

    done = await exchange.whole()

    assert done.companies == 1
    assert done.keys is not None
    assert done.keys >= 1
    for vault in (world.vault, elsewhere, await in_a_new_process(keys_pool, kek_file)):
        vault.forget(world.company_id, world.driver.member_id)
        assert await vault.open_texts(world.company_id, [item]) == ["+7 701 000 00 00"]
    assert world.vault.sign(b"said") == elsewhere.sign(b"said")


async def closed(world: World, old: Copy, exchange: Exchange) -> bool:
    """Erase the driver's keys, exchange, and try everything of today on the old copy."""
    key = await world.vault.key(world.company_id, world.driver.member_id, Category.TRACK, at=NOW)
    await world.vault.destroy(world.company_id, world.driver.member_id, NOW)
    await exchange.whole()
    opened = await keys_opened(old, exchange.keys_owner, exchange.rekeyer.keks)
    return key.key_id not in opened


async def old_copy(world: World, keys_owner: Owner) -> Copy:
    await world.vault.key(world.company_id, world.driver.member_id, Category.TRACK, at=NOW)
    return await copied(keys_owner)


async def test_an_old_copy_and_every_key_of_today_open_nothing_of_the_erased(
    world: World, exchange: Exchange, keys_owner: Owner
) -> None:
    assert await closed(world, await old_copy(world, keys_owner), exchange)


async def test_control_before_the_exchange_the_old_copy_opens(
    world: World, keys_owner: Owner, keks: Keks
) -> None:
    old = await old_copy(world, keys_owner)
    key = await world.vault.key(world.company_id, world.driver.member_id, Category.TRACK, at=NOW)

    await world.vault.destroy(world.company_id, world.driver.member_id, NOW)

    assert key.key_id in await keys_opened(old, keys_owner, keks)


async def test_control_with_the_kek_alone_exchanged_the_old_copy_opens(
    world: World, exchange: Exchange, keys_owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = await old_copy(world, keys_owner)
    kek = await exchange.rekeyer.keks.in_force(None)
    (company_key,) = [
        (await kek.unwrap([Bound(wrapped, company_aad(company_id))]))[0]
        for company_id, wrapped in old.companies.items()
    ]
    monkeypatch.setattr(secrets, "token_bytes", lambda _bytes: company_key)

    assert not await closed(world, old, exchange)


async def test_control_with_the_companys_key_alone_exchanged_the_old_copy_opens(
    world: World, exchange: Exchange, keys_owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = await old_copy(world, keys_owner)

    async def the_same(keks: KeyFile) -> FileKek:
        return await keks.in_force(None)

    monkeypatch.setattr(KeyFile, "follow", the_same)

    assert not await closed(world, old, exchange)


@pytest.mark.proves("relog-driver-manager-apps:2.1.1")
async def test_no_pepper_of_today_is_one_of_the_old_copys(
    world: World, exchange: Exchange, keys_owner: Owner, keks: Keks
) -> None:
    old = await copied(keys_owner)
    before = await peppers_opened(old, keys_owner, keks)
    assert len(before) == 1

    await exchange.whole()

    after = await peppers_opened(old, keys_owner, keks)
    assert len(after) == 1
    assert after.isdisjoint(before)
    await world.vault.renew()
    assert set(world.vault._peppers) == after  # noqa: SLF001 - what lies in memory


async def test_while_the_pepper_is_exchanged_log_ins_are_found_under_both(
    world: World, exchange: Exchange
) -> None:
    (before,) = world.vault.blind_indexes("phone", "+77010000000")
    begun = await exchange.due()
    assert begun is None
    await service.begin(exchange.rekeyer, now=exchange.at)

    await world.vault.renew()

    new, old = world.vault.blind_indexes("phone", "+77010000000")
    assert old == before
    assert new == world.vault.blind_index("phone", "+77010000000")
    exchange.at += SETTLES
    await exchange.due()
    await world.vault.renew()
    assert world.vault.blind_indexes("phone", "+77010000000") == (new,)


async def test_log_ins_are_indexed_anew_once_every_process_knows_the_new_pepper(
    exchange: Exchange,
) -> None:
    indexed = 0

    async def index() -> None:
        nonlocal indexed
        indexed += 1

    exchange.rekeyer = replace(exchange.rekeyer, reindex=index)
    await service.begin(exchange.rekeyer, now=exchange.at)
    exchange.at += SETTLES / 2
    waits = await exchange.due()
    assert waits is not None
    assert (indexed, waits.exchanged_at) == (0, None)

    exchange.at += SETTLES / 2
    done = await exchange.due()

    assert done is not None
    assert (indexed, done.exchanged_at) == (1, exchange.at)


PLACES = ("begun", "reindexed", "exchanged", "followed", "wrapping", "wrapped", "ended")


class Crash(Exception):
    """The process died here."""


@pytest.mark.parametrize("place", PLACES)
async def test_after_a_crash_anywhere_it_goes_on_and_everything_holds(
    world: World,
    exchange: Exchange,
    keys_owner: Owner,
    keys_pool: Pool,
    kek_file: Path,
    place: str,
) -> None:
    member_id = await add_member(world.vault, world.pool, world.company_id, role="dispatcher")
    item = await sealed_phone(world, member_id)
    old = await old_copy(world, keys_owner)
    erased = await world.vault.key(world.company_id, world.driver.member_id, Category.TRACK, at=NOW)
    await world.vault.destroy(world.company_id, world.driver.member_id, NOW)

    def crash(here: str) -> None:
        if here == place:
            raise Crash

    exchange.rekeyer = replace(exchange.rekeyer, failpoint=crash)
    with pytest.raises(Crash):
        await exchange.whole()
    # Between the crash and the next start everybody is served.
    vault = await in_a_new_process(keys_pool, kek_file)
    assert await vault.open_texts(world.company_id, [item]) == ["+7 701 000 00 00"]

    exchange.rekeyer = replace(exchange.rekeyer, failpoint=lambda _place: None)
    first = await exchange.due()
    exchange.at += SETTLES
    second = await exchange.due()

    assert any(one is not None and one.ended_at is not None for one in (first, second))
    vault = await in_a_new_process(keys_pool, kek_file)
    assert await vault.open_texts(world.company_id, [item]) == ["+7 701 000 00 00"]
    assert erased.key_id not in await keys_opened(old, keys_owner, load(kek_file))
    assert not next_of(kek_file).exists()
    assert await keys_owner.fetchval("SELECT count(*) FROM pepper") == 1
    assert await service.ended_at(keys_pool, world.company_id, world.driver.member_id) is not None


async def key_made_meanwhile(world: World, exchange: Exchange) -> bool:
    """Make a key while all others are being wrapped; tell whether it can be used afterwards."""
    making: list[asyncio.Task[object]] = []
    member_id = await add_member(world.vault, world.pool, world.company_id, role="dispatcher")

    def make() -> Coroutine[None, None, object]:
        return world.vault.key(world.company_id, member_id, Category.REPORT, at=NOW)

    async def slowly(
        conn: Connection, company_id: UUID, *, after: UUID, limit: int
    ) -> list[WrappedKey]:
        found = await data_keys(conn, company_id, after=after, limit=limit)
        if not found:
            # All data keys were read: one that is made now is not among them.
            making.append(asyncio.create_task(make()))
            await asyncio.sleep(0.2)
        return found

    data_keys = store.data_keys
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "data_keys", slowly)
        await exchange.whole()
    await asyncio.wait(making)
    world.vault.forget(world.company_id, member_id)
    try:
        await make()
    except KekUnusable:
        return False
    return True


async def test_a_key_that_is_made_meanwhile_can_be_used(world: World, exchange: Exchange) -> None:
    assert await key_made_meanwhile(world, exchange)


async def test_control_a_key_made_without_waiting_is_lost(
    world: World, exchange: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def at_once(_conn: object) -> None:
        """Wait for nobody."""

    monkeypatch.setattr(vault_store, "wait_for_rewrapping", at_once)

    assert not await key_made_meanwhile(world, exchange)


async def test_one_who_was_erased_after_it_began_is_left_to_the_next(
    world: World, exchange: Exchange, keys_pool: Pool
) -> None:
    driver = world.company_id, world.driver.member_id
    await service.begin(exchange.rekeyer, now=exchange.at)
    await world.vault.destroy(*driver, NOW)
    await exchange.whole()
    assert await service.ended_at(keys_pool, *driver) is None

    exchange.at += HOUR
    await exchange.due()
    exchange.at += SETTLES
    done = await exchange.due()

    assert done is not None
    assert await service.ended_at(keys_pool, *driver) == done.ended_at == exchange.at


async def test_a_process_that_asks_for_nothing_drops_the_old_kek(
    exchange: Exchange, keys_pool: Pool, kek_file: Path
) -> None:
    idle = await in_a_new_process(keys_pool, kek_file)
    before = idle._kek.kek_id  # noqa: SLF001 - what lies in memory

    await exchange.whole()
    await idle.renew()

    assert idle._kek.kek_id != before  # noqa: SLF001 - what lies in memory
    assert idle._kek.kek_id == (await load(kek_file).in_force(None)).kek_id  # noqa: SLF001


async def test_a_company_made_by_a_process_of_before_can_be_used(
    exchange: Exchange, keys_pool: Pool, kek_file: Path
) -> None:
    of_before = await in_a_new_process(keys_pool, kek_file)
    await exchange.whole()
    company_id = uuid7()

    await of_before.create_company(company_id, NOW)

    vault = await in_a_new_process(keys_pool, kek_file)
    assert (await vault.key(company_id, company_id, Category.PLAN, at=NOW)).company_id == company_id


async def test_two_exchanges_never_run_at_once(exchange: Exchange, databases: Databases) -> None:
    conn = await asyncpg.connect(databases.keys)
    try:
        assert await store.try_lock(conn)

        assert await service.begin(exchange.rekeyer, now=exchange.at) is None
        assert await exchange.due() is None
    finally:
        await conn.close()


async def test_it_ended_when_the_kek_was_destroyed_and_not_when_it_was_gone_on_with(
    exchange: Exchange,
) -> None:
    """A certificate names that time; to wrap many keys takes minutes."""
    seconds = 0.0

    def a_minute_later(_place: str) -> None:
        nonlocal seconds
        seconds += 60.0

    exchange.rekeyer = replace(
        exchange.rekeyer, failpoint=a_minute_later, monotonic=lambda: seconds
    )
    done = await exchange.whole()

    assert done.ended_at is not None
    assert done.wrapped_at is not None
    assert done.ended_at >= done.wrapped_at + timedelta(minutes=3)
    standing = await service.standing(exchange.rekeyer.keys_dsn)
    assert standing.last == done
