"""The n-th statement fails, of a backup, a restore, and a reconciliation: nothing is half."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from server.backups import service
from server.backups.model import Behind
from server.backups.reconcile import Ground, reconcile
from server.kek.key_file import load
from server.kit import db
from server.kit.db import ROLE_APP, ROLE_KEYS
from server.vault.opening import open_vault
from tests.backups.conftest import Backups, unheard
from tests.backups.test_reconcile import busy_day, refuse_undone
from tests.faults.postgres_proxy import Cut, ErrorInstead, Exchange, Fault, Proxy, proxied
from tests.world import NOW

DISK_FULL = ErrorInstead("53100")
STATEMENTS_MAX = 5_000


class Nth:
    """Fails one exchange, and counts them."""

    def __init__(self, nth: int, fault: Fault) -> None:
        self.nth = nth
        self.fault = fault
        self.count = 0

    async def __call__(self, _exchange: Exchange) -> Fault | None:
        self.count += 1
        return self.fault if self.count == self.nth else None

    @property
    def reached(self) -> bool:
        return self.count >= self.nth


def failing(proxy: Proxy, nth: int, fault: Fault) -> Nth:
    judge = Nth(nth, fault)
    proxy.judge = judge
    return judge


async def tables_of(dsn: str) -> int:
    conn = await asyncpg.connect(dsn)
    try:
        found: int = await conn.fetchval(
            "SELECT count(*) FROM pg_tables WHERE schemaname NOT IN"
            " ('pg_catalog', 'information_schema')"
        )
    finally:
        await conn.close()
    return found


@pytest.mark.parametrize("fault", [Cut.BEFORE, DISK_FULL])
async def test_a_restore_is_whole_or_nothing(backups: Backups, fault: Fault) -> None:
    folder = await backups.take()
    failures = 0
    async with backups.empty() as dsn, proxied(dsn) as proxy:
        for nth in range(1, STATEMENTS_MAX, 149):
            judge = failing(proxy, nth, fault)
            try:
                keys = backups.databases.keys
                await service.restore_main(proxy.dsn(dsn), keys, folder, say=unheard)
            except Exception:  # noqa: BLE001 - whatever it is: nothing must be there
                assert judge.reached
                assert await tables_of(dsn) == 0, nth
                failures += 1
            else:
                break
        else:
            pytest.fail("it has no end")
        assert not judge.reached
        assert await tables_of(dsn) > 50
    assert failures > 3


async def test_a_backup_is_whole_or_nothing(backups: Backups) -> None:
    databases = backups.databases
    failures = 0
    async with proxied(databases.main) as main:
        for nth in range(1, STATEMENTS_MAX, 97):
            judge = failing(main, nth, Cut.BEFORE)
            folder = backups.folder / str(nth)
            try:
                await service.backup(
                    {"main": main.dsn(databases.main), "keys": databases.keys},
                    backups.world.vault,
                    folder,
                    home=backups.folder / "home",
                    clock=lambda: NOW,
                    say=unheard,
                )
            except Exception:  # noqa: BLE001 - whatever it is: nothing must be there
                assert judge.reached
                assert not entries(folder)
                failures += 1
            else:
                break
        else:
            pytest.fail("it has no end")
    assert entries(folder) == ["keys", "main"]
    assert failures > 1


def entries(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir()) if folder.exists() else []


@asynccontextmanager
async def ground(backups: Backups, main: str, kek_file: Path) -> AsyncGenerator[Ground]:
    """Open what a reconciliation needs, by way of these links."""
    async with (
        db.pool(main, role=ROLE_APP) as pool,
        db.pool(backups.databases.keys, role=ROLE_KEYS) as keys_pool,
    ):
        vault = await open_vault(keys_pool, load(kek_file), NOW)
        yield Ground(dsn=main, pool=pool, keys_pool=keys_pool, vault=vault, say=unheard)


@pytest.mark.parametrize("fault", [Cut.BEFORE, Cut.AFTER, DISK_FULL])
async def test_a_reconciliation_goes_on_after_any_failure(
    backups: Backups, kek_file: Path, fault: Fault
) -> None:
    folder, withdrawn = await busy_day(backups)
    failures = 0
    async with backups.restored(folder) as restored, proxied(restored.dsn) as proxy:
        for nth in range(1, STATEMENTS_MAX, 29):
            judge = failing(proxy, nth, fault)
            try:
                async with ground(backups, proxy.dsn(restored.dsn), kek_file) as opened:
                    await reconcile(opened, await restored.companies(), now=NOW)
            except Exception:  # noqa: BLE001 - whatever it is: nothing must be served
                assert judge.reached
                failures += 1
                if fault is not Cut.AFTER:
                    with pytest.raises(Behind):
                        await restored.refuse_behind()
            else:
                break
        else:
            pytest.fail("it has no end")

        await refuse_undone(restored, withdrawn)
    assert failures > 5
