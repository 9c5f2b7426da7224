"""Half an hour of uploads by the clock, and what has grown meanwhile.

Every driver's own time runs faster than the clock and lies in the past, so that hours become due
and the server's compaction merges them while uploads go on. Beside them drive some who agreed to
their latest position only: those rows are overwritten in place. At the end everything that was
acknowledged is compared with what is stored. ``make soak RATE=3000 MINUTES=30``; ``SIZE=smoke``
for some seconds.
"""

import argparse
import asyncio
import csv
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from bench import page, tables
from bench.fleet import ON_SHIFT, FleetDriver, make_fleet
from bench.kept import Kept, check
from bench.loads import loading
from bench.measured import measured
from bench.memory import MEMORY_MB_MAX, fit
from bench.openload import OpenPlan
from bench.phones import Step
from bench.servers import Cost, Served, cost, jolda, wal_bytes
from bench.tables import Table
from bench.targets import SOAK_TARGETS
from server.gate.model import GateItem
from tests.proofs import FOLDER, Report, Row, at_least, at_most, size
from tests.stage import Stage

NAME: Final = "soak"
POSITIONS: Final = 10
STEP_S: Final = 3.0
SPAN_S: Final = POSITIONS * STEP_S
PAST_S_MAX: Final = ON_SHIFT.total_seconds() - 3 * 3600
"""Of a driver's own time: it begins after the shift did, and all of it is over."""
LATEST_EVERY_S: Final = 30.0
SECONDS_MIN: Final = 3.0
RATE_MIN: Final = 3_000.0
P99_MS_MAX: Final = 100.0
GROWTH_MB_PER_H_MAX: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    rate: float
    seconds: float
    drivers: int
    latest_only: int
    companies: int
    sample_s: float
    settled_s: float
    readers: int
    workers: int = 1


SMOKE: Final = Sizes(
    rate=150,
    seconds=3,
    drivers=30,
    latest_only=4,
    companies=2,
    sample_s=1,
    settled_s=1,
    readers=5,
)
FULL: Final = Sizes(
    rate=1_000,
    seconds=1_800,
    drivers=2_000,
    latest_only=200,
    companies=50,  # of a larger one no more than 3,000 driver-hours an hour are merged
    sample_s=10,
    settled_s=120,
    readers=50,
)


@dataclass(slots=True)
class Watched:
    """What was sampled while the load lasted."""

    times_s: list[float] = field(default_factory=list)
    loads: list[dict[str, Any]] = field(default_factory=list)
    memory_mb: list[float] = field(default_factory=list)
    files: list[int | None] = field(default_factory=list)
    tables: list[dict[str, Table]] = field(default_factory=list)
    wal: list[int] = field(default_factory=list)
    whole: dict[str, Any] = field(default_factory=dict)

    async def look(self, at: Stage, served: Served, load: dict[str, Any]) -> None:
        self.times_s.append(load["at_s"])
        self.loads.append(load)
        self.memory_mb.append(served.memory_mb())
        self.files.append(served.files())
        self.tables.append(await tables.tables(at))
        self.wal.append(await wal_bytes(at))


async def measure(at: Stage, report: Report, *, sizes: Sizes) -> None:
    fleet = await make_fleet(at, sizes.drivers, companies=sizes.companies)
    few = await make_fleet(at, sizes.latest_only, companies=1, without=(GateItem.PLAN_FACT,))
    async with jolda(at, workers=sizes.workers) as served:
        plan = _plan(served, fleet, sizes)
        watched = Watched()
        wal, before = await wal_bytes(at), cost(served, at)
        async with loading(plan) as load, loading(_latest_plan(served, few, sizes)) as beside:
            latest = asyncio.create_task(beside.whole())
            async for told in load.samples():
                if "at_s" in told:
                    await watched.look(at, served, told)
                    _say_progress(watched, sizes)
                else:
                    watched.whole = told
            overwritten = await latest
        spent = cost(served, at).since(before)
        written = await wal_bytes(at) - wal
        kept = await check(at, plan, fleet, watched.whole["missing"], readers=sizes.readers)
    _write_samples(watched)
    _say_load(report, watched, sizes, overwritten)
    _say_kept(report, kept, watched)
    _say_memory(report, watched, sizes)
    tables.say(report, watched.times_s, watched.tables, settled_s=sizes.settled_s)
    _say_cost(report, watched, spent, written, await _merged(at))


