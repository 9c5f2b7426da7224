import asyncio
import time
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from cryptography.exceptions import InvalidTag

from server.kit.db import Pool
from server.kit.ids import uuid7
from server.vault.kek import KekUnusable, load
from server.vault.model import Category, SealedText, SubjectErased
from server.vault.service import EVICT_EVERY_S, Vault, evicting, open_vault
from tests import running
from tests.world import NOW, World


async def test_what_was_sealed_opens_in_another_process(
    world: World, keys_pool: Pool, kek_file: Path
) -> None:
    key = await world.vault.key(world.company_id, world.driver.member_id, Category.TRACK, at=NOW)
    sealed = key.seal(b"51.5,-0.12", row_id=b"row", schema="chunk")
    other = await open_vault(keys_pool, load(kek_file), NOW)

    again = (await other.keys(world.company_id, [key.key_id]))[key.key_id]

    assert again.open(sealed, row_id=b"row", schema="chunk") == b"51.5,-0.12"
    assert again.mac(b"body") == key.mac(b"body")


@pytest.mark.parametrize(("row_id", "schema"), [(b"other", "chunk"), (b"row", "other")])
async def test_a_value_moved_elsewhere_does_not_open(
    world: World, row_id: bytes, schema: str
) -> None:
    key = await world.vault.key(world.company_id, world.driver.member_id, Category.TRACK, at=NOW)
    sealed = key.seal(b"secret", row_id=b"row", schema="chunk")

    with pytest.raises(InvalidTag):
        key.open(sealed, row_id=row_id, schema=schema)


async def test_tracks_have_a_key_a_month_and_live_a_key_a_day(world: World) -> None:
    async def key_id(category: Category, days: int) -> object:
        at = NOW + timedelta(days=days)
        key = await world.vault.key(world.company_id, world.driver.member_id, category, at=at)
        return key.key_id

    assert await key_id(Category.TRACK, 0) == await key_id(Category.TRACK, 1)
    assert await key_id(Category.TRACK, 0) != await key_id(Category.TRACK, 20)
    assert await key_id(Category.LIVE, 0) != await key_id(Category.LIVE, 1)


async def test_a_destroyed_subject_opens_nothing_and_gets_no_new_key(
    world: World, keys_pool: Pool, kek_file: Path
) -> None:
    member_id = world.driver.member_id
    sealed = await world.vault.seal_text(
        world.company_id,
        member_id,
        Category.CONTACT,
        "+7 701 000 00 00",
        row_id=member_id,
        schema="member.phone",
        now=NOW,
    )
    item = SealedText(sealed=sealed, row_id=member_id, schema="member.phone")
    before = await world.vault.open_texts(world.company_id, [item])

    destroyed = await world.vault.destroy(world.company_id, member_id, NOW)

    assert before == ["+7 701 000 00 00"]
    assert destroyed > 0
    other = await open_vault(keys_pool, load(kek_file), NOW)
    for vault in (world.vault, other):
        assert await vault.open_texts(world.company_id, [item]) == [None]
        with pytest.raises(SubjectErased):
            await vault.key(world.company_id, member_id, Category.TRACK, at=NOW)
    assert await world.vault.destroy(world.company_id, member_id, NOW) == 0


class Seconds:
    """A monotonic clock that stands still until it is moved."""

    at = 0.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
async def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
async def timed(world: World, keys_pool: Pool, kek_file: Path, seconds: Seconds) -> Vault:
    return Vault(keys_pool, load(kek_file), world.vault._pepper, monotonic=seconds)  # noqa: SLF001 - the same pepper


def held(vault: Vault) -> set[UUID]:
    """Return the keys that lie unwrapped in memory, whether or not they are still used."""
    by_id, by_period = vault._by_id, vault._by_period  # noqa: SLF001 - what lies in memory
    assert {key.key_id for _, key in by_period.values()} <= {key_id for _, key_id in by_id}
    return {key_id for _, key_id in by_id}


