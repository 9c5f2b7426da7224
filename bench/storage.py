"""What positions weigh at rest, and how fast a driver's day is read."""

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Final

from bench.fleet import Ground
from bench.sealing import gate_of, sealed
from server.deposits import store
from server.gate.model import Gate
from server.kit import db
from server.kit.db import Connection
from server.tracking import service
from server.tracking.compaction import compact
from server.tracking.compaction_store import LooseHour
from server.tracking.model import ChunkRow, TrackPurpose
from tests.deposits import deposit
from tests.proofs import Report, Row, at_most
from tests.stage import Stage
from tests.world import add_company, add_driver

DAY_S: Final = 10 * 3600
BEGAN: Final = datetime(2026, 11, 2, tzinfo=UTC)
DRIVERS: Final = 40
READS: Final = 21
READ_MS_MAX: Final = {"10 s": 1.0, "1 Hz": 5.0}
DISK_BYTES_MAX: Final = {"10 s": 12.0, "1 Hz": 8.0}


async def measure(ground: Ground, report: Report) -> None:
    at = ground.at
    conn = await store.open_committer(at.main)
    try:
        for per_upload in (1, 10, 60, 300):
            await _weigh(at, conn, report, per_upload, uploads=40 if ground.smoke else 2_000)
        some = 2 if ground.smoke else DRIVERS
        await _compacted(at, conn, report, step_s=10, per_upload=10, name="10 s", drivers=some)
        await _compacted(at, conn, report, step_s=1, per_upload=60, name="1 Hz", drivers=some)
    finally:
        await conn.close()


async def _weigh(
    at: Stage, conn: Connection, report: Report, per_upload: int, *, uploads: int
) -> None:
    """Store uploads of many drivers in turn; say how much the table with its index grew."""
    drivers = [await _driver(at) for _ in range(DRIVERS)]
    each = uploads // DRIVERS
    of_driver = [
        await sealed(at, gate, seed, count=each * per_upload, step_s=2, per_upload=per_upload)
        for seed, gate in enumerate(drivers)
    ]
    before = await _bytes(at, "chunk")
    for turn in zip(*of_driver, strict=True):
        deposits = [
            deposit(gate, row, stored_at=row.last_at)
            for gate, row in zip(drivers, turn, strict=True)
        ]
        await store.store(conn, store.STORE_OR_SKIP, deposits)
    grown = await _bytes(at, "chunk") - before
    plain = await _bytes(at, "position_row") / max(1, await _count(at, "position_row"))
    report.add(
        Row(
            figure=f"disk per position, {per_upload} per upload",
            value=round(grown / (uploads * per_upload), 1),
            unit="bytes",
            baseline=round(plain, 1),
            note="as uploaded, 2 s steps, index included",
        )
    )


async def _bytes(at: Stage, table: str) -> int:
    return int(await at.owner.fetchval("SELECT pg_total_relation_size($1::regclass)", table))


async def _count(at: Stage, table: str) -> int:
    count: int = await at.owner.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608 - ours
    return count


async def _compacted(
    at: Stage,
    conn: Connection,
    report: Report,
    *,
    step_s: int,
    per_upload: int,
    name: str,
    drivers: int,
) -> None:
    """Merge the hours of a day of some drivers; say what is left on disk and how fast it reads."""
    count = DAY_S // step_s
    await at.owner.execute("CREATE TABLE chunk_merged (LIKE chunk INCLUDING ALL)")
    merging_s, hours = 0.0, 0
    first: list[ChunkRow] = []
    fleet = [await _driver(at) for _ in range(drivers)]
    for seed, gate in enumerate(fleet):
        rows = await sealed(at, gate, seed, count=count, step_s=step_s, per_upload=per_upload)
        await store.store(
            conn, store.STORE_OR_SKIP, [deposit(gate, row, stored_at=row.last_at) for row in rows]
        )
        if gate is fleet[0]:
            first = rows
            _say_read(report, f"{name}, as uploaded", None, *await _read(at, gate, rows))
        began = time.perf_counter()
        for hour in sorted({row.last_at.replace(minute=0, second=0) for row in rows}):
            place = LooseHour(gate.driver_id, hour)
            if not await compact(conn, at.pool, at.vault, gate.company_id, place):
                raise RuntimeError("an hour was not merged")
            hours += 1
        merging_s += time.perf_counter() - began
        await at.owner.execute(
            "INSERT INTO chunk_merged SELECT * FROM chunk WHERE company_id = $1", gate.company_id
        )
    _say_read(report, f"{name}, compacted", READ_MS_MAX[name], *await _read(at, fleet[0], first))
    size = await _bytes(at, "chunk_merged") / (drivers * count)
    row = at_most(f"disk per position, {name}, compacted", size, DISK_BYTES_MAX[name], unit="bytes")
    note = f"index included; {1000 * merging_s / hours:.1f} ms to merge an hour"
    report.add(replace(row, value=round(size, 2), note=note))
    await at.owner.execute("DROP TABLE chunk_merged")


async def _read(at: Stage, gate: Gate, rows: list[ChunkRow]) -> tuple[float, int, int]:
    """Return how long reading the day takes, how many positions come, and from how many rows."""
    took_ms, count = [], 0
    for _ in range(READS):
        began = time.perf_counter()
        async with db.tenant(at.pool, gate.company_id, readonly=True) as reader:
            track = await service.track(
                reader,
                at.vault,
                gate.company_id,
                gate.driver_id,
                rows[0].first_at,
                rows[-1].last_at + timedelta(seconds=1),
                purpose=TrackPurpose.SUBJECT_ACCESS,
                now=BEGAN,
            )
        took_ms.append(1000 * (time.perf_counter() - began))
        count = len(track)
    stored: int = await at.owner.fetchval(
        "SELECT count(*) FROM chunk WHERE company_id = $1", gate.company_id
    )
    return median(took_ms), count, stored


def _say_read(
    report: Report, name: str, limit_ms: float | None, took_ms: float, count: int, rows: int
) -> None:
    figure, note = f"read of a driver-day, {name}", f"{count} positions in {rows} rows"
    if limit_ms is None:
        report.add(Row(figure=figure, value=round(took_ms, 2), unit="ms", note=note))
    else:
        row = at_most(figure, took_ms, limit_ms, unit="ms")
        report.add(replace(row, value=round(took_ms, 2), note=note))


async def _driver(at: Stage) -> Gate:
    company_id = await add_company(at.vault, at.owner)
    driver = await add_driver(at.vault, at.pool, company_id)
    return await gate_of(at, company_id, driver.member_id)
