"""The public keys of the installation: whoever holds a receipt needs nobody else to check it."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from aiohttp import ClientSession

from server.consent.model import ConsentItem
from server.kek.key_file import load
from server.kit import db
from server.kit.db import Pool
from server.kit.ids import uuid7
from server.ledger import documents
from server.ledger import service as ledger
from server.ledger.documents import KEYS_PATH, DocumentRefused
from server.ledger.model import checkpoint_statement
from server.receipts import verification
from server.rights.web import ENDPOINTS as RIGHTS
from server.vault.model import verifies
from server.vault.opening import open_vault
from tests.consent.acts import give
from tests.consent.people import new_driver
from tests.endpoints import CONSENT
from tests.http import bearer, serve
from tests.world import NOW, World


@pytest.fixture
async def client(world: World) -> AsyncIterator[ClientSession]:
    async with serve(world, CONSENT, RIGHTS) as opened:
        yield opened


async def published(client: ClientSession) -> list[dict[str, Any]]:
    answer = await client.get(KEYS_PATH)
    assert answer.status == 200
    items: list[dict[str, Any]] = (await answer.json())["items"]
    return items


async def downloaded(world: World, client: ClientSession) -> bytes:
    """Return a receipt as the driver gets it."""
    driver = await new_driver(world)
    given = await give(world, driver, ConsentItem.LOCATION)
    answer = await client.get(
        f"/v1/me/consents/records/{given.record_id}/receipt",
        headers=bearer(await world.driver_session(driver)),
    )
    assert answer.status == 200
    return await answer.read()


async def test_the_key_there_verifies_a_downloaded_receipt(
    world: World, client: ClientSession
) -> None:
    receipt = verification.read(await downloaded(world, client))

    [key] = await published(client)

    assert (key["algorithm"], key["signs"]) == ("Ed25519", True)
    assert key["key_id"] == receipt["proof"]["key_id"]
    # The same letters in both places: people compare them by eye.
    assert key["public_key"] == receipt["proof"]["public_key"]
    trusted = documents.read_public_key(key["public_key"].encode())
    verification.verify(receipt, trusted)
    with pytest.raises(DocumentRefused, match="another key"):
        verification.verify(receipt, bytes(32))


async def test_a_receipt_says_where_to_compare_its_key_and_names_no_host(
    world: World, client: ClientSession
) -> None:
    receipt = json.loads(await downloaded(world, client))

    method, path = receipt["proof"]["compare_with"].split()

    answer = await client.request(method, path)
    assert answer.status == 200
    assert path.startswith("/v1/")


async def test_the_key_there_verifies_a_checkpoint_of_the_ledger(
    world: World, client: ClientSession
) -> None:
    await give(world, await new_driver(world), ConsentItem.LOCATION)
    async with db.tenant(world.pool, world.company_id) as conn:
        await ledger.checkpoint(conn, world.vault, world.company_id, NOW)
    row = await world.owner.fetchrow("SELECT * FROM ledger_checkpoint ORDER BY index DESC LIMIT 1")
    assert row is not None
    statement = checkpoint_statement(world.company_id, row["index"], row["hash"], row["made_at"])

    keys = {one["key_id"]: bytes.fromhex(one["public_key"]) for one in await published(client)}

    key = keys[str(row["key_id"])]
    assert verifies(key, row["signature"], statement)
    assert not verifies(key, row["signature"], statement + b"x")


async def test_anybody_may_read_and_keep_them_for_an_hour(client: ClientSession) -> None:
    answer = await client.get(KEYS_PATH)

    assert answer.headers["Cache-Control"] == "public, max-age=3600"
    assert answer.content_type == "application/json"
    assert "Set-Cookie" not in answer.headers


async def test_a_key_that_no_longer_signs_stays_published(
    world: World,
    keys_pool: Pool,
    kek_file: Path,
    keys_owner: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    older, key_id = bytes(range(32)), uuid7()
    await keys_owner.execute(
        "INSERT INTO signing_key (key_id, public_key, kek_id, wrapped, created_at)"
        " SELECT $1, $2, kek_id, 'opened by nobody', created_at - interval '1 day'"
        "   FROM signing_key",
        key_id,
        older,
    )
    started_again = replace(world, vault=await open_vault(keys_pool, load(kek_file), NOW))

    async with serve(started_again, RIGHTS) as client:
        found = {one["key_id"]: one for one in await published(client)}

    assert len(found) == 2
    assert found[str(key_id)]["public_key"] == older.hex()
    assert [one["key_id"] for one in found.values() if one["signs"]] == [
        str(world.vault.signing_key_id)
    ]