def _plan(served: Served, fleet: Sequence[FleetDriver], sizes: Sizes) -> OpenPlan:
    past_s = sizes.rate * sizes.seconds / len(fleet) * SPAN_S
    if past_s > PAST_S_MAX:
        sys.exit(f"Each driver would drive {past_s / 3600:.0f} h: that takes more drivers.")
    return OpenPlan(
        port=served.port,
        tokens=[one.token for one in fleet],
        steps=(Step(sizes.rate, sizes.seconds),),
        size=POSITIONS,
        step_s=STEP_S,
        began_ms=round(1000 * (time.time() - ON_SHIFT.total_seconds() + 3600)),
        span_ms=1000 * SPAN_S,
        sample_every_s=sizes.sample_s,
    )


def _latest_plan(served: Served, few: Sequence[FleetDriver], sizes: Sizes) -> OpenPlan:
    every_s = min(LATEST_EVERY_S, sizes.seconds / 4)
    return OpenPlan(
        port=served.port,
        tokens=[one.token for one in few],
        steps=(Step(len(few) / every_s, sizes.seconds),),
        size=POSITIONS,
        step_s=every_s / POSITIONS,
        began_ms=round(1000 * (time.time() - every_s)),
        span_ms=1000 * every_s,
        sample_every_s=sizes.seconds,
    )


def _say_progress(watched: Watched, sizes: Sizes) -> None:
    load = watched.loads[-1]
    sys.stderr.write(
        f"{load['at_s']:.0f} of {sizes.seconds:.0f} s: {load['stored'] / sizes.sample_s:.0f}/s"
        f" stored, p99 {load['p99_ms']} ms, {watched.memory_mb[-1]:.0f} MB,"
        f" {watched.tables[-1]['chunk'].dead} dead rows\n"
    )


async def _merged(at: Stage) -> int:
    """Return how many rows compaction made: theirs is another version of id than an upload's."""
    count: int = await at.owner.fetchval(
        "SELECT count(*) FROM chunk WHERE get_byte(uuid_send(upload_id), 6) >> 4 = 4"
    )
    return count


def _write_samples(watched: Watched) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / f"{NAME}.csv").open("w", newline="", encoding="utf-8") as opened:
        lines = csv.writer(opened)
        named = ("stored", "answered", "cut_off", "overdue", "waiting", "p50_ms", "p99_ms")
        head = ("at_s", *named, "memory_mb", "files", "wal_bytes")
        lines.writerow(
            (*head, *(f"{name}_{of}" for name in tables.TOLD for of in ("dead", "bytes")))
        )
        for place, load in enumerate(watched.loads):
            found = watched.tables[place]
            lines.writerow(
                (
                    watched.times_s[place],
                    *(load[name] for name in named),
                    round(watched.memory_mb[place], 1),
                    watched.files[place],
                    watched.wal[place],
                    *(
                        value
                        for name in tables.TOLD
                        for value in (
                            found[name].dead,
                            found[name].table_bytes + found[name].index_bytes,
                        )
                    ),
                )
            )


def _say_load(report: Report, watched: Watched, sizes: Sizes, overwritten: dict[str, Any]) -> None:
    whole = watched.whole
    report.add(
        at_least(
            "soak: uploads stored a second",
            whole["stored"] / sizes.seconds,
            RATE_MIN,
            unit="1/s",
            note=f"{sizes.rate:g}/s due for {sizes.seconds / 60:.3g} min, {POSITIONS} positions"
            f" each, of {sizes.drivers} drivers; beside them {sizes.latest_only} whose latest"
            f" position was overwritten {overwritten['accepted']} times; {sizes.workers} workers",
        )
    )
    worst = max((one["p99_ms"] or 0.0 for one in watched.loads), default=0.0)
    report.add(
        at_most(
            "soak: p99 of what is stored",
            whole["p99_ms"] or 0.0,
            P99_MS_MAX,
            unit="ms",
            note=f"from the time it was due; p50 {whole['p50_ms']} ms; p99 of the worst"
            f" {sizes.sample_s:g} s {worst} ms",
        )
    )
    failed = whole["due"] - whole["stored"]
    report.add(
        Row(
            figure="soak: uploads not stored",
            value=failed,
            target="= 0",
            met=failed == 0,
            note=f"answers {whole['statuses']}; cut off {whole['cut_off']};"
            f" never sent {whole['overdue']}",
        )
    )


