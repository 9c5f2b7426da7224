"""What it costs to follow the routes of a large company: ``python -m bench.live_routes``.

A thousand drivers on routes of twenty stops along a road, a fix every 5 s; every half a minute all
of them are refreshed with what they uploaded since.
"""

import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from statistics import median
from typing import Final
from uuid import UUID

import numpy as np
import psutil

from bench.geo.driving import drive
from bench.geo.findings import Cell, generator, percentile
from bench.geo.phone import START_S, Seen, see
from bench.geo.roads import PLANE, Road, city
from bench.measured import measured
from server.deposits import store
from server.gate import service as gates
from server.gate.model import Gate, GateItem
from server.kit import db
from server.kit.ids import uuid7
from server.reads.service import Reads
from server.reports.refresh import LiveRoutes, Refreshed
from server.rights.service import tell_of_alert
from server.routes import service as routes
from server.routes.model import NewRoute, Stop
from server.tracking import codec
from server.tracking.model import ChunkRow, Positions, from_ms
from server.vault.model import Category
from tests.deposits import deposit
from tests.proofs import Progress, Report, Row, Size, size
from tests.stage import Stage
from tests.world import add_company, add_driver

ROUTES: Final = {"smoke": 4, "full": 1_000}
REFRESHES: Final = {"smoke": 3, "full": 5}
DAYS: Final = {"smoke": 2, "full": 20}
"""So many different ones; drivers share them."""
STOPS: Final = 20
TICK_S: Final = 30
BEFORE_S: Final = 1_800
"""How far the drivers have come when they are followed for the first time."""
PHONE: Final = Cell(5, 10).phone
BEGAN: Final = datetime(2026, 11, 2, 6, tzinfo=UTC)
MS: Final = 1_000.0
ROUTE_MS_MAX: Final = 5
ROUTE_KB_MAX: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """A drive with a road to follow. Its times are seconds since ``BEGAN``."""

    stops: tuple[Stop, ...]
    line: tuple[tuple[float, float], ...]
    time_s: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]"
    seen: Seen

    def between(self, from_s: float, to_s: float) -> Positions:
        track = self.seen.track
        kept = (self.time_s >= from_s) & (self.time_s < to_s)
        values = np.full((7, int(kept.sum())), np.nan)
        values[0], values[1] = track.lon_lat[kept, 1], track.lon_lat[kept, 0]
        values[2] = track.accuracy_m[kept]
        return Positions(
            time_ms=(BEGAN.timestamp() * MS + self.time_s[kept] * MS).astype(np.int64),
            values=np.round(values, 7),
            flags=np.zeros(values.shape[1], np.uint8),
        )


def day(number: int) -> Day:
    rng = generator(2026, "live routes", number)
    road: Road = city(rng, 26, (80.0, 700.0)).there_and_back()
    halts_m = np.sort(rng.uniform(0.02, 0.98, STOPS)) * road.length_m
    driven = drive(rng, road, halts_m, rng.uniform(120.0, 400.0, STOPS))
    seen = see(rng, PHONE, road, driven)
    places = PLANE.to_lon_lat(road.at(halts_m))
    stops = tuple(
        Stop(
            stop_id=uuid7(),
            name=f"Stop {place}",
            lat=float(lat),
            lon=float(lon),
            radius_m=40.0,
            service_s=240.0,
            planned_arrival=BEGAN + timedelta(seconds=float(at)),
            window_start=None,
            window_end=None,
        )
        for place, ((lon, lat), at) in enumerate(zip(places, driven.arrived_s, strict=True))
    )
    line = tuple((float(lon), float(lat)) for lon, lat in road.lon_lat)
    return Day(stops=stops, line=line, time_s=seen.track.time_s - START_S, seen=seen)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    company_id: UUID
    drivers: tuple[tuple[Gate, Day], ...]


async def planned(at: Stage, count: int, days: int) -> Fleet:
    company_id = await add_company(at.vault, at.owner, at=BEGAN - timedelta(days=1))
    drawn = [day(number) for number in range(days)]
    progress = Progress("routes", count)
    drivers = []
    for place in range(count):
        own = drawn[place % days]
        gate = await _driver(at, company_id)
        draft = await routes.drafted(
            NewRoute(
                name="North",
                day=BEGAN.date(),
                driver_id=gate.driver_id,
                vehicle_id=None,
                planned_start=BEGAN,
                stops=own.stops,
                line=own.line,
            )
        )
        async with db.tenant(at.pool, company_id) as conn:
            await routes.create(conn, at.vault, company_id, draft, now=BEGAN)
        drivers.append((gate, own))
        progress.step()
    return Fleet(company_id=company_id, drivers=tuple(drivers))


async def _driver(at: Stage, company_id: UUID) -> Gate:
    driver = await add_driver(at.vault, at.pool, company_id, consents=(), on_shift=False)
    place = (company_id, driver.member_id)
    async with db.tenant(at.pool, company_id) as conn:
        for item in (GateItem.LOCATION, GateItem.PLAN_FACT):
            await gates.set_consent(conn, *place, item, BEGAN - timedelta(hours=1))
        await gates.open_window(
            conn, *place, at=BEGAN - timedelta(hours=1), expires_at=BEGAN + timedelta(days=1)
        )
        return await gates.read(conn, *place)


