"""Long tracks, put straight into the database as compaction leaves them: a row an hour."""

from datetime import datetime, timedelta

import numpy as np

from server.kit.ids import uuid7
from server.tracking import codec
from server.tracking.model import Positions, from_ms, to_ms
from server.vault.model import Category
from tests.world import NOW, World

HOUR_MS = 3_600_000


async def share(world: World, since: datetime) -> None:
    """Let the driver have agreed, and be recorded, from then on until now."""
    driver_id = world.driver.member_id
    await world.owner.execute(
        "UPDATE gate SET location_since = $2, dispatch_since = $2, plan_fact_since = $2"
        " WHERE driver_id = $1",
        driver_id,
        since,
    )
    await world.owner.execute(
        "UPDATE recording_window SET opened_at = $2 WHERE driver_id = $1", driver_id, since
    )


async def store(
    world: World,
    began: datetime,
    count: int,
    *,
    step_s: float = 1,
    device: int = 0,
    lon_0: float = 71.4,
    by_the_hour: bool = True,
) -> None:
    """Store a winding drive of so many positions; the driver shared all of its time.

    A row an hour, as it is after they were merged, or one row, as it was uploaded.
    """
    time_ms = to_ms(began) + (np.arange(count) * step_s * 1000).astype(np.int64)
    place = np.arange(count)
    lon = lon_0 + place / 1e4
    values = np.array(
        [
            np.round(51.1 + np.sin(place / 50) / 100, 7),
            np.round((lon + 180) % 360 - 180, 7),
            np.full(count, 4.5),
            np.round(10 + np.sin(place / 20), 2),
            np.full(count, np.nan),
            np.where(place % 2, 350.5, np.nan),
            np.full(count, 80.0),
        ]
    )
    whole = Positions(time_ms=time_ms, values=values, flags=np.full(count, 1, np.uint8))
    breaks = np.flatnonzero(np.diff(time_ms // HOUR_MS)) + 1
    for row in whole.split(breaks) if by_the_hour else [whole]:
        await _insert(world, row, device)


async def _insert(world: World, row: Positions, device: int) -> None:
    first_at, last_at = from_ms(int(row.time_ms[0])), from_ms(int(row.time_ms[-1]))
    key = await world.vault.key(
        world.company_id, world.driver.member_id, Category.TRACK, at=first_at
    )
    upload_id = uuid7()
    blob = codec.seal(key, codec.pack(row, device), row_id=upload_id, schema=codec.CHUNK_SCHEMA)
    await world.owner.execute(
        "INSERT INTO chunk (company_id, driver_id, last_at, upload_id, first_at, stored_at,"
        " count, key_id, blob) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        world.company_id,
        world.driver.member_id,
        last_at,
        upload_id,
        first_at,
        NOW,
        len(row),
        key.key_id,
        blob,
    )


async def day(world: World, hours: float = 10, *, step_s: float = 1) -> datetime:
    """Store that long a drive which ends now; return when it began."""
    began = NOW - timedelta(hours=hours)
    await share(world, began)
    await store(world, began, round(hours * 3600 / step_s), step_s=step_s)
    return began
