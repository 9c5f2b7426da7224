"""After a disaster the living are read as before, and find their account; the erased are not."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from server.accounts import service as accounts
from server.accounts.model import Locale, NewMember
from server.backups import service
from server.backups.model import Behind
from server.certificates import service as certificates
from server.certificates.verification import verify_certificate
from server.credentials.model import Role
from server.journal.service import Journal
from server.kek.key_file import load
from server.kek.model import KekUnusable
from server.kit import db
from server.kit.db import ROLE_APP, ROLE_KEYS
from server.kit.wire import rfc3339
from server.rekeying import service as rekeying
from server.rekeying.model import SETTLES
from server.rekeying.service import Rekeyer
from server.vault.opening import open_vault
from server.vault.service import Vault
from tests.backups.conftest import Backups, Restored, unheard
from tests.backups.test_fence import act
from tests.backups.test_not_undone import erase
from tests.conftest import Databases
from tests.world import NOW, World

EMAIL = "aigerim@aral.example"


async def dispatcher(world: World) -> UUID:
    """Add somebody who logs in."""
    new = NewMember(role=Role.DISPATCHER, name="Aigerim", email=EMAIL, phone=None, locale=Locale.RU)
    async with db.tenant(world.pool, world.company_id) as conn:
        profile, _ = await accounts.add_member(conn, world.vault, world.company_id, new, now=NOW)
    return profile.member_id


async def exchange_keys(world: World, databases: Databases, kek_file: Path) -> None:
    async def index() -> None:
        """Index nobody of today anew: nobody looks."""

    rekeyer = Rekeyer(keys_dsn=databases.keys, keks=load(kek_file), reindex=index)
    await rekeying.begin(rekeyer, now=NOW)
    done = await rekeying.run_due(rekeyer, every=timedelta(hours=1), now=NOW + SETTLES)
    assert done is not None
    assert done.ended_at is not None
    await world.vault.renew()


async def found_by_email(restored: Restored, member_id: UUID) -> bool:
    world = restored.world
    async with db.tenant(restored.pool, world.company_id, readonly=True) as conn:
        hashes = await accounts.login_hashes(conn, world.company_id, member_id)
    return world.vault.blind_index("email", EMAIL) in hashes


async def test_an_old_main_and_the_keys_of_today(
    backups: Backups, databases: Databases, kek_file: Path
) -> None:
    world = backups.world
    member_id = await dispatcher(world)
    folder = await backups.take()
    await erase(world)
    await backups.journal()
    await exchange_keys(world, databases, kek_file)

    async with backups.restored(folder) as restored:
        # The pepper of the backup is no more: nobody could log in.
        assert not await found_by_email(restored, member_id)
        await restored.reconcile()

        assert await found_by_email(restored, member_id)
        async with db.tenant(restored.pool, world.company_id, readonly=True) as conn:
            everybody = [member_id, world.driver.member_id]
            names = await accounts.names(conn, world.vault, world.company_id, everybody)
        assert names == {member_id: "Aigerim"}


async def test_the_certificate_of_who_is_erased_again_invents_nobody_who_asked(
    backups: Backups, databases: Databases, kek_file: Path, tmp_path: Path
) -> None:
    world = backups.world
    folder = await backups.take()
    await erase(world)
    await backups.journal()
    await exchange_keys(world, databases, kek_file)
    again = NOW + SETTLES + timedelta(hours=1)

    async with backups.restored(folder) as restored:
        await restored.reconcile(now=again)
        issued = await certificates.issue_due(
            restored.pool, world.keys_pool, world.vault, world.company_id, again
        )
        document = await restored.owner.fetchval("SELECT document FROM erasure_certificate")
        shown = await restored.owner.fetchval("SELECT after_restore FROM erasure_request")

    assert (issued, shown) == (1, True)
    made = json.loads(document)
    request = made["request"]
    assert request["after_restore"]
    asked = {
        request[name]
        for name in ("requested_by_role", "requested_at", "reason", "decided_by_role", "decided_at")
    }
    assert asked == {None}
    # Both are true: its keys were gone with the first erasure, its rows with this one.
    assert (made["erased_at"], made["backups_unreadable_at"]) == (
        rfc3339(again),
        rfc3339(NOW + SETTLES),
    )
    assert made["keys_destroyed"] == []
    file = tmp_path / "certificate.json"
    file.write_text(document)
    said = " ".join(verify_certificate(file, None))
    assert "who had asked for it, and when, is lost" in said
    assert "The second of these times is before the first" in said
    assert "No key was left to destroy" in said


@asynccontextmanager
async def keys_restored(
    backups: Backups, folder: Path, kek_file: Path
) -> AsyncGenerator[tuple[Vault, db.Pool]]:
    async with backups.empty() as dsn:
        await service.restore_keys(dsn, load(kek_file, may_make=False), folder, say=unheard)
        async with db.pool(dsn, role=ROLE_KEYS) as pool:
            yield await open_vault(pool, load(kek_file), NOW), pool


async def test_both_databases_from_their_newest_backups(
    backups: Backups, databases: Databases, kek_file: Path
) -> None:
    world = backups.world
    member_id = await dispatcher(world)
    older = await backups.take("older")
    await erase(world)
    await backups.journal()
    await exchange_keys(world, databases, kek_file)
    newest = await backups.take("newest")

    async with (
        keys_restored(backups, newest, kek_file) as (vault, keys_pool),
        backups.empty() as dsn,
    ):
        keys_dsn = await _dsn_of(keys_pool, databases)
        await service.restore_main(dsn, keys_dsn, older, say=unheard)
        owner = await asyncpg.connect(dsn)
        async with db.pool(dsn, role=ROLE_APP) as pool:
            other = World(
                vault=vault,
                pool=pool,
                owner=owner,
                company_id=world.company_id,
                driver=world.driver,
            )
            restored = Restored(world=other, dsn=dsn, pool=pool, owner=owner)
            with pytest.raises(Behind):
                await restored.refuse_behind()
            await restored.reconcile()
            await restored.refuse_behind()

            async with db.tenant(pool, world.company_id, readonly=True) as conn:
                everybody = [member_id, world.driver.member_id]
                names = await accounts.names(conn, vault, world.company_id, everybody)
            assert names == {member_id: "Aigerim"}
            assert await found_by_email(restored, member_id)
        await owner.close()


async def _dsn_of(pool: db.Pool, databases: Databases) -> str:
    async with pool.acquire() as conn:
        name = await conn.fetchval("SELECT current_database()")
    return databases.admin.replace("/postgres?", f"/{name}?")


async def test_keys_from_before_an_exchange_open_nothing_and_are_not_restored(
    backups: Backups, databases: Databases, kek_file: Path
) -> None:
    folder = await backups.take()
    await exchange_keys(backups.world, databases, kek_file)

    async with backups.empty() as dsn:
        with pytest.raises(KekUnusable):
            await service.restore_keys(dsn, load(kek_file, may_make=False), folder, say=unheard)
        conn = await asyncpg.connect(dsn)
        assert await conn.fetchval("SELECT to_regclass('public.pepper')") is None
        await conn.close()


async def test_control_before_an_exchange_they_are(backups: Backups, kek_file: Path) -> None:
    folder = await backups.take()

    async with keys_restored(backups, folder, kek_file) as (vault, _):
        assert vault.signing_key_id == backups.world.vault.signing_key_id


async def test_what_was_taken_away_before_a_restored_key_database_is_journalled_again(
    backups: Backups, kek_file: Path
) -> None:
    world = backups.world
    folder = await backups.take()
    await act(world)
    async with keys_restored(backups, folder, kek_file) as (_, keys_pool):
        copied = await Journal(world.pool, keys_pool).copy(world.company_id, NOW)

        assert copied == 1
