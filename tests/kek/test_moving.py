"""A KEK is moved from its file into OpenBao by the next exchange, whatever comes between."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import asyncpg
import pytest

from server.kek.disk import next_of
from server.kek.key_file import KeyFile, load
from server.kek.model import Keeping, Keks, KekUnusable
from server.kek.places import KekAt, Moving, TransitAt, keks_at
from server.kek.transit import TransitKeks
from server.kit.db import Pool
from server.rekeying.service import Rekeyer
from server.vault.model import SealedText
from server.vault.opening import open_vault
from tests.conftest import Databases
from tests.kek.openbao import OpenBao
from tests.kek.sealing import PHONE, sealed_phone
from tests.rekeying.conftest import Exchange, nothing_to_index
from tests.world import NOW, World

Owner: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class Crash(Exception):
    """The process died here."""


@pytest.fixture
def kek_at(kek_file: Path, at: TransitAt, tmp_path: Path) -> KekAt:
    (tmp_path / "other").mkdir()
    return KekAt(file=kek_file, copy=tmp_path / "other" / "kek", transit=at)


@pytest.fixture
async def moving(world: World, kek_at: KekAt) -> AsyncIterator[Keks]:  # noqa: ARG001 - made with the file
    async with keks_at(kek_at, may_make=False) as keks:
        yield keks


@pytest.fixture
def exchange(databases: Databases, keys_owner: Owner, moving: Keks) -> Exchange:
    rekeyer = Rekeyer(keys_dsn=databases.keys, keks=moving, reindex=nothing_to_index)
    return Exchange(rekeyer, keys_owner)


async def test_it_says_what_keeps_the_kek_or_kept_the_one_before(
    kek_at: KekAt, moving: Keks, transit: TransitKeks
) -> None:
    async with keks_at(replace(kek_at, transit=None), may_make=False) as file:
        assert file.kept_in == {Keeping.FILE}
    assert transit.kept_in == {Keeping.TRANSIT}
    assert moving.kept_in == {Keeping.FILE, Keeping.TRANSIT}


@dataclass(frozen=True, slots=True)
class Reading:
    """Reads what was sealed before the move, as a process that begins now."""

    world: World
    item: SealedText
    keys_pool: Pool

    async def opens(self, keks: Keks) -> bool:
        vault = await open_vault(self.keys_pool, keks, NOW)
        return await vault.open_texts(self.world.company_id, [self.item]) == [PHONE]


@pytest.fixture
async def reading(world: World, keys_pool: Pool) -> Reading:
    return Reading(world, await sealed_phone(world, world.driver.member_id), keys_pool)


async def test_until_the_exchange_it_is_the_files_and_then_openbaos_alone(
    reading: Reading, exchange: Exchange, kek_at: KekAt
) -> None:
    assert isinstance(exchange.rekeyer.keks, Moving)
    assert await reading.opens(exchange.rekeyer.keks)
    assert await reading.opens(load(kek_at.file))
    assert kek_at.copy is not None
    assert kek_at.copy.read_bytes() == kek_at.file.read_bytes()

    await exchange.whole()

    assert [
        path for path in (kek_at.file, next_of(kek_at.file), kek_at.copy) if path.exists()
    ] == []
    # Who began before goes on, and who begins now has nothing but OpenBao.
    assert await reading.opens(exchange.rekeyer.keks)
    async with keks_at(kek_at, may_make=False) as keks:
        assert isinstance(keks, TransitKeks)
        assert await reading.opens(keks)
    await exchange.whole()
    assert await reading.opens(exchange.rekeyer.keks)


async def test_until_the_exchange_openbao_may_be_away(
    reading: Reading, exchange: Exchange, openbao: OpenBao
) -> None:
    with openbao.frozen():
        assert await reading.opens(exchange.rekeyer.keks)


@pytest.mark.parametrize("place", ["followed", "wrapping", "wrapped", "between", "ended"])
async def test_after_a_crash_anywhere_it_goes_on(
    reading: Reading,
    exchange: Exchange,
    kek_at: KekAt,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
) -> None:
    def crash(here: str) -> None:
        if here == place:
            raise Crash

    async def crash_between(_file: KeyFile) -> bool:
        raise Crash

    exchange.rekeyer = replace(exchange.rekeyer, failpoint=crash)
    with monkeypatch.context() as patch:
        if place == "between":
            patch.setattr(KeyFile, "end_all", crash_between)
        with pytest.raises(Crash):
            await exchange.whole()
    async with keks_at(kek_at, may_make=False) as keks:
        assert await reading.opens(keks)
        exchange.rekeyer = replace(exchange.rekeyer, keks=keks, failpoint=lambda _place: None)
        done = await exchange.due()

    assert done is not None
    assert done.ended_at is not None
    assert not kek_at.file.exists()
    async with keks_at(kek_at, may_make=False) as keks:
        assert isinstance(keks, TransitKeks)
        assert await reading.opens(keks)


async def test_after_a_crash_between_the_file_and_its_copy_the_copy_is_gone_too(
    reading: Reading, exchange: Exchange, kek_at: KekAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert kek_at.copy is not None
    old = kek_at.copy.read_bytes()

    def only_the_file(file: KeyFile) -> bool:
        file.path.unlink()
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(KeyFile, "_end_all", only_the_file)
        with pytest.raises(Crash):
            await exchange.whole()
    assert kek_at.copy.read_bytes() == old
    assert not kek_at.file.exists()

    async with keks_at(kek_at, may_make=False) as keks:
        assert await reading.opens(keks)
        exchange.rekeyer = replace(exchange.rekeyer, keks=keks)
        await exchange.due()

        assert not kek_at.copy.exists()
        assert await reading.opens(keks)


async def test_while_the_copy_is_away_nothing_is_moved(
    reading: Reading, exchange: Exchange, kek_at: KekAt
) -> None:
    assert kek_at.copy is not None
    kek_at.copy.rename(kek_at.copy.with_name("unplugged"))

    with pytest.raises(KekUnusable, match="is away"):
        await exchange.whole()

    assert await reading.opens(load(kek_at.file))
    kek_at.copy.with_name("unplugged").rename(kek_at.copy)
    assert await exchange.due() is not None
    assert not kek_at.copy.exists()


async def test_an_exchange_that_was_wrapped_before_the_move_ends_first(
    reading: Reading, databases: Databases, keys_owner: Owner, kek_at: KekAt
) -> None:
    def crash(here: str) -> None:
        if here == "wrapped":
            raise Crash

    before = Exchange(
        Rekeyer(
            keys_dsn=databases.keys,
            keks=load(kek_at.file),
            reindex=nothing_to_index,
            failpoint=crash,
        ),
        keys_owner,
    )
    with pytest.raises(Crash):
        await before.whole()
    assert next_of(kek_at.file).exists()

    async with keks_at(kek_at, may_make=False) as keks:
        rekeyer = Rekeyer(keys_dsn=databases.keys, keks=keks, reindex=nothing_to_index)
        after = Exchange(rekeyer, keys_owner, at=before.at)
        assert await after.due() is not None
        assert await reading.opens(load(kek_at.file, may_make=False))
        await after.whole()

        assert not kek_at.file.exists()
        assert not next_of(kek_at.file).exists()
        assert await reading.opens(keks)
