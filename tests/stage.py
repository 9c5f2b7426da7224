"""A durable PostgreSQL with both databases migrated: where proofs and benches run."""

import asyncio
import os
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import asyncpg

from server.kek.key_file import load
from server.kit import localpg
from server.kit.db import ROLE_APP, ROLE_KEYS, Pool, pool
from server.kit.migrate import migrate
from server.vault.opening import open_vault
from server.vault.service import Vault
from tests.world import NOW

POOL_MAX = 20

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where to run: both databases as the owner, and the key file."""

    main: str
    keys: str
    kek: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage(Place):
    """The place, and what a process of the server holds there."""

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
        place = Place(main=main, keys=keys, kek=folder / "kek")
        yield await stack.enter_async_context(
            stage_on(place, data=server.data, postgres_pid=server.pid)
        )


@asynccontextmanager
async def stage_on(
    place: Place,
    *,
    data: Path | None = None,
    postgres_pid: int | None = None,
    pool_max: int = POOL_MAX,
) -> AsyncGenerator[Stage]:
    """Open what a process of the server holds on databases that are there."""
    async with AsyncExitStack() as stack:
        owner = await asyncpg.connect(place.main)
        stack.push_async_callback(owner.close)
        keys_pool = await stack.enter_async_context(pool(place.keys, role=ROLE_KEYS))
        opened = pool(place.main, role=ROLE_APP, size_max=pool_max)
        yield Stage(
            main=place.main,
            keys=place.keys,
            kek=place.kek,
            data=data,
            postgres_pid=postgres_pid,
            pool=await stack.enter_async_context(opened),
            vault=await open_vault(keys_pool, load(place.kek), NOW),
            owner=owner,
        )


def on_a_stage(work: Callable[[Stage], Awaitable[T]]) -> T:
    """Do this on a stage of its own, and nothing beside it; return what it found."""

    async def on_it() -> T:
        async with stage() as at:
            return await work(at)

    return asyncio.run(on_it())