async def upload(at: Stage, conn: db.Connection, fleet: Fleet, from_s: float, to_s: float) -> None:
    """Store what every phone recorded in between, as its one upload."""
    stored_at = BEGAN + timedelta(seconds=to_s)
    deposits = []
    for gate, own in fleet.drivers:
        positions = own.between(from_s, to_s)
        if not len(positions):
            continue
        key = await at.vault.key(gate.company_id, gate.driver_id, Category.TRACK, at=BEGAN)
        upload_id = uuid7()
        blob = codec.seal(
            key, codec.pack(positions, 0), row_id=upload_id, schema=codec.CHUNK_SCHEMA
        )
        first_at, last_at = (from_ms(int(positions.time_ms[end])) for end in (0, -1))
        row = ChunkRow(upload_id, first_at, last_at, len(positions), key.key_id, blob)
        deposits.append(deposit(gate, row, stored_at=stored_at))
    for start in range(0, len(deposits), 200):
        await store.store(conn, store.STORE_OR_SKIP, deposits[start : start + 200])


async def follow(at: Stage, report: Report, *, of: Size) -> None:
    """Begin to follow all routes, then refresh them as the day goes on."""
    fleet = await planned(at, ROUTES[of], DAYS[of])
    live = LiveRoutes(at.pool, at.vault, Reads(at.pool, tell_of_alert))
    own = psutil.Process()
    conn = await store.open_committer(at.main)
    try:
        for begin_s in range(0, BEFORE_S, 600):
            await upload(at, conn, fleet, begin_s, begin_s + 600)
        before_bytes = own.memory_info().rss
        begun_s, refreshes = await _begun(live, fleet)
        held_bytes = own.memory_info().rss - before_bytes
        took_s, cpu_s, database_s, found = [], [], [], []
        for tick in range(REFRESHES[of]):
            from_s = BEFORE_S + tick * TICK_S
            await upload(at, conn, fleet, from_s, from_s + TICK_S)
            now = BEGAN + timedelta(seconds=from_s + TICK_S)
            start, start_cpu = time.perf_counter(), time.process_time()
            start_database = _database_s(at)
            found = await live.refresh(fleet.company_id, now=now)
            took_s.append(time.perf_counter() - start)
            cpu_s.append(time.process_time() - start_cpu)
            database_s.append(_database_s(at) - start_database)
    finally:
        await conn.close()
    held_kb = held_bytes / max(len(found), 1) / 1000
    _tell(report, found, took_s, cpu_s, database_s)
    report.add(
        Row(
            figure="after a start, until all are followed",
            value=round(begun_s, 1),
            unit="s",
            note=f"{refreshes} refreshes; {BEFORE_S // 60} minutes of track of each",
        )
    )
    report.add(
        Row(
            figure="memory of a route that is followed",
            value=round(held_kb),
            unit="kB",
            target=f"<= {ROUTE_KB_MAX}",
            met=held_kb <= ROUTE_KB_MAX,
        )
    )


async def _begun(live: LiveRoutes, fleet: Fleet) -> tuple[float, int]:
    """Refresh until every route is followed; return how long that took, and how many times."""
    start, refreshes = time.perf_counter(), 0
    now = BEGAN + timedelta(seconds=BEFORE_S)
    while len(live) < len(fleet.drivers):
        await live.refresh(fleet.company_id, now=now)
        refreshes += 1
    return time.perf_counter() - start, refreshes


def _tell(
    report: Report,
    found: list[Refreshed],
    took_s: list[float],
    cpu_s: list[float],
    database_s: list[float],
) -> None:
    count, whole_s = max(len(found), 1), median(took_s)
    busy_s = median(cpu_s) + median(database_s)
    report.add(
        Row(
            figure=f"a refresh of {len(found):,} routes",
            value=round(whole_s, 2),
            unit="s",
            target=f"<= {TICK_S / 2:.0f}",
            met=whole_s <= TICK_S / 2,
            note=f"p90 {percentile(took_s, 90):.2f} s; every {TICK_S} s",
        )
    )
    report.add(
        Row(
            figure="of a route",
            value=round(whole_s / count * MS, 2),
            unit="ms",
            target=f"<= {ROUTE_MS_MAX}",
            met=whole_s / count * MS <= ROUTE_MS_MAX,
            note=f"CPU {median(cpu_s) / count * MS:.2f} ms, PostgreSQL "
            f"{median(database_s) / count * MS:.2f} ms",
        )
    )
    report.add(
        Row(
            figure="share of one core, of the whole time",
            value=round(100 * busy_s / TICK_S, 1),
            unit="%",
        )
    )


def _database_s(at: Stage) -> float:
    """Return the processor time of PostgreSQL's processes so far."""
    if at.postgres_pid is None:
        return 0.0
    top = psutil.Process(at.postgres_pid)
    spent = 0.0
    for one in (top, *top.children(recursive=True)):
        try:
            times = one.cpu_times()
        except psutil.NoSuchProcess:
            continue
        spent += times.user + times.system
    return spent


def main() -> int:
    return measured(Report(name="bench-live-routes"), partial(follow, of=size()))


if __name__ == "__main__":
    sys.exit(main())
