"""How many positions one machine takes in, and what each costs.

The production server and a row-per-position baseline take the same uploads in turn, over the
same durable PostgreSQL. Ours authenticates and checks gate and windows; the baseline checks the
gate alone, and its tokens in memory: 1, 10, 60 and 300 positions per
upload, as objects and as columns. Medians of several rounds. Server, PostgreSQL and load generator
share the machine; the processor time of each is told apart. ``SIZE=smoke`` for a short run.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Final

from bench.bodies import STEP_S, Shape
from bench.fleet import ON_SHIFT, Ground
from bench.load import Outcome, Plan
from bench.loads import loading
from bench.servers import Cost, cost, wal_bytes
from tests.proofs import Progress, Report, Row, at_least

CONNECTIONS: Final = 64
BASELINE: Final = "baseline: row per position, aiohttp and asyncpg on uvloop"
VARIANTS: Final[tuple[tuple[str, Shape], ...]] = (
    ("jolda", "objects"),
    ("jolda", "columns"),
    ("baseline", "objects"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    rounds: int
    drivers: int
    uploads_each: dict[int, int]
    """By positions per upload, uploads of each driver."""


SIZES: Final = {
    "smoke": Sizes(rounds=1, drivers=20, uploads_each={10: 20, 60: 10}),
    "full": Sizes(rounds=3, drivers=200, uploads_each={1: 60, 10: 60, 60: 30, 300: 6}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One variant in one round."""

    size: int
    outcome: Outcome
    cost: Cost
    wal_bytes: int

    @property
    def positions(self) -> int:
        return (self.outcome.uploads - self.outcome.failed) * self.size

    @property
    def positions_per_s(self) -> float:
        return self.positions / self.outcome.seconds

    @property
    def server_us(self) -> float:
        """Processor time of the server per upload."""
        return 1e6 * self.cost.server_s / self.outcome.uploads

    @property
    def postgres_us(self) -> float:
        return 1e6 * self.cost.postgres_s / self.outcome.uploads

    @property
    def load_us(self) -> float:
        return 1e6 * self.outcome.cpu_s / self.outcome.uploads


class Bench:
    """The runs so far."""

    def __init__(self, ground: Ground, sizes: Sizes) -> None:
        self._at = ground.at
        self._sizes = sizes
        self._tokens = [driver.token for driver in ground.fleet[: sizes.drivers]]
        self._servers = {"jolda": ground.ours, "baseline": ground.plain}
        # Each run has its own stretch of the shift, so that nothing is ever there already.
        self._began = datetime.now(UTC) - ON_SHIFT + timedelta(minutes=5)
        self.runs: dict[tuple[str, Shape, int], list[Run]] = {}

    async def run(self, name: str, shape: Shape, positions: int) -> None:
        uploads_each = self._sizes.uploads_each[positions]
        plan = Plan(
            port=self._servers[name].port,
            connections=CONNECTIONS,
            shape=shape,
            size=positions,
            uploads_each=uploads_each,
            began=self._began.isoformat(),
            seed=len(self.runs),
            tokens=self._tokens,
        )
        self._began += timedelta(seconds=STEP_S * positions * uploads_each)
        served = self._servers[name]
        async with loading(plan) as load:
            wal = await wal_bytes(self._at)
            before = cost(served, self._at)
            outcome = await load.upload()
            spent = cost(served, self._at).since(before)
            written = await wal_bytes(self._at) - wal
        run = Run(size=positions, outcome=outcome, cost=spent, wal_bytes=written)
        self.runs.setdefault((name, shape, positions), []).append(run)

    def middle(self, name: str, shape: Shape, positions: int, of: Callable[[Run], float]) -> float:
        return float(median(of(run) for run in self.runs[name, shape, positions]))


async def measure(ground: Ground, report: Report) -> None:
    sizes = SIZES[ground.size]
    bench = Bench(ground, sizes)
    progress = Progress("uploads", sizes.rounds * len(sizes.uploads_each) * len(VARIANTS))
    for _ in range(sizes.rounds):
        for positions in sizes.uploads_each:
            for name, shape in VARIANTS:
                await bench.run(name, shape, positions)
                progress.step()
    say(report, bench, sizes)


def say(report: Report, bench: Bench, sizes: Sizes) -> None:
    for positions in sizes.uploads_each:
        _say_rate(report, bench, positions)
        _say_cost(report, bench, positions)
        _say_wal(report, bench, positions)


RATE_TARGETS: Final = {10: 5.0, 60: 7.0}
COST_TARGETS_US: Final = {(10, "objects"): 100.0, (10, "columns"): 70.0}
WAL_TARGETS_BYTES: Final = {10: 60.0, 60: 14.0}


def _say_rate(report: Report, bench: Bench, positions: int) -> None:
    plain = bench.middle("baseline", "objects", positions, lambda run: run.positions_per_s)
    for shape in ("objects", "columns"):
        rate = bench.middle("jolda", shape, positions, lambda run: run.positions_per_s)
        p99 = bench.middle("jolda", shape, positions, lambda run: run.outcome.p99_ms)
        failed = sum(run.outcome.failed for run in bench.runs["jolda", shape, positions])
        report.add(
            Row(
                figure=f"positions/s, {positions} per upload, {shape}",
                value=round(rate),
                unit="1/s",
                baseline=round(plain),
                note=f"p99 {p99:.0f} ms, {failed} uploads not stored, {CONNECTIONS} connections,"
                f" one worker; {BASELINE}",
            )
        )
        figure = f"times the baseline's positions/s, {positions} per upload, {shape}"
        target = RATE_TARGETS.get(positions)
        if target is None:
            report.add(Row(figure=figure, value=round(rate / plain, 2), unit="x", baseline=1))
        else:
            row = at_least(figure, rate / plain, target, unit="x", baseline=1)
            report.add(replace(row, note=BASELINE))


def _say_cost(report: Report, bench: Bench, positions: int) -> None:
    plain = bench.middle("baseline", "objects", positions, lambda run: run.server_us)
    plain_postgres = bench.middle("baseline", "objects", positions, lambda run: run.postgres_us)
    for shape in ("objects", "columns"):
        spent = bench.middle("jolda", shape, positions, lambda run: run.server_us)
        load = bench.middle("jolda", shape, positions, lambda run: run.load_us)
        figure = f"CPU of the server per upload, {positions} positions, {shape}"
        target = COST_TARGETS_US.get((positions, shape))
        report.add(
            Row(
                figure=figure,
                value=round(spent),
                unit="us",
                target=None if target is None else f"<= {target:g}",
                met=None if target is None else spent <= target,
                baseline=round(plain),
                note=f"load generator {load:.0f} us",
            )
        )
        postgres = bench.middle("jolda", shape, positions, lambda run: run.postgres_us)
        report.add(
            Row(
                figure=f"CPU of PostgreSQL per upload, {positions} positions, {shape}",
                value=round(postgres),
                unit="us",
                baseline=round(plain_postgres),
            )
        )


def _say_wal(report: Report, bench: Bench, positions: int) -> None:
    def per_position(run: Run) -> float:
        return run.wal_bytes / run.positions

    plain = bench.middle("baseline", "objects", positions, per_position)
    wal = bench.middle("jolda", "objects", positions, per_position)
    target = WAL_TARGETS_BYTES.get(positions)
    report.add(
        Row(
            figure=f"WAL per position, {positions} per upload",
            value=round(wal, 1),
            unit="bytes",
            target=None if target is None else f"<= {target:g}",
            met=None if target is None else wal <= target,
            baseline=round(plain, 1),
        )
    )
