"""Uploads as they lie in the database, made without a server."""

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import numpy as np

from bench.bodies import drive
from server.gate import service as gates
from server.gate.model import Gate
from server.kit import db
from server.tracking import codec
from server.tracking.model import ChunkRow, Positions, from_ms
from server.vault.model import Category
from tests.stage import Stage

BEGAN: Final = datetime(2026, 11, 2, tzinfo=UTC)


async def gate_of(at: Stage, company_id: UUID, driver_id: UUID) -> Gate:
    async with db.tenant(at.pool, company_id, readonly=True) as conn:
        return await gates.read(conn, company_id, driver_id)


async def sealed(
    at: Stage, gate: Gate, seed: int, *, count: int, step_s: float, per_upload: int
) -> list[ChunkRow]:
    """Seal a drive as its uploads would be."""
    whole = drive(seed, count, began=BEGAN, step_s=step_s)
    rows = []
    for start in range(0, whole.time_ms.size, per_upload):
        part = slice(start, start + per_upload)
        time_ms = whole.time_ms[part]
        positions = Positions(
            time_ms=time_ms,
            values=whole.values[:, part],
            flags=np.zeros(time_ms.size, np.uint8),
        )
        first_at, last_at = from_ms(int(time_ms[0])), from_ms(int(time_ms[-1]))
        key = await at.vault.key(gate.company_id, gate.driver_id, Category.TRACK, at=first_at)
        packed = codec.pack(positions, 0)
        upload_id = codec.upload_id_of(key, UUID(int=0), None, packed)
        blob = codec.seal(key, packed, row_id=upload_id, schema=codec.CHUNK_SCHEMA)
        rows.append(ChunkRow(upload_id, first_at, last_at, time_ms.size, key.key_id, blob))
    return rows
