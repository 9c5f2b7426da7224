"""A durable PostgreSQL with both databases migrated: where proofs and benches run."""

import os
import tempfile
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from server.kit import localpg
from server.kit.db import ROLE_APP, ROLE_KEYS, Pool, pool
from server.kit.migrate import migrate
from server.vault.kek import load
from server.vault.service import Vault, open_vault
from tests.world import NOW

POOL_MAX = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Both databases as the owner, and what a process of the server holds."""

    main: str
    keys: str
    kek: Path
    data: Path | None
    """Where its PostgreSQL keeps its files; None if that is not its own."""
    postgres_pid: int | None
    pool: Pool
    vault: Vault
    owner: "asyncpg.Connection[asyncpg.Record]"


@asynccontextmanager
async def stage() -> AsyncGenerator[Stage]:
    """Run it in a folder of its own, fsync on, and remove everything at the end."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="jolda-stage-")))
        os.chmod(folder, 0o755)  # noqa: PTH101, S103 - the database's user has to get in
        server = await stack.enter_async_context(
            localpg.run(folder / "postgres", say=lambda _sentence: None)
        )
        admin = await asyncpg.connect(server.dsn())
        for schema in ("main", "keys"):
            await admin.execute(f"CREATE DATABASE {schema}")
        await admin.close()
        main, keys = server.dsn("main"), server.dsn("keys")
        await migrate(main, "main")
        await migrate(keys, "keys")
        yield await stack.enter_async_context(
            stage_on(
                main=main,
                keys=keys,
                kek=folder / "kek",
                data=server.data,
                postgres_pid=server.pid,
            )
        )


@asynccontextmanager
async def stage_on(
    *, main: str, keys: str, kek: Path, data: Path | None = None, postgres_pid: int | None = None
) -> AsyncGenerator[Stage]:
    """Open what a process of the server holds on databases that are there."""
    async with AsyncExitStack() as stack:
        owner = await asyncpg.connect(main)
        stack.push_async_callback(owner.close)
        keys_pool = await stack.enter_async_context(pool(keys, role=ROLE_KEYS))
        yield Stage(
            main=main,
            keys=keys,
            kek=kek,
            data=data,
            postgres_pid=postgres_pid,
            pool=await stack.enter_async_context(pool(main, role=ROLE_APP, size_max=POOL_MAX)),
            vault=await open_vault(keys_pool, load(kek), NOW),
            owner=owner,
        )
