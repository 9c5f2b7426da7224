"""How long an erasure takes of somebody with many positions, and wrapping many keys anew."""

import asyncio
import os
import time
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from server.kek.key_file import load
from server.kek.model import KEY_BYTES, Bound, seal_bytes
from server.kit import db
from server.kit.ids import uuid7
from server.vault.model import Category
from server.vault.opening import open_vault
from server.vault.service import peppers
from server.vault.wrapping import company_aad, key_aad
from tests.erasure_proof.scene import Scene
from tests.world import NOW

POSITIONS_A_ROW: Final = 120
"""An hour at one every 30 s, compacted."""
ROW_BYTES: Final = 900
COUNTED_S: Final = 11.0
"""So long after it was last busy a session of PostgreSQL tells what it took; or when it ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """What it took."""

    rows: int
    erased_s: float
    """From the end of the grace, which is when the job begins, to erased."""
    database_ms: float
    """In which ``main`` worked on statements."""


async def erase(scene: Scene, positions: int, *, is_timed: bool) -> Erasure:
    """Erase a driver with so many positions."""
    person = await scene.person()
    rows = await _add_track(scene, person.driver_id, positions)
    request = await scene.ask(person.driver_id)
    await scene.owner.execute("VACUUM ANALYZE chunk")
    if is_timed:
        await asyncio.sleep(COUNTED_S)
    before = await _active_ms(scene)
    async with db.pool(scene.place.main, role=db.ROLE_APP) as pool:
        alone = replace(scene, world=replace(scene.world, pool=pool))
        began = time.monotonic()
        await alone.finish(request)
        erased_s = time.monotonic() - began
    return Erasure(rows=rows, erased_s=erased_s, database_ms=await _active_ms(scene) - before)


async def _add_track(scene: Scene, driver_id: UUID, positions: int) -> int:
    """Store hours of one driver as compaction leaves them; return how many rows."""
    world, hours = scene.world, -(-positions // POSITIONS_A_ROW)
    rows = []
    for hour in range(hours):
        at = NOW - timedelta(hours=hours - hour)
        key = await world.vault.key(world.company_id, driver_id, Category.TRACK, at=at)
        upload_id = uuid7()
        blob = key.seal(os.urandom(ROW_BYTES), row_id=upload_id.bytes, schema="chunk")
        rows.append(
            (world.company_id, driver_id, at, upload_id, at, at, POSITIONS_A_ROW, key.key_id, blob)
        )
    await scene.owner.copy_records_to_table(
        "chunk",
        records=rows,
        columns=(
            *("company_id", "driver_id", "last_at", "upload_id", "first_at", "stored_at"),
            *("count", "key_id", "blob"),
        ),
    )
    return len(rows)


async def _active_ms(scene: Scene) -> float:
    await scene.owner.execute("SELECT pg_stat_force_next_flush()")
    ms: float = await scene.owner.fetchval(
        "SELECT active_time FROM pg_stat_database WHERE datname = current_database()"
    )
    return ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchanged:
    """What an exchange took."""

    keys: int
    seconds: float
    unread: int
    """Of the keys that were wrapped anew, those that nobody opens any more."""


async def exchange(scene: Scene, keys: int) -> Exchanged:
    """Exchange everything above so many keys, all of one company."""
    company_id = scene.world.company_id
    wrapped = await scene.keys_owner.fetchval(
        "SELECT wrapped FROM company_key WHERE company_id = $1", company_id
    )
    kek = await scene.keks.in_force((await peppers(scene.keys_owner))[0].kek_id)
    (secret,) = await kek.unwrap([Bound(wrapped, company_aad(company_id))])
    company, category = AESGCM(secret), Category.IDENTITY.value
    rows = []
    for _ in range(keys):
        subject_id, key_id = uuid7(), uuid7()
        aad = key_aad(company_id, subject_id, category, "all", key_id)
        sealed = seal_bytes(company, os.urandom(KEY_BYTES), aad=aad)
        rows.append((company_id, key_id, subject_id, category, "all", sealed, NOW))
    await scene.keys_owner.copy_records_to_table(
        "subject",
        records=[(company_id, row[2]) for row in rows],
        columns=("company_id", "subject_id"),
    )
    await scene.keys_owner.copy_records_to_table(
        "data_key",
        records=rows,
        columns=(
            *("company_id", "key_id", "subject_id", "category", "period", "wrapped"),
            "created_at",
        ),
    )
    began = time.monotonic()
    done = await scene.exchange()
    seconds = time.monotonic() - began
    # One that holds none of them in memory yet.
    vault = await open_vault(scene.keys_pool, load(scene.place.kek), scene.at)
    ids = {row[1] for row in rows}
    return Exchanged(
        keys=done.keys or 0,
        seconds=seconds,
        unread=len(ids - (await vault.keys(company_id, ids)).keys()),
    )
