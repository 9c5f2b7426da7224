"""The installation's signature: made once, the same in every process, opened by one KEK only."""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from server.kek.key_file import load
from server.kek.model import KekUnusable
from server.kit.db import Pool
from server.kit.ids import uuid7
from server.vault.model import LedgerWitness, verifies
from server.vault.opening import open_vault
from server.vault.service import Vault
from tests.world import NOW, World

if TYPE_CHECKING:
    import asyncpg


async def test_what_one_process_signs_another_verifies(
    vault: Vault, keys_pool: Pool, kek_file: Path
) -> None:
    other = await open_vault(keys_pool, load(kek_file), NOW)

    signature = vault.sign(b"receipt")

    public_key = other.public_keys()[vault.signing_key_id]
    assert other.signing_key_id == vault.signing_key_id
    assert verifies(public_key, signature, b"receipt")


@pytest.mark.parametrize("changed", range(64))
async def test_a_signature_with_one_byte_changed_is_none(vault: Vault, changed: int) -> None:
    signature = bytearray(vault.sign(b"receipt"))
    signature[changed] ^= 1

    public_key = vault.public_keys()[vault.signing_key_id]
    assert not verifies(public_key, bytes(signature), b"receipt")
    assert not verifies(public_key, vault.sign(b"receipt"), b"another")
    assert not verifies(public_key, b"", b"receipt")
    assert not verifies(b"short", vault.sign(b"receipt"), b"receipt")


async def test_a_changed_public_key_is_found_at_the_start(
    vault: Vault,  # noqa: ARG001 - makes the key
    keys_pool: Pool,
    kek_file: Path,
    keys_owner: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    await keys_owner.execute("UPDATE signing_key SET public_key = sha256(public_key)")

    with pytest.raises(KekUnusable, match="signing key"):
        await open_vault(keys_pool, load(kek_file), NOW)


async def test_another_kek_makes_no_signing_key(
    vault: Vault,  # noqa: ARG001 - makes the pepper
    keys_pool: Pool,
    tmp_path: Path,
    keys_owner: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    await keys_owner.execute("DELETE FROM signing_key")

    with pytest.raises(KekUnusable, match="another KEK"):
        await open_vault(keys_pool, load(tmp_path / "kek"), NOW)

    assert await keys_owner.fetchval("SELECT count(*) FROM signing_key") == 0


async def test_the_witness_of_a_ledger_only_goes_forward(world: World) -> None:
    later = LedgerWitness(index=7, hash=bytes(32))
    await world.vault.keep_witness(world.company_id, later, NOW)

    earlier = LedgerWitness(index=6, hash=b"x" * 32)
    await world.vault.keep_witness(world.company_id, earlier, NOW + timedelta(hours=1))

    assert await world.vault.witness(world.company_id) == later
    assert await world.vault.witness(uuid7()) is None
