"""What the ledger costs: acts on one chain, going over it, and the reads of a large control room.

Everything runs in this process over a durable PostgreSQL on the same machine. Acts are measured
beside the same transactions without an entry; reads beside a row that lists its drivers itself,
each look in a transaction of its own. ``SIZE=smoke`` for a short run.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from statistics import quantiles
from typing import Final
from uuid import UUID, uuid4

import psutil
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from bench.measured import measured
from server.kit import db
from server.kit.ids import uuid7
from server.ledger import service, store
from server.ledger.model import (
    Act,
    Actor,
    ActorKind,
    Entry,
    Place,
    facts_text,
    genesis,
    link,
    seal_detail,
)
from server.ledger.verify import verify
from server.reads import service as reads
from server.reads.model import BUCKET, ReadPurpose, Screen
from server.rights.service import tell_of_alert
from tests.ledger.chains import append_some, bare_company, bare_world, enrolled
from tests.proofs import Report, Row, at_most, size
from tests.stage import Stage
from tests.world import NOW, World

AT_ONCE: Final = 16
VERIFIED_S_MAX: Final = 60.0
MILLION: Final = 1_000_000
PAGE: Final = 100
DETAIL: Final = {"item": "location", "sources": ["gps", "wifi"], "notice": "driver_notice/1/kk"}
PLAIN_ACT: Final = "CREATE TABLE bench_act (company_id uuid, act_id uuid, PRIMARY KEY (act_id))"
PLAIN_READ: Final = (
    "CREATE TABLE bench_read (company_id uuid, bucket_at timestamptz, viewer_id uuid,"
    " drivers uuid[], PRIMARY KEY (company_id, bucket_at, viewer_id))"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    acts: int
    entries: int
    viewers: int
    drivers: int
    buckets: int
    """Of reads, for what a driver's own page costs."""


SIZES: Final = {
    "smoke": Sizes(acts=100, entries=2_000, viewers=20, drivers=50, buckets=3),
    "full": Sizes(acts=10_000, entries=100_000, viewers=500, drivers=2_000, buckets=36),
}


async def measure(at: Stage, sizes: Sizes, report: Report) -> None:
    world = await bare_world(at.vault, at.pool, at.owner)
    for table in (PLAIN_ACT, PLAIN_READ):
        await at.owner.execute(table)
    await at.owner.execute("GRANT INSERT ON bench_act, bench_read TO jolda_app")
    await _acts(world, sizes, report)
    await _going_over(world, sizes, report)
    await _reads(world, sizes, report)


# ---- acts