def _say_kept(report: Report, kept: Kept, watched: Watched) -> None:
    lost = kept.lost + kept.read_lost
    unasked = kept.unasked + kept.read_doubled
    report.add(
        Row(
            figure="soak: acknowledged positions that are not stored",
            value=lost,
            target="= 0",
            met=lost == 0 and kept.acknowledged == watched.whole["accepted"],
            note=f"of {kept.acknowledged}; some drivers read {kept.read} of theirs over HTTP,"
            f" {kept.read_lost} of these missing",
        )
    )
    report.add(
        Row(
            figure="soak: positions stored unasked",
            value=unasked,
            target="= 0",
            met=unasked == 0,
            note=f"neither acknowledged nor under way; {kept.read_doubled} read twice",
        )
    )


def _say_memory(report: Report, watched: Watched, sizes: Sizes) -> None:
    places = [place for place, at_s in enumerate(watched.times_s) if at_s >= sizes.settled_s]
    line = fit(
        [watched.times_s[place] for place in places], [watched.memory_mb[place] for place in places]
    )
    even = watched.memory_mb[:: max(1, len(watched.memory_mb) // 10)]
    report.add(
        at_most(
            "soak: memory of a worker",
            max(watched.memory_mb),
            MEMORY_MB_MAX,
            unit="MB",
            note=f"largest; at even distances {' '.join(f'{one:.0f}' for one in even)}",
        )
    )
    report.add(
        at_most(
            "soak: growth of a worker's memory",
            round(line.per_hour, 2),
            GROWTH_MB_PER_H_MAX,
            unit="MB/h",
            note=f"by a straight line from {sizes.settled_s:g} s on",
        )
    )
    report.add(
        Row(
            figure="soak: open files of a worker, at first and before the end",
            # At the last look the phones may have hung up.
            value=(
                "known to root alone"
                if watched.files[0] is None
                else f"{watched.files[0]} and {watched.files[-2]}"
            ),
        )
    )


def _say_cost(report: Report, watched: Watched, spent: Cost, written: int, merged: int) -> None:
    uploads = max(1, watched.whole["stored"])
    load_us = 1e6 * watched.whole["cpu_s"] / uploads
    for name, seconds in (("server", spent.server_s), ("PostgreSQL", spent.postgres_s)):
        report.add(
            Row(
                figure=f"soak: CPU of the {name} per upload".replace("the P", "P"),
                value=round(1e6 * seconds / uploads),
                unit="us",
                note=f"compaction included; load generator {load_us:.0f} us",
            )
        )
    report.add(
        Row(
            figure="soak: WAL per position",
            value=round(written / uploads / POSITIONS, 1),
            unit="bytes",
            note=f"compaction included; {written / 1e6:.0f} MB in all",
        )
    )
    report.add(Row(figure="soak: rows that compaction made", value=merged))


def _asked(words: Sequence[str] | None = None) -> Sizes:
    sizes = SMOKE if size() == "smoke" else FULL
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--rate", type=float, default=sizes.rate, help="uploads a second")
    parser.add_argument("--minutes", type=float, default=sizes.seconds / 60)
    parser.add_argument("--drivers", type=int, default=sizes.drivers)
    parser.add_argument("--workers", type=int, default=sizes.workers)
    told = parser.parse_args(words)
    seconds = told.minutes * 60
    if seconds < SECONDS_MIN or told.rate <= 0 or told.drivers < 1:
        parser.error(f"at least {SECONDS_MIN:g} seconds, one driver, and more than no uploads")
    return replace(
        sizes,
        rate=told.rate,
        seconds=seconds,
        sample_s=min(sizes.sample_s, seconds / 3),
        settled_s=min(sizes.settled_s, seconds / 3),
        drivers=told.drivers,
        workers=told.workers,
    )


def main() -> int:
    report = Report(name=NAME)
    sizes = _asked()
    status = measured(report, partial(measure, sizes=sizes))
    if size() == "full" and sizes.seconds >= FULL.seconds:
        page.rewrite(NAME, page.written(FOLDER / f"{NAME}.json", SOAK_TARGETS, report.rows))
    return status


if __name__ == "__main__":
    sys.exit(main())
