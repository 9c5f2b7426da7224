import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from cryptography.exceptions import InvalidTag

from server.kek.key_file import load
from server.kek.model import KekUnusable, KeyDamaged
from server.kit.db import Pool
from server.kit.ids import uuid7
from server.vault.model import Category, DataKey, SealedText, SubjectErased
from server.vault.opening import open_vault
from server.vault.service import Vault
from tests.world import NOW, World, add_member


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


@pytest.mark.proves("relog-service:2.3")
async def test_a_value_moved_to_another_company_does_not_open(world: World) -> None:
    key = await world.vault.key(world.company_id, world.driver.member_id, Category.TRACK, at=NOW)
    sealed = key.seal(b"secret", row_id=b"row", schema="chunk")

    assert key.open(sealed, row_id=b"row", schema="chunk") == b"secret"
    with pytest.raises(InvalidTag):
        replace(key, company_id=uuid7()).open(sealed, row_id=b"row", schema="chunk")


async def test_a_value_that_was_cut_short_does_not_open(world: World) -> None:
    key = await world.vault.key(world.company_id, world.driver.member_id, Category.TRACK, at=NOW)
    sealed = key.seal(b"secret", row_id=b"row", schema="chunk")

    for size in range(len(sealed)):
        with pytest.raises(InvalidTag):
            key.open(sealed[:size], row_id=b"row", schema="chunk")


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


@pytest.mark.proves("gocargo:protection")
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


@pytest.mark.parametrize(
    "change",
    [lambda wrapped: wrapped[:-1] + bytes([wrapped[-1] ^ 1]), lambda wrapped: wrapped[:5]],
    ids=["flipped", "cut"],
)
async def test_a_key_that_was_changed_is_refused_to_who_needs_it_and_to_nobody_else(
    world: World, keys_owner: "asyncpg.Connection[asyncpg.Record]", change: Callable[[bytes], bytes]
) -> None:
    other = await add_member(world.vault, world.pool, world.company_id, role="driver")
    member_ids = (world.driver.member_id, other)
    for member_id in member_ids:
        await world.vault.key(world.company_id, member_id, Category.TRACK, at=NOW)
        world.vault.forget(world.company_id, member_id)
    wrapped = await keys_owner.fetchval(
        "SELECT wrapped FROM data_key WHERE subject_id = $1 AND category = 'track'",
        world.driver.member_id,
    )
    await keys_owner.execute(
        "UPDATE data_key SET wrapped = $2 WHERE wrapped = $1", wrapped, change(wrapped)
    )

    keys = await asyncio.gather(
        *(
            world.vault.key(world.company_id, one, Category.TRACK, at=NOW)
            for one in (*member_ids, other)
        ),
        return_exceptions=True,
    )

    assert [type(one) for one in keys] == [KeyDamaged, DataKey, DataKey]
