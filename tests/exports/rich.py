"""A driver with something real in every row that is sealed: what comes out of a package is read."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import numpy as np
import zstandard

from server.alerts.model import ALERT_SCHEMA
from server.erasure import service as erasure
from server.gate import service as gate
from server.kit.ids import uuid7
from server.ledger.model import Actor, ActorKind
from server.reports.service import REPORT_SCHEMA
from server.stop_events.service import EVENT_SCHEMA
from server.tracking import codec
from server.tracking.model import Positions, to_ms
from server.vault.model import Category
from tests.erasure.person import Person, add_person
from tests.exports.given import concern, give
from tests.world import NOW, World

STOP: Final = "Zhanna Kliyentova, flat 7"
"""A customer, who is somebody else: in a report, and in no package."""
STEP: Final = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rich:
    person: Person
    canaries: tuple[str, ...]
    """What their package has to hold, and nobody else's may."""


async def rich(world: World, number: int = 1) -> Rich:
    """Add a driver who left a trace in every table, and put real things in what is sealed."""
    person = await add_person(world, number)
    said, plate = f"My knee hurts, canary {number}", f"{700 + number} KNR 02"
    await _say(world, person.driver_id, said)
    lat, lon = 43.2389490 + number / 100, 76.8897090
    await add_track(world, person.driver_id, positions=3, lat=lat, lon=lon)
    await _drive(world, person.driver_id, plate)
    await give(world, person.driver_id)
    await concern(world, person.driver_id)
    async with gate.stopping(world.pool, world.company_id, person.driver_id, now=NOW) as conn:
        by = Actor(kind=ActorKind.DRIVER, member_id=person.driver_id)
        await erasure.ask(conn, world.company_id, person.driver_id, by=by, reason=None, now=NOW)
    # Who is to be erased wants no news: but what they had chosen before is exported as well.
    await world.owner.execute(
        "INSERT INTO notice_preference (company_id, member_id, channel, marketing, changed_at)"
        " VALUES ($1, $2, 'email', false, $3) ON CONFLICT DO NOTHING",
        world.company_id,
        person.driver_id,
        NOW,
    )
    name, phone, email = person.canaries[:3]
    canaries = (name, phone, email, said, plate, f"{lat:.7f}", f"report canary {number}")
    await _report(world, person.driver_id, canaries[-1])
    return Rich(person=person, canaries=(*canaries, str(person.driver_id)))


async def _say(world: World, driver_id: UUID, text: str) -> None:
    key = await world.vault.key(world.company_id, driver_id, Category.REPORT, at=NOW)
    said = {"kind": "comment", "at": NOW.isoformat(), "text": text}
    row = await world.owner.fetchrow("SELECT * FROM stop_event WHERE driver_id = $1", driver_id)
    assert row is not None
    row_id = row["stop_event_id"].bytes
    await world.owner.execute(
        "UPDATE stop_event SET event_sealed = $2 WHERE stop_event_id = $1",
        row["stop_event_id"],
        key.seal(json.dumps(said).encode(), row_id=row_id, schema=EVENT_SCHEMA),
    )
    alert_id: UUID = await world.owner.fetchval(
        "SELECT alert_id FROM alert WHERE driver_id = $1", driver_id
    )
    particulars = json.dumps({"since": NOW.isoformat(), "late_s": 1234.5}).encode()
    await world.owner.execute(
        "UPDATE alert SET particulars_sealed = $2 WHERE alert_id = $1",
        alert_id,
        key.seal(particulars, row_id=alert_id.bytes, schema=ALERT_SCHEMA),
    )


async def _report(world: World, driver_id: UUID, canary: str) -> None:
    key = await world.vault.key(world.company_id, driver_id, Category.REPORT, at=NOW)
    route_id: UUID = await world.owner.fetchval(
        "SELECT route_id FROM plan_fact_report WHERE driver_id = $1", driver_id
    )
    report = {"stops": [{"name": STOP, "status": "visited"}], "algorithm_version": canary}
    packed = zstandard.ZstdCompressor().compress(json.dumps(report).encode())
    await world.owner.execute(
        "UPDATE plan_fact_report SET sealed = $2 WHERE route_id = $1",
        route_id,
        key.seal(packed, row_id=route_id.bytes, schema=REPORT_SCHEMA),
    )


