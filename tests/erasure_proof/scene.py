"""A company with people in it, whom the proof erases, and the exchange of keys above theirs."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import asyncpg

from server.accounts.sealing import reindex
from server.certificates import service as certificates
from server.erasure import saga, service
from server.erasure.model import Request
from server.gate import service as gate
from server.kek.key_file import load
from server.kek.model import Keks
from server.kit import db
from server.kit.db import Pool
from server.ledger.model import Actor, ActorKind
from server.rekeying import service as rekeying
from server.rekeying.model import SETTLES, Rekeying
from server.rekeying.service import Rekeyer
from server.vault.opening import open_vault
from tests.erasure.calls import agree
from tests.erasure.person import Person, add_person
from tests.stage import Place
from tests.world import NOW, World, add_company

HOUR: Final = timedelta(hours=1)


@dataclass(slots=True, kw_only=True)
class Scene:
    """What the proof works with. Its clock is moved by hand."""

    place: Place
    world: World
    keys_pool: Pool
    keys_owner: "asyncpg.Connection[asyncpg.Record]"
    keks: Keks
    at: datetime = NOW
    persons: int = 20
    """Lower numbers are of other tests, which leave their bytes on the same disk."""

    @property
    def owner(self) -> "asyncpg.Connection[asyncpg.Record]":
        return self.world.owner

    async def person(self) -> Person:
        """Add somebody with a trace in every table that can hold one."""
        self.persons += 1
        return await add_person(self.world, self.persons)

    async def neighbour(self) -> World:
        """Return another company on the same databases."""
        company_id = await add_company(self.world.vault, self.world.owner)
        return replace(self.world, company_id=company_id)

    async def ask(self, driver_id: UUID) -> Request:
        """Let the erasure of somebody begin: the company has no grace."""
        company_id, by = self.world.company_id, Actor(kind=ActorKind.DISPATCHER)
        async with gate.stopping(self.world.pool, company_id, driver_id, now=self.at) as conn:
            asked = await service.ask(conn, company_id, driver_id, by=by, reason=None, now=self.at)
            return await agree(conn, company_id, asked)

    async def finish(self, request: Request) -> None:
        world = self.world
        await saga.run(world.pool, world.vault, world.company_id, request.request_id, self.at)

    async def erase(self, driver_id: UUID) -> Request:
        request = await self.ask(driver_id)
        await self.finish(request)
        return request

    async def exchange(self) -> Rekeying:
        """Exchange all keys above persons' own, the pepper too."""
        rekeyer = Rekeyer(keys_dsn=self.place.keys, keks=self.keks, reindex=self._reindex)
        self.at += HOUR
        await rekeying.begin(rekeyer, now=self.at)
        await self.world.vault.renew()
        self.at += SETTLES
        done = await rekeying.run_due(rekeyer, every=HOUR, now=self.at)
        assert done is not None
        assert done.ended_at is not None
        await self.world.vault.renew()
        return done

    async def _reindex(self) -> None:
        rows = await self.owner.fetch("SELECT company_id FROM company")
        for row in rows:
            await reindex(self.world.pool, self.world.vault, row["company_id"])

    async def certify(self) -> int:
        world = self.world
        return await certificates.issue_due(
            world.pool, self.keys_pool, world.vault, world.company_id, self.at
        )


@asynccontextmanager
async def scene(place: Place) -> AsyncGenerator[Scene]:
    """Open the databases, with a company of its own, until the block ends."""
    async with AsyncExitStack() as stack:
        owner = await asyncpg.connect(place.main)
        stack.push_async_callback(owner.close)
        keys_owner = await asyncpg.connect(place.keys)
        stack.push_async_callback(keys_owner.close)
        pool = await stack.enter_async_context(db.pool(place.main, role=db.ROLE_APP))
        keys_pool = await stack.enter_async_context(db.pool(place.keys, role=db.ROLE_KEYS))
        keks = load(place.kek)
        vault = await open_vault(keys_pool, keks, NOW)
        world = await World.make(vault=vault, pool=pool, owner=owner)
        yield Scene(
            place=place,
            world=world,
            keys_pool=keys_pool,
            keys_owner=keys_owner,
            keks=keks,
        )
