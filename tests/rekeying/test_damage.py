"""Keys that cannot be unwrapped: how many is told, and no KEK is destroyed that might mend them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

import asyncpg
import pytest

from server.kek.disk import next_of
from server.kek.key_file import FileKek, KeyFile, load
from server.kek.model import Bound, KekUnusable
from server.kek.places import KekAt, keks_at
from server.kit.db import Pool
from server.rekeying import command, damage, under_kek
from server.rekeying.under_kek import Kept, KeysUnreadable
from server.vault.opening import open_vault
from tests.conftest import Databases
from tests.kek.files import bytes_below
from tests.kek.sealing import PHONE, sealed_phone
from tests.rekeying.conftest import Exchange
from tests.world import NOW, World, add_company, add_member

Owner: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

CHANGE = r"UPDATE %s SET wrapped = overlay(wrapped placing '\x0000' from 20) WHERE "


async def told(dsn: str, kek: Path) -> list[str]:
    """Return what ``jolda keys status`` says of damage."""
    said: list[str] = []
    keks = partial(keks_at, KekAt(file=kek), may_make=False)
    await command.tell_status(dsn, keks, say=said.append)
    return said[2:-2]


@pytest.mark.usefixtures("world")
async def test_where_nothing_is_damaged_that_is_said(databases: Databases, kek_file: Path) -> None:
    assert await told(databases.keys, kek_file) == ["Each of them can be used."]


async def test_damaged_data_keys_are_counted_by_company(
    world: World,
    databases: Databases,
    keys_owner: Owner,
    kek_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(damage, "BATCH", 2)
    other = await add_company(world.vault, world.owner)
    await add_member(world.vault, world.pool, other, role="dispatcher")
    member_id = await add_member(world.vault, world.pool, world.company_id, role="dispatcher")
    await sealed_phone(world, member_id)
    whole = await keys_owner.fetchval(
        "SELECT count(*) FROM data_key WHERE subject_id = $1", member_id
    )
    assert whole > 1

    await keys_owner.execute(CHANGE % "data_key" + "subject_id = $1", member_id)

    (sentence,) = await told(databases.keys, kek_file)
    assert sentence == (
        f"{whole} data keys of the company {world.company_id} cannot be unwrapped: what was sealed "
        "with them cannot be read. All others go on as ever."
    )


async def test_a_damaged_company_key_is_named_and_holds_the_exchange_until_it_is_mended(
    world: World, exchange: Exchange, databases: Databases, keys_owner: Owner, kek_file: Path
) -> None:
    item = await sealed_phone(world, world.driver.member_id)
    other = await add_company(world.vault, world.owner)
    kek = bytes_below(kek_file.parent)
    before = await keys_owner.fetchval(
        "SELECT wrapped FROM company_key WHERE company_id = $1", other
    )
    await keys_owner.execute(CHANGE % "company_key" + "company_id = $1", other)

    with pytest.raises(KeysUnreadable, match=f"in the key database: company key {other}. No keys"):
        await exchange.whole()

    (sentence,) = await told(databases.keys, kek_file)
    assert sentence.startswith(f"The key of the company {other} cannot be unwrapped: nothing of")
    assert bytes_below(kek_file.parent) == kek
    # A backup of the keys from before has the row, and the KEK still is the one that opens it.
    await keys_owner.execute(
        "UPDATE company_key SET wrapped = $2 WHERE company_id = $1", other, before
    )
    assert await exchange.due() is not None
    assert await told(databases.keys, kek_file) == ["Each of them can be used."]
    assert await world.vault.open_texts(world.company_id, [item]) == [PHONE]


async def test_a_damaged_pepper_and_signing_key_are_told(
    world: World,  # noqa: ARG001 - made both
    databases: Databases,
    keys_owner: Owner,
    kek_file: Path,
) -> None:
    for table in ("pepper", "signing_key"):
        await keys_owner.execute(CHANGE % table + "true")

    assert await told(databases.keys, kek_file) == [
        f"1 {name} cannot be unwrapped. {command.MEND}" for name in ("pepper", "signing key")
    ]


@pytest.mark.usefixtures("world")
async def test_without_the_kek_the_rest_is_told(databases: Databases, tmp_path: Path) -> None:
    (sentence,) = await told(databases.keys, tmp_path / "kek")

    assert sentence.startswith("Whether each of them can be used is not known: The KEK file ")
    assert not (tmp_path / "kek").exists()


@pytest.mark.usefixtures("empty")
async def test_an_empty_key_database_is_told(databases: Databases, tmp_path: Path) -> None:
    said: list[str] = []
    keks = partial(keks_at, KekAt(file=tmp_path / "kek"), may_make=False)

    await command.tell_status(databases.keys, keks, say=said.append)

    assert said == ["The key database is empty: no key was ever made."]


async def test_an_exchange_that_ends_meanwhile_is_no_damage(
    world: World,  # noqa: ARG001 - has the keys
    exchange: Exchange,
    databases: Databases,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is destroyed while it is looked opens nothing, and was whole."""
    each_secret = under_kek.each_secret
    looks = 0

    async def late(kek: FileKek, kept: Sequence[Kept]) -> list[bytes | None]:
        nonlocal looks
        looks += 1
        if looks > 1:
            return await each_secret(kek, kept)
        with monkeypatch.context() as patch:
            patch.setattr(under_kek, "each_secret", each_secret)
            await exchange.whole()
        return [None for _ in kept]  # as OpenBao answers of a version that is gone

    monkeypatch.setattr(under_kek, "each_secret", late)

    assert not await damage.look(databases.keys, exchange.rekeyer.keks)
    assert looks == 2