async def _acts(world: World, sizes: Sizes, report: Report) -> None:
    driver_id = await enrolled(world)
    dispatcher_id = await enrolled(world, "dispatcher")

    async def entry(_number: int) -> None:
        await append_some(
            world.pool, world.company_id, driver_id=driver_id, dispatcher_id=dispatcher_id, number=0
        )

    async def plain(_number: int) -> None:
        async with db.tenant(world.pool, world.company_id) as conn:
            await conn.execute("INSERT INTO bench_act VALUES ($1, $2)", world.company_id, uuid7())

    for number in range(AT_ONCE):
        await entry(number)  # the first few prepare statements
    without = await _each_ms(plain, sizes.acts)
    alone = await _each_ms(entry, sizes.acts // 10, at_once=1)
    with_entry = await _each_ms(entry, sizes.acts)
    report.add(
        Row(
            figure=f"acts/s on one company's chain, {AT_ONCE} at once, detail sealed",
            value=round(with_entry.per_s),
            unit="1/s",
            baseline=round(without.per_s),
            note=f"p99 {with_entry.p99_ms:.1f} ms; the baseline writes one row instead",
        )
    )
    report.add(Row(figure="an act alone, p99", value=round(alone.p99_ms, 1), unit="ms"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    per_s: float
    p99_ms: float


async def _each_ms(
    work: Callable[[int], Awaitable[None]], count: int, *, at_once: int = AT_ONCE
) -> Pace:
    waiting = iter(range(count))
    took_ms: list[float] = []

    async def worker() -> None:
        for number in waiting:
            began_s = time.perf_counter()
            await work(number)
            took_ms.append(1e3 * (time.perf_counter() - began_s))

    began_s = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(at_once)))
    seconds = time.perf_counter() - began_s
    return Pace(per_s=count / seconds, p99_ms=quantiles(took_ms, n=100)[-1])


# ---- going over a chain


async def _going_over(world: World, sizes: Sizes, report: Report) -> None:
    company_id = await bare_company(world.vault, world.owner)
    before = await _entry_bytes(world)
    await _fill(world, company_id, sizes.entries)
    bytes_each = (await _entry_bytes(world) - before) / sizes.entries
    async with db.tenant(world.pool, company_id, readonly=True) as conn:
        began_s = time.perf_counter()
        verdict = await verify(conn, company_id, public_keys=world.vault.public_keys())
        seconds = time.perf_counter() - began_s
    if not verdict.sound or verdict.entries != sizes.entries:
        sys.exit(f"The chain that was made is not sound: {verdict}.")
    report.add(
        at_most(
            "verify 1,000,000 entries",
            seconds * MILLION / sizes.entries,
            VERIFIED_S_MAX,
            unit="s",
            note=f"extrapolated from {seconds:.2f} s for {sizes.entries} entries: it is one pass",
        )
    )
    report.add(Row(figure="an entry on disk, indexes in it", value=round(bytes_each), unit="bytes"))


async def _entry_bytes(world: World) -> int:
    return int(await world.owner.fetchval("SELECT pg_total_relation_size('ledger_entry')"))


async def _fill(world: World, company_id: UUID, count: int) -> None:
    """Write a chain as the service would, but in bulk and past row-level security."""
    subject_id = uuid4()
    public_key = X25519PrivateKey.generate().public_key().public_bytes_raw()
    place = Place(index=0, hash=genesis(company_id))
    rows = []
    for number in range(1, count + 1):
        at = NOW + timedelta(seconds=number)
        sealed = seal_detail(
            public_key,
            DETAIL,
            company_id=company_id,
            subject_id=subject_id,
            act=Act.CONSENT_GIVEN,
            at=at,
        )
        entry = Entry(
            company_id=company_id,
            index=number,
            recorded_at=at,
            act=Act.CONSENT_GIVEN.value,
            actor_kind=ActorKind.DRIVER.value,
            actor_id=subject_id,
            subject_id=subject_id,
            detail_sealed=sealed,
            facts=facts_text({"epoch": number}),
        )
        place = Place(index=number, hash=link(place.hash, entry.digest()))
        rows.append((*(getattr(entry, name) for name in Entry.__slots__), place.hash))
    await world.owner.copy_records_to_table(
        "ledger_entry", records=rows, columns=[*Entry.__slots__, "hash"]
    )
    await store.insert_head(world.owner, company_id, place)
    await world.owner.execute("VACUUM ANALYZE ledger_entry")
    async with db.tenant(world.pool, company_id) as conn:
        await service.checkpoint(conn, world.vault, company_id, NOW)


# ---- reads


async def _reads(world: World, sizes: Sizes, report: Report) -> None:
    drivers = await _many_drivers(world, sizes.drivers)
    viewers = [Actor(kind=ActorKind.API_TOKEN, reference_id=uuid4()) for _ in range(sizes.viewers)]
    looking = reads.Reads(world.pool, tell_of_alert)
    room = f"{sizes.viewers} viewers x {sizes.drivers} drivers"
    await _look(world, looking, viewers, drivers, 0)  # gives every driver a pseudonym
    before = await _read_bytes(world)
    process = psutil.Process()
    held, used = process.memory_info().rss, _cpu_s(process)
    seconds = await _look(world, looking, viewers, drivers, 1)
    cpu_s = _cpu_s(process) - used
    again_s = await _look(world, looking, viewers, drivers, 1)
    held_more = process.memory_info().rss - held
    grown = await _read_bytes(world) - before
    plain_s, plain_bytes = await _plain_reads(world, viewers, drivers)
    report.add(
        Row(
            figure=f"a bucket begins: {room}",
            value=round(seconds, 3),
            unit="s",
            baseline=round(plain_s, 3),
            note=f"until the last of them may send; {cpu_s:.2f} s of this process's time",
        )
    )
    report.add(
        Row(
            figure=f"a bucket of reads on disk, {room}",
            value=round(grown / 1e3),
            unit="kB",
            baseline=round(plain_bytes / 1e3),
            note=f"{sizes.viewers} rows and one set of drivers",
        )
    )
    report.add(
        Row(
            figure=f"the same looks again, {room}",
            value=round(1e6 * again_s / sizes.viewers),
            unit="us each",
            note="nothing is written",
        )
    )
    report.add(Row(figure="memory of what was seen", value=round(held_more / 1e6, 1), unit="MB"))
    await _closing(world, looking, viewers, drivers, sizes, report)
    await looking.close()


async def _closing(
    world: World,
    looking: reads.Reads,
    viewers: list[Actor],
    drivers: list[UUID],
    sizes: Sizes,
    report: Report,
) -> None:
    """Fill more buckets, each with other drivers missing; close them; ask as one driver."""
    for number in range(2, sizes.buckets):
        await _look(world, looking, viewers, drivers[number % 40 :], number)
    over = NOW + (sizes.buckets + 1) * BUCKET
    began_s = time.perf_counter()
    async with db.tenant(world.pool, world.company_id) as conn:
        closed = await reads.close_buckets(conn, world.company_id, over)
    close_ms = 1e3 * (time.perf_counter() - began_s) / closed
    report.add(
        Row(
            figure=f"closing a bucket of {sizes.viewers} rows",
            value=round(close_ms, 1),
            unit="ms",
            note=f"mean of {closed}",
        )
    )
    async with db.tenant(world.pool, world.company_id, readonly=True) as conn:
        began_s = time.perf_counter()
        found = await reads.views_of(
            conn, world.company_id, drivers[-1], since=NOW - BUCKET, limit=PAGE
        )
        views_ms = 1e3 * (time.perf_counter() - began_s)
    report.add(
        Row(
            figure=f"a driver asks who looked, {closed} buckets of {sizes.viewers} rows",
            value=round(views_ms, 1),
            unit="ms",
            note=f"a page of {len(found)}",
        )
    )


async def _many_drivers(world: World, count: int) -> list[UUID]:
    """Add members without names or keys: what is read is only who they are."""
    drivers = [uuid7() for _ in range(count)]
    await world.owner.executemany(
        "INSERT INTO member (company_id, member_id, role, state, locale, name_sealed, created_at)"
        " VALUES ($1, $2, 'driver', 'active', 'kk', '', $3)",
        [(world.company_id, driver_id, NOW) for driver_id in drivers],
    )
    return drivers


async def _look(
    world: World, looking: reads.Reads, viewers: list[Actor], drivers: list[UUID], bucket: int
) -> float:
    began_s = time.perf_counter()
    await asyncio.gather(
        *(
            looking.record(
                world.company_id,
                viewer,
                ReadPurpose.DISPATCH_TRACKING,
                Screen.LIVE_MAP,
                drivers,
                NOW + bucket * BUCKET,
            )
            for viewer in viewers
        )
    )
    return time.perf_counter() - began_s


async def _plain_reads(
    world: World, viewers: list[Actor], drivers: list[UUID]
) -> tuple[float, int]:
    async def look(viewer: Actor) -> None:
        async with db.tenant(world.pool, world.company_id) as conn:
            await conn.execute(
                "INSERT INTO bench_read VALUES ($1, $2, $3, $4)",
                world.company_id,
                NOW,
                viewer.reference_id,
                drivers,
            )

    began_s = time.perf_counter()
    await asyncio.gather(*(look(viewer) for viewer in viewers))
    seconds = time.perf_counter() - began_s
    grown = await world.owner.fetchval("SELECT pg_total_relation_size('bench_read')")
    return seconds, int(grown)


async def _read_bytes(world: World) -> int:
    return int(
        await world.owner.fetchval(
            "SELECT pg_total_relation_size('location_read')"
            " + pg_total_relation_size('location_read_set')"
            " + pg_total_relation_size('location_read_bucket')"
        )
    )


def _cpu_s(process: psutil.Process) -> float:
    used = process.cpu_times()
    return used.user + used.system


if __name__ == "__main__":
    sys.exit(measured(Report(name="ledger"), lambda at, told: measure(at, SIZES[size()], told)))
