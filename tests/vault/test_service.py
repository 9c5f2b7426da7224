from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag

from server.kit.db import Pool
from server.kit.ids import uuid7
from server.vault.kek import KekUnusable, load
from server.vault.model import Category, SealedText, SubjectErased
from server.vault.service import Vault, open_vault
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


@pytest.mark.proves("relog-service:2.3")
async def test_a_value_moved_to_another_company_does_not_open(world: World) -> None:
    key = await world.vault.key(world.company_id, world.driver.member_id, Category.TRACK, at=NOW)
    sealed = key.seal(b"secret", row_id=b"row", schema="chunk")

    assert key.open(sealed, row_id=b"row", schema="chunk") == b"secret"
    with pytest.raises(InvalidTag):
        replace(key, company_id=uuid7()).open(sealed, row_id=b"row", schema="chunk")


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
