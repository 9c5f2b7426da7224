"""Who is no superuser backs up and restores as well, each as far as they must."""

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from server.backups import marks, service
from server.backups.model import BackupRefused
from server.kek.key_file import load
from server.kit import localpg
from server.kit.db import ROLE_APP, ROLE_KEYS, pool
from server.kit.localpg import Server
from server.kit.migrate import migrate
from server.kit.revision import Schema
from server.vault.opening import open_vault
from server.vault.service import Vault
from tests.backups.conftest import unheard
from tests.world import NOW

SCHEMAS: tuple[Schema, ...] = ("main", "keys")


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """A server of its own: roles are the whole server's."""
    with tempfile.TemporaryDirectory(prefix="jolda-owners-") as folder:
        Path(folder).chmod(0o755)  # noqa: ASYNC240 - one look
        async with localpg.run(Path(folder, "postgres"), unsafe_for_tests=True) as made:
            conn = await asyncpg.connect(made.dsn())
            await conn.execute("CREATE ROLE owner LOGIN CREATEROLE")
            for name in (*SCHEMAS, "main_new", "keys_new"):
                await conn.execute(f"CREATE DATABASE {name} OWNER owner")
            await conn.close()
            for schema in SCHEMAS:
                await migrate(made.dsn(schema, "owner"), schema)
            yield made


async def back_up(server: Server, vault: Vault, folder: Path, user: str) -> None:
    await service.backup(
        {schema: server.dsn(schema, user) for schema in SCHEMAS},
        vault,
        folder,
        home=folder / "home",
        clock=lambda: NOW,
        say=unheard,
    )


async def test_a_log_in_that_may_only_read_backs_up_and_the_owner_restores(
    server: Server, tmp_path: Path
) -> None:
    kek_file, folder = tmp_path / "kek", tmp_path / "backup"
    async with pool(server.dsn("keys", "owner"), role=ROLE_KEYS) as keys:
        vault = await open_vault(keys, load(kek_file), NOW)
        with pytest.raises(BackupRefused, match="does not see every company"):
            await back_up(server, vault, folder, "owner")
        conn = await asyncpg.connect(server.dsn())
        await conn.execute(
            "CREATE ROLE jolda_backup LOGIN BYPASSRLS; GRANT pg_read_all_data TO jolda_backup"
        )
        await conn.close()
        await back_up(server, vault, folder, "jolda_backup")

    main, keys_dsn = server.dsn("main_new", "owner"), server.dsn("keys_new", "owner")
    await service.restore_keys(keys_dsn, load(kek_file), folder, say=unheard)
    await service.restore_main(main, keys_dsn, folder, say=unheard)

    async with pool(keys_dsn, role=ROLE_KEYS) as keys, pool(main, role=ROLE_APP) as opened:
        assert (await open_vault(keys, load(kek_file), NOW)).signing_key_id == vault.signing_key_id
        async with opened.acquire() as app:
            assert await app.fetchval("SELECT count(*) FROM member") == 0


async def test_who_does_not_own_the_keys_is_told_before_anything_is_read_into_them(
    server: Server,
) -> None:
    admin = await asyncpg.connect(server.dsn())
    await admin.execute("CREATE ROLE guest LOGIN")
    await admin.close()
    guest = await asyncpg.connect(server.dsn("keys_new", "guest"))

    with pytest.raises(BackupRefused, match="does not own that database"):
        await marks.intend_keys(guest, until=NOW)
    assert await marks.not_noted(guest) is None
    await guest.close()
