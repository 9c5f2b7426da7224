"""How long it takes to find who was at a place, among the days of many drivers.

A section of ``python -m bench`` as :func:`measure`; alone: ``python -m bench.area``.
"""

import sys
import time
from datetime import timedelta
from functools import partial
from statistics import median
from typing import Final
from uuid import UUID

from bench.fleet import Ground
from bench.measured import measured
from bench.sealing import BEGAN, sealed
from geo.circle import Circle
from server.deposits import store
from server.fleet_tracks import service
from server.fleet_tracks.model import Area
from server.gate import service as gates
from server.gate.model import Gate, GateItem
from server.kit import db
from tests.deposits import deposit
from tests.proofs import Report, Row, Size, size
from tests.stage import Stage
from tests.world import add_company, add_driver

DAY: Final = timedelta(hours=10)
STEP_S: Final = 10
HOUR_POSITIONS: Final = 3600 // STEP_S
DRIVERS: Final = {"smoke": 6, "full": 1_000}
SEARCHES: Final = {"smoke": 2, "full": 5}
PLACE: Final = Circle(lat_deg=43.35, lon_deg=76.9, radius_m=500.0)


async def measure(ground: Ground, report: Report) -> None:
    await search(ground.at, report, of=ground.size)


async def search(at: Stage, report: Report, *, of: Size) -> None:
    """Search a day of merged hours for a circle of 500 m, several times."""
    company_id = await add_company(at.vault, at.owner)
    conn = await store.open_committer(at.main)
    try:
        for seed in range(DRIVERS[of]):
            await _drive(at, conn, await _driver(at, company_id), seed)
    finally:
        await conn.close()
    area = Area(circle=PLACE, since=BEGAN, until=BEGAN + DAY)
    took_s, cpu_s, found, positions = [], [], 0, 0
    for _ in range(SEARCHES[of]):
        start, start_cpu = time.perf_counter(), time.process_time()
        async with db.tenant(at.pool, company_id, readonly=True) as reader:
            shares = await service.searchable(reader, company_id, area, now=area.until)
        found = len(await service.search(at.pool, at.vault, company_id, area, shares))
        took_s.append(time.perf_counter() - start)
        cpu_s.append(time.process_time() - start_cpu)
        positions = sum(share.positions for share in shares)
    note = (
        f"{median(cpu_s):.2f} s of CPU for {positions:,} positions in {STEP_S} s steps, merged by "
        f"the hour; {found} drivers were there"
    )
    figure = f"area search over {DRIVERS[of]:,} driver-days"
    report.add(Row(figure=figure, value=round(median(took_s), 2), unit="s", note=note))


async def _driver(at: Stage, company_id: UUID) -> Gate:
    """Add a driver who shares that day."""
    driver = await add_driver(at.vault, at.pool, company_id, consents=(), on_shift=False)
    place = (company_id, driver.member_id)
    async with db.tenant(at.pool, company_id) as conn:
        for item in (GateItem.LOCATION, GateItem.PLAN_FACT):
            await gates.set_consent(conn, *place, item, BEGAN)
        await gates.open_window(conn, *place, at=BEGAN, expires_at=BEGAN + DAY)
        return await gates.read(conn, *place)


async def _drive(at: Stage, conn: db.Connection, gate: Gate, seed: int) -> None:
    """Store the day as it lies there once its hours are merged."""
    count = int(DAY.total_seconds()) // STEP_S
    rows = await sealed(at, gate, seed, count=count, step_s=STEP_S, per_upload=HOUR_POSITIONS)
    deposits = [deposit(gate, row, stored_at=row.last_at) for row in rows]
    await store.store(conn, store.STORE_OR_SKIP, deposits)


def main() -> int:
    return measured(Report(name="bench-area"), partial(search, of=size()))


if __name__ == "__main__":
    sys.exit(main())