@dataclass(frozen=True, slots=True)
class Careless(FileKek):
    """Wraps so that nothing opens it again."""

    async def wrap(self, keys: Sequence[Bound]) -> list[bytes]:
        return await FileKek.wrap(self, [replace(one, aad=b"elsewhere") for one in keys])


@dataclass(frozen=True, slots=True, kw_only=True)
class CarelessFile(KeyFile):
    async def follow(self) -> FileKek:
        new = await KeyFile.follow(self)
        return Careless(new.kek_id, new._cipher)  # noqa: SLF001 - the same key


@pytest.fixture
async def careless(exchange: Exchange, kek_file: Path) -> Exchange:
    exchange.rekeyer = replace(exchange.rekeyer, keks=CarelessFile(path=kek_file))
    return exchange


async def test_what_a_new_kek_does_not_open_is_not_wrapped_by_it(
    world: World, careless: Exchange, kek_file: Path, keys_pool: Pool
) -> None:
    item = await sealed_phone(world, world.driver.member_id)

    with pytest.raises(KeysUnreadable):
        await careless.whole()

    vault = await open_vault(keys_pool, load(kek_file), NOW)
    assert await vault.open_texts(world.company_id, [item]) == [PHONE]
    careless.rekeyer = replace(careless.rekeyer, keks=load(kek_file))
    assert await careless.due() is not None


async def wrap_unseen(kek: FileKek, kept: Sequence[Kept], secrets: Sequence[bytes]) -> list[Kept]:
    """Wrap, and do not look whether it opens."""
    bound = [Bound(secret, one.aad) for one, secret in zip(kept, secrets, strict=True)]
    wrapped = await kek.wrap(bound)
    return [replace(one, wrapped=anew) for one, anew in zip(kept, wrapped, strict=True)]


async def test_no_kek_is_destroyed_while_the_one_in_force_does_not_open_everything(
    careless: Exchange, kek_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also a control: had nobody looked what was wrapped, nothing would be read any more."""
    old = await load(kek_file).in_force(None)
    monkeypatch.setattr(under_kek, "wrap", wrap_unseen)

    with pytest.raises(KeysUnreadable):
        await careless.whole()

    assert (await load(kek_file).in_force(None)).kek_id == old.kek_id
    next_of(kek_file).unlink()


async def test_control_who_looks_at_neither_destroys_the_only_kek(
    careless: Exchange, kek_file: Path, keys_pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = await load(kek_file).in_force(None)

    async def unseen(kek: FileKek, kept: Sequence[Kept]) -> list[bytes]:
        found = await under_kek.each_secret(kek, kept)
        return [b"" if one is None else one for one in found]

    monkeypatch.setattr(under_kek, "wrap", wrap_unseen)
    monkeypatch.setattr(under_kek, "secrets_of", unseen)

    await careless.whole()

    assert (await load(kek_file).in_force(None)).kek_id != old.kek_id
    with pytest.raises(KekUnusable):
        await open_vault(keys_pool, load(kek_file), NOW)


def moved(kek_file: Path) -> None:
    """Let the one in force be where the next is to lie, and another in its place."""
    kek_file.rename(next_of(kek_file))
    load(kek_file)


async def test_one_in_force_that_lies_where_the_next_is_to_lie_is_not_destroyed(
    world: World, exchange: Exchange, kek_file: Path, keys_pool: Pool
) -> None:
    """A folder that was copied in the middle of an exchange, and put back after its end."""
    item = await sealed_phone(world, world.driver.member_id)
    moved(kek_file)
    await open_vault(keys_pool, exchange.rekeyer.keks, NOW)  # it is found there

    await exchange.whole()

    vault = await open_vault(keys_pool, load(kek_file), NOW)
    assert await vault.open_texts(world.company_id, [item]) == [PHONE]
    assert not next_of(kek_file).exists()
