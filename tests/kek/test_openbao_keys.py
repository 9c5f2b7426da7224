"""With the KEK in OpenBao: an exchange reaches old copies, and a gate closes without it.

Each rule has its control: the same check, with the guard that keeps the rule taken away.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias
from uuid import UUID

import asyncpg
import pytest

from server import databases as databases_of
from server.kek import engine
from server.kek.model import Bound, Keeping, Kek, KekGone, Keks
from server.kek.places import KekAt, TransitAt, keks_at
from server.kek.transit import TransitKek, TransitKeks
from server.kit.db import Pool
from server.rekeying.service import Rekeyer
from server.settings import Settings
from server.vault.model import Category
from server.vault.opening import open_vault
from server.vault.service import Vault
from tests.conftest import Databases
from tests.consent.acts import call, read_gate
from tests.consent.people import ALL, new_driver
from tests.endpoints import CONSENT
from tests.http import serve
from tests.kek.openbao import OpenBao
from tests.kek.sealing import PHONE, sealed_phone
from tests.rekeying.attacker import copied, keys_opened
from tests.rekeying.conftest import Exchange, nothing_to_index
from tests.world import NOW, World

Owner: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@pytest.fixture
async def keks(at: TransitAt, tmp_path: Path) -> AsyncIterator[Keks]:
    async with keks_at(KekAt(file=tmp_path / "no-kek", transit=at), may_make=True) as opened:
        yield opened


@pytest.fixture
async def vault(empty: None, keys_pool: Pool, keks: Keks) -> Vault:  # noqa: ARG001 - for its end
    return await open_vault(keys_pool, keks, NOW)


@pytest.fixture
def exchange(world: World, databases: Databases, keys_owner: Owner, keks: Keks) -> Exchange:  # noqa: ARG001 - has the keys
    rekeyer = Rekeyer(keys_dsn=databases.keys, keks=keks, reindex=nothing_to_index)
    return Exchange(rekeyer, keys_owner)


async def test_what_the_living_have_opens_after_an_exchange_in_every_process(
    world: World, exchange: Exchange, keys_pool: Pool, keks: Keks
) -> None:
    item = await sealed_phone(world, world.driver.member_id)
    elsewhere = await open_vault(keys_pool, keks, NOW)

    for _ in range(2):
        done = await exchange.whole()
        assert done.companies == 1
        for vault in (world.vault, elsewhere, await open_vault(keys_pool, keks, NOW)):
            vault.forget(world.company_id, world.driver.member_id)
            assert await vault.open_texts(world.company_id, [item]) == [PHONE]
        assert world.vault.sign(b"said") == elsewhere.sign(b"said")


@dataclass(frozen=True, slots=True)
class Every:
    """Every version that OpenBao still has, for whoever tries them all."""

    keks: TransitKeks

    @property
    def kept_in(self) -> frozenset[Keeping]:
        return self.keks.kept_in

    async def refuse_other(self, _installation_id: UUID | None) -> None:
        raise NotImplementedError

    async def claim(self, _installation_id: UUID) -> None:
        raise NotImplementedError

    async def disclaim(self) -> None:
        raise NotImplementedError

    def alone(self) -> AbstractAsyncContextManager[None]:
        raise NotImplementedError

    async def in_force(self, _kek_id: bytes | None) -> Kek:
        return self

    async def follow(self) -> Kek:
        raise NotImplementedError

    async def end_others(self, _kek_id: bytes) -> bool:
        raise NotImplementedError

    @property
    def kek_id(self) -> bytes:
        return b""

    async def wrap(self, keys: Sequence[Bound]) -> list[bytes]:
        raise NotImplementedError

    async def unwrap(self, wrapped: Sequence[Bound]) -> list[bytes]:
        named = await self.keks._named()  # noqa: SLF001 - all of them
        for version in named.versions:
            try:
                return await self.keks._kek(version).unwrap(wrapped)  # noqa: SLF001
            except KekGone:
                continue
        raise KekGone


async def closed(world: World, exchange: Exchange, keks: Keks) -> bool:
    """Copy the keys, erase the driver's, exchange, and try every key of today on the copy."""
    assert isinstance(keks, TransitKeks)
    driver = world.company_id, world.driver.member_id
    key = await world.vault.key(*driver, Category.TRACK, at=NOW)
    old = await copied(exchange.keys_owner)
    assert key.key_id in await keys_opened(old, exchange.keys_owner, Every(keks))
    await world.vault.destroy(*driver, NOW)

    await exchange.whole()

    return key.key_id not in await keys_opened(old, exchange.keys_owner, Every(keks))


async def test_an_old_copy_and_all_that_openbao_has_open_nothing_of_the_erased(
    world: World, exchange: Exchange, keks: Keks
) -> None:
    assert await closed(world, exchange, keks)


async def test_control_with_the_old_version_left_the_old_copy_opens(
    world: World, exchange: Exchange, keks: Keks, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nobody(_keks: TransitKeks, _kek_id: bytes) -> bool:
        return False

    monkeypatch.setattr(TransitKeks, "end_others", nobody)

    assert not await closed(world, exchange, keks)


async def test_control_with_the_same_version_for_all_the_old_copy_opens(
    world: World, exchange: Exchange, keks: Keks, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def the_same(keks: TransitKeks) -> TransitKek:
        return await keks.in_force(None)

    monkeypatch.setattr(TransitKeks, "follow", the_same)

    # The companies' keys are others: what the copy has of them is still opened by this version.
    assert not await closed(world, exchange, keks)


async def test_with_openbao_away_a_withdrawal_still_closes_the_gate(
    world: World, openbao: OpenBao, keys_pool: Pool, keks: Keks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "WITHIN_S_MAX", 0.5)
    driver = await new_driver(world, *ALL, on_shift=True)
    token = await world.driver_session(driver)
    # Holds no key, and cannot get one from here on.
    vault = await open_vault(keys_pool, keks, NOW)
    async with serve(replace(world, vault=vault), CONSENT) as client:
        with openbao.frozen():
            status, said = await call(client, token, "POST", "/v1/me/consents/location/withdraw")
            assert (status, said["state"]) == (200, "withdrawn")
            assert not (await read_gate(world, driver)).is_consented
            _, page = await call(client, token, "GET", "/v1/me/consents/records")

            # The control: what does need a key comes again later.
            receipt = f"/v1/me/consents/records/{page['items'][-1]['record_id']}/receipt"
            status, said = await call(client, token, "GET", receipt)
            assert (status, said["code"]) == (503, "unavailable")
            assert said["retry_after_s"] > 0
        while (await call(client, token, "GET", receipt))[0] == 503:
            pass
        assert (await call(client, token, "GET", receipt))[0] == 200


@pytest.mark.usefixtures("empty")
async def test_an_installation_starts_with_its_kek_in_openbao_and_again(
    databases: Databases, openbao: OpenBao, at: TransitAt, tmp_path: Path
) -> None:
    dsns = databases_of.Databases(main=databases.main, keys=databases.keys)
    settings = Settings(home=tmp_path, kek_file=tmp_path / "kek", kek_transit=at)

    async with databases_of.opened(dsns, settings, now=NOW) as opened:
        first = opened.vault.blind_index("phone", "+77010000000")
    async with databases_of.opened(dsns, settings, now=NOW) as opened:
        again = opened.vault.blind_index("phone", "+77010000000")

    assert first == again
    assert not settings.kek_file.exists()
    with pytest.raises(KekGone, match="has no key transit/key-"):
        async with databases_of.opened(
            dsns, replace(settings, kek_transit=openbao.named(tmp_path)), now=NOW
        ):
            pytest.fail("opened")
