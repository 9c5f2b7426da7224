"""A company of today, a backup of before, and what is restored from it."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import asyncpg
import pytest

from server.audit.command import verify_all
from server.backups import fence, reconcile, service
from server.backups.model import MANIFEST, Manifest
from server.backups.reconcile import Failpoint, Ground
from server.journal.service import Journal
from server.kit import db
from server.kit.db import ROLE_APP, Pool
from tests.conftest import Databases
from tests.world import NOW, World


def unheard(_sentence: str) -> None:
    """Say it to nobody."""


def manifest_of(folder: Path) -> Manifest:
    return Manifest.read((folder / MANIFEST).read_text())[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """A `main` from before, beside the key database of today."""

    world: World
    dsn: str
    pool: Pool
    owner: "asyncpg.Connection[asyncpg.Record]"
    said: list[str] = field(default_factory=list)

    async def companies(self) -> list[UUID]:
        rows = await self.owner.fetch("SELECT company_id FROM company ORDER BY company_id")
        return [row["company_id"] for row in rows]

    async def refuse_behind(self) -> None:
        """Do what a server does before it serves."""
        vault = self.world.vault
        await fence.refuse_behind(self.pool, self.world.keys_pool, vault, await self.companies())

    async def reconcile(
        self,
        *,
        dry_run: bool = False,
        every: bool = False,
        keys_until: datetime | None = None,
        failpoint: Failpoint = lambda _place: None,
        now: datetime = NOW,
    ) -> int:
        ground = Ground(
            dsn=self.dsn,
            pool=self.pool,
            keys_pool=self.world.keys_pool,
            vault=self.world.vault,
            say=self.said.append,
            failpoint=failpoint,
        )
        companies = await self.companies()
        return await reconcile.reconcile(
            ground, companies, now=now, dry_run=dry_run, every=every, keys_until=keys_until
        )

    async def verdict(self, company_id: UUID | None = None) -> str:
        """Return what ``jolda ledger verify`` says of the company, or of another."""
        said: list[str] = []
        world = self.world
        verified = [company_id or world.company_id]
        await verify_all(
            self.pool, world.keys_pool, world.vault, verified, say=said.append, now=NOW
        )
        return said[0].partition(": ")[2]


Again: TypeAlias = Callable[[], AbstractAsyncContextManager[Restored]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backups:
    """Makes backups of today's databases, and restores them elsewhere."""

    world: World
    databases: Databases
    folder: Path

    async def take(self, name: str = "backup") -> Path:
        """Make a backup; what was taken away until now stands in the journal, as ever."""
        await self.journal()
        folder = self.folder / name
        await service.backup(
            {"main": self.databases.main, "keys": self.databases.keys},
            self.world.vault,
            folder,
            home=self.folder / "home",
            clock=lambda: NOW,
            say=unheard,
        )
        return folder

    async def journal(self) -> None:
        """Do what every handler does before it answers that something was taken away."""
        await Journal(self.world.pool, self.world.keys_pool).copy(self.world.company_id, NOW)

    @asynccontextmanager
    async def empty(self, *, but_for: str = "template0") -> AsyncGenerator[str]:
        """Give an empty database, or a copy of this one, for as long as the block lasts."""
        name = f"restored_{uuid4().hex}"
        admin = await asyncpg.connect(self.databases.admin)
        try:
            await admin.execute(f"CREATE DATABASE {name} TEMPLATE {but_for} STRATEGY file_copy")
            yield self.databases.admin.replace("/postgres?", f"/{name}?")
            await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        finally:
            await admin.close()

    @asynccontextmanager
    async def restored(self, folder: Path) -> AsyncGenerator[Restored]:
        """Restore `main`, beside the key database of today."""
        async with self.empty() as dsn:
            await service.restore_main(dsn, self.databases.keys, folder, say=unheard)
            async with self.opened(dsn) as restored:
                yield restored

    @asynccontextmanager
    async def restored_often(self, folder: Path) -> AsyncGenerator[Again]:
        """Restore `main` once; each call gives it as it was just after that."""
        async with self.empty() as dsn:
            await service.restore_main(dsn, self.databases.keys, folder, say=unheard)
            name = urlsplit(dsn).path.removeprefix("/")

            @asynccontextmanager
            async def again() -> AsyncGenerator[Restored]:
                async with self.empty(but_for=name) as copy, self.opened(copy) as restored:
                    yield restored

            yield again

    @asynccontextmanager
    async def opened(self, dsn: str) -> AsyncGenerator[Restored]:
        owner = await asyncpg.connect(dsn)
        try:
            async with db.pool(dsn, role=ROLE_APP) as pool:
                yield Restored(world=self.world, dsn=dsn, pool=pool, owner=owner)
        finally:
            await owner.close()


@pytest.fixture
def backups(world: World, databases: Databases, tmp_path: Path) -> Backups:
    (tmp_path / "home").mkdir()
    return Backups(world=world, databases=databases, folder=tmp_path)