async def test_unwrapped_keys_are_used_for_a_minute_at_most(
    world: World, timed: Vault, seconds: Seconds
) -> None:
    key = await timed.key(world.company_id, world.driver.member_id, Category.TRACK, at=NOW)
    await world.vault.destroy(world.company_id, world.driver.member_id, NOW)

    assert key.key_id in await timed.keys(world.company_id, [key.key_id])
    seconds.at = 60.0
    assert await timed.keys(world.company_id, [key.key_id]) == {}


async def test_unwrapped_keys_leave_memory_although_nobody_asks_for_them(
    world: World, timed: Vault, seconds: Seconds
) -> None:
    member_id = world.driver.member_id
    old = await timed.key(world.company_id, member_id, Category.TRACK, at=NOW)
    seconds.at = 30.0
    new = await timed.key(world.company_id, member_id, Category.LIVE, at=NOW)
    assert held(timed) == {old.key_id, new.key_id}

    async with evicting(timed, every_s=0.01):
        seconds.at = 60.0 - EVICT_EVERY_S
        await asyncio.sleep(0.1)
        assert held(timed) == {new.key_id}
        seconds.at = 90.0
        await asyncio.sleep(0.1)
        assert held(timed) == set()


async def test_unwrapped_keys_also_leave_when_another_is_fetched(
    world: World, timed: Vault, seconds: Seconds
) -> None:
    await timed.key(world.company_id, world.driver.member_id, Category.TRACK, at=NOW)
    seconds.at = 60.0

    new = await timed.key(world.company_id, world.driver.member_id, Category.LIVE, at=NOW)

    assert held(timed) == {new.key_id}


async def test_a_key_that_is_fetched_again_is_held_as_long_as_a_new_one(
    world: World, timed: Vault, seconds: Seconds
) -> None:
    member_id = world.driver.member_id
    first = await timed.key(world.company_id, member_id, Category.TRACK, at=NOW)
    seconds.at = 60.0
    second = await timed.key(world.company_id, member_id, Category.LIVE, at=NOW)
    again = await timed.key(world.company_id, member_id, Category.TRACK, at=NOW)
    assert again.key_id == first.key_id

    seconds.at = 100.0
    timed.evict()
    assert held(timed) == {first.key_id, second.key_id}
    timed.forget(world.company_id, member_id)
    assert held(timed) == set()


async def test_the_server_drops_keys_while_it_runs(server_dsn: str, tmp_path: Path) -> None:
    async with running.demo(server_dsn, tmp_path, driving=False) as demo:
        vault = demo.running.opened.vault
        assert held(vault) != set()

        vault._monotonic = lambda: time.monotonic() + 60.0  # noqa: SLF001 - a minute later
        await asyncio.sleep(1.5 * EVICT_EVERY_S)
        assert held(vault) == set()


async def test_another_kek_is_refused_with_a_clear_sentence(
    vault: Vault,  # noqa: ARG001 - makes the pepper
    keys_pool: Pool,
    tmp_path: Path,
) -> None:
    with pytest.raises(KekUnusable, match="another KEK"):
        await open_vault(keys_pool, load(tmp_path / "kek"), NOW)


async def test_the_same_phone_has_one_index_in_every_company(vault: Vault) -> None:
    first = vault.blind_index("phone", "+77010000000")

    assert first == vault.blind_index("phone", "+77010000000")
    assert first != vault.blind_index("phone", "+77010000001")
    assert first != vault.blind_index("email", "+77010000000")


async def test_keys_of_another_company_are_not_there(world: World) -> None:
    key = await world.vault.key(world.company_id, world.driver.member_id, Category.TRACK, at=NOW)
    world.vault.forget(world.company_id, world.driver.member_id)

    assert await world.vault.keys(uuid7(), []) == {}
    with pytest.raises(SubjectErased):
        await world.vault.keys(uuid7(), [key.key_id])
