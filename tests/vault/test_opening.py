"""Nothing is made in an empty key database beside a `main` with people in it."""

from pathlib import Path

import asyncpg
import pytest

from server import databases as databases_of
from server.backups import fence
from server.backups.model import Behind
from server.kit.db import Pool
from server.settings import Settings
from server.vault.opening import was_opened
from tests.conftest import Databases
from tests.world import NOW, World


@pytest.fixture
async def settings(
    world: World,  # noqa: ARG001 - a company in main
    keys_owner: "asyncpg.Connection[asyncpg.Record]",
    tmp_path: Path,
) -> Settings:
    """The key database was lost, and neither it nor the KEK was put back yet."""
    await keys_owner.execute(
        "SET session_replication_role = replica;"
        "DELETE FROM pepper; DELETE FROM signing_key; DELETE FROM company_key;"
        "DELETE FROM subject; DELETE FROM data_key; RESET session_replication_role"
    )
    return Settings(home=tmp_path, kek_file=tmp_path / "kek")


async def test_who_starts_before_the_keys_are_restored_makes_none(
    databases: Databases, settings: Settings, keys_pool: Pool
) -> None:
    dsns = databases_of.Databases(main=databases.main, keys=databases.keys)

    with pytest.raises(Behind, match="Restore its newest backup"):
        async with databases_of.opened(dsns, settings, now=NOW):
            pytest.fail("opened")

    assert not await was_opened(keys_pool)
    assert not settings.kek.file.exists()


async def test_control_without_the_fence_a_pepper_and_a_kek_are_made(
    databases: Databases, settings: Settings, keys_pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def let_pass(*_: object) -> None:
        """Compare nothing."""

    monkeypatch.setattr(fence, "refuse_keyless", let_pass)
    dsns = databases_of.Databases(main=databases.main, keys=databases.keys)

    async with databases_of.opened(dsns, settings, now=NOW):
        assert await was_opened(keys_pool)

    assert settings.kek.file.exists()
