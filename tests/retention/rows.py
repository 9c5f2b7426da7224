"""Rows of long ago: sealed as an upload would have sealed them, stored past every gate."""

from datetime import datetime, timedelta
from uuid import UUID, uuid4

import numpy as np

from server.kit import db
from server.kit.db import Connection
from server.tracking import codec, compaction_store
from server.tracking.compaction_store import SealedSource
from server.tracking.model import ChunkRow, Positions, to_ms
from server.vault.model import Category
from tests.world import NOW, Driver, World, add_driver

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
KEPT = 60 * DAY
LIMIT = NOW - KEPT
"""2026-09-23 12:00: what is older goes."""
AUGUST = LIMIT.replace(month=8, day=10)
SEPTEMBER = LIMIT.replace(month=9, day=10)


async def keep(
    world: World,
    last_at: datetime,
    *,
    driver: Driver | None = None,
    company_id: UUID | None = None,
    count: int = 3,
    step: timedelta = SECOND,
) -> UUID:
    """Store positions that end at ``last_at``; return the id of the key they are sealed under."""
    company_id = company_id or world.company_id
    driver_id = (driver or world.driver).member_id
    key = await world.vault.key(company_id, driver_id, Category.TRACK, at=last_at)
    times = [last_at - place * step for place in reversed(range(count))]
    positions = Positions(
        time_ms=np.array([to_ms(at) for at in times], np.int64),
        values=np.full((7, count), 51.0),
        flags=np.zeros(count, np.uint8),
    )
    # As of an upload: version 8. What is merged has ids of version 4.
    packed = codec.pack(positions, 0)
    upload_id = codec.upload_id_of(key, uuid4(), None, packed)
    await world.owner.execute(
        "INSERT INTO chunk (company_id, driver_id, last_at, upload_id, first_at, stored_at, count,"
        " key_id, blob) VALUES ($1, $2, $3, $4, $5, $3, $6, $7, $8)",
        company_id,
        driver_id,
        last_at,
        upload_id,
        times[0],
        count,
        key.key_id,
        codec.seal(key, packed, row_id=upload_id, schema=codec.CHUNK_SCHEMA),
    )
    return key.key_id


async def left(world: World) -> set[datetime]:
    """Return when the rows end that are there, of whatever driver and company."""
    return {row["last_at"] for row in await world.owner.fetch("SELECT last_at FROM chunk")}


async def keys_left(world: World, *key_ids: UUID, company_id: UUID | None = None) -> set[UUID]:
    found = await world.vault.keys(company_id or world.company_id, key_ids)
    return set(found)


async def second_driver(world: World) -> Driver:
    return await add_driver(world.vault, world.pool, world.company_id)


async def sources(world: World, hour: datetime) -> list[SealedSource]:
    """Read an hour as the merging of it does."""
    async with db.tenant(world.pool, world.company_id) as conn:
        return await compaction_store.sources(
            conn, world.company_id, world.driver.member_id, since=hour, until=hour + HOUR
        )


async def exchange(
    world: World, committer: Connection, old: list[SealedSource], new: list[ChunkRow]
) -> int:
    """Exchange an hour's rows in the transaction that is open; return how many were there."""
    await db.enter(committer, world.company_id)
    return await compaction_store.exchange(
        committer,
        compaction_store.EXCHANGE,
        world.company_id,
        world.driver.member_id,
        key_epoch=0,
        old=old,
        new=new,
    )