async def _drive(world: World, driver_id: UUID, plate: str) -> None:
    vehicle_id = uuid7()
    await world.owner.execute(
        "INSERT INTO vehicle (company_id, vehicle_id, name, plate, created_at)"
        " VALUES ($1, $2, 'Kamaz', $3, $4)",
        world.company_id,
        vehicle_id,
        plate,
        NOW,
    )
    await world.owner.execute(
        "UPDATE route SET vehicle_id = $2 WHERE driver_id = $1", driver_id, vehicle_id
    )


async def add_track(
    world: World,
    driver_id: UUID,
    *,
    positions: int,
    lat: float = 43.2389490,
    lon: float = 76.8897090,
    a_row: int = 120,
    until: datetime = NOW,
) -> None:
    """Store so many positions as compaction leaves them, in place of what there was."""
    await world.owner.execute("DELETE FROM chunk WHERE driver_id = $1", driver_id)
    rows = []
    for start in range(0, positions, a_row):
        count = min(a_row, positions - start)
        first = until - STEP * (positions - start)
        last = first + STEP * (count - 1)
        if (first.year, first.month) != (last.year, last.month):
            continue  # no row spans two months
        rows.append(await _row(world, driver_id, first, count, lat, lon))
    await world.owner.copy_records_to_table(
        "chunk",
        records=rows,
        columns=(
            *("company_id", "driver_id", "last_at", "upload_id", "first_at", "stored_at"),
            *("count", "key_id", "blob"),
        ),
    )
    await _add_latest(world, driver_id, lat, lon)


async def _row(
    world: World, driver_id: UUID, first: datetime, count: int, lat: float, lon: float
) -> tuple[object, ...]:
    key = await world.vault.key(world.company_id, driver_id, Category.TRACK, at=first)
    upload_id = uuid7()
    packed = codec.pack(_positions(first, count, lat, lon), 0)
    blob = codec.seal(key, packed, row_id=upload_id, schema=codec.CHUNK_SCHEMA)
    last = first + STEP * (count - 1)
    ids = (world.company_id, driver_id)
    return (*ids, last, upload_id, first, last, count, key.key_id, blob)


async def _add_latest(world: World, driver_id: UUID, lat: float, lon: float) -> None:
    live = await world.vault.key(world.company_id, driver_id, Category.LIVE, at=NOW)
    packed = codec.pack(_positions(NOW, 1, lat, lon), 0)
    await world.owner.execute(
        "UPDATE latest_position SET blob = $2, key_id = $3 WHERE driver_id = $1",
        driver_id,
        codec.seal(live, packed, row_id=driver_id, schema=codec.LATEST_SCHEMA),
        live.key_id,
    )


def _positions(first: datetime, count: int, lat: float, lon: float) -> Positions:
    """Return them on a winding way, each with every value: none packs better than a real one."""
    step = np.arange(count)
    turn = (to_ms(first) // 1000 + step * 30) % 86_400
    values = np.empty((7, count))
    values[0] = np.round(lat + np.where(step, 0.01 * np.sin(turn / 900.0), 0.0), 7)
    values[1] = np.round(lon + np.where(step, 0.01 * np.cos(turn / 700.0), 0.0), 7)
    values[2] = 5 + turn % 17
    values[3] = np.round(10 + 8 * np.sin(turn / 300.0), 2)
    values[4] = np.round(turn / 7.0 % 360, 1)
    values[5] = np.round(800 + 20 * np.sin(turn / 1200.0), 1)
    values[6] = 100 - turn % 100
    return Positions(
        time_ms=to_ms(first) + step.astype(np.int64) * 30_000,
        values=values,
        flags=np.full(count, 1, np.uint8),
    )
