"""How many positions one machine takes in, and what each costs.

The production server and a row-per-position baseline take the same uploads in turn, over the
same durable PostgreSQL. Ours authenticates and checks gate and windows; the baseline checks the
gate alone, and its tokens in memory: 1, 10, 60 and 300 positions per
upload, as objects and as columns. Medians of several rounds. Server, PostgreSQL and load generator
share the machine; the processor time of each is told apart. ``SIZE=smoke`` for a short run.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Final

from bench import storage
from bench.baseline import TABLE
from bench.bodies import STEP_S, Shape
from bench.load import Outcome, Plan
from bench.measured import measured
from bench.servers import Cost, Served, baseline, cost, jolda, loading
from server.gate import service as gates
from server.gate.model import GateItem
from server.kit import db
from tests.proofs import Progress, Report, Row, at_least, size
from tests.stage import Stage
from tests.world import Driver, add_company, add_driver

COMPANIES: Final = 4
CONNECTIONS: Final = 64
ON_SHIFT: Final = timedelta(hours=30)
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
    "smoke": Sizes(rounds=1, drivers=20, uploads_each={1: 20, 10: 20, 60: 10, 300: 4}),
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
        return self.outcome.uploads * self.size

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
    """Both servers, the fleet, and the runs so far."""

    def __init__(
        self, at: Stage, sizes: Sizes, fleet: list[Driver], servers: dict[str, Served]
    ) -> None:
        self._at = at
        self._sizes = sizes
        self._tokens = [driver.device_token for driver in fleet]
        self._servers = servers
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
            wal = await self._wal()
            before = cost(served, self._at)
            outcome = await load.upload()
            spent = cost(served, self._at).since(before)
            wal_bytes = await self._wal() - wal
        if outcome.failed:
            sys.exit(f"{name}, {positions} per upload: {outcome.failed} uploads failed.")
        run = Run(size=positions, outcome=outcome, cost=spent, wal_bytes=wal_bytes)
        self.runs.setdefault((name, shape, positions), []).append(run)

    async def _wal(self) -> int:
        return int(await self._at.owner.fetchval("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn"))

    def middle(self, name: str, shape: Shape, positions: int, of: Callable[[Run], float]) -> float:
        return float(median(of(run) for run in self.runs[name, shape, positions]))


async def make_fleet(at: Stage, count: int) -> list[Driver]:
    """Make drivers who gave every consent and have been on shift for a day."""
    now = datetime.now(UTC)
    fleet = []
    for _ in range(COMPANIES):
        company_id = await add_company(at.vault, at.owner)
        for _ in range(count // COMPANIES):
            driver = await add_driver(at.vault, at.pool, company_id, consents=(), on_shift=False)
            async with db.tenant(at.pool, company_id) as conn:
                for item in GateItem:
                    since = now - ON_SHIFT
                    await gates.set_consent(conn, company_id, driver.member_id, item, since)
                await gates.open_window(
                    conn,
                    company_id,
                    driver.member_id,
                    at=now - ON_SHIFT,
                    expires_at=now + ON_SHIFT,
                )
            fleet.append(driver)
    return fleet


async def measure(at: Stage, sizes: Sizes, report: Report) -> None:
    await at.owner.execute(TABLE)
    fleet = await make_fleet(at, sizes.drivers)
    async with jolda(at) as one, baseline(at) as other:
        bench = Bench(at, sizes, fleet, {"jolda": one, "baseline": other})
        progress = Progress("uploads", sizes.rounds * len(sizes.uploads_each) * len(VARIANTS))
        for _ in range(sizes.rounds):
            for positions in sizes.uploads_each:
                for name, shape in VARIANTS:
                    await bench.run(name, shape, positions)
                    progress.step()
        memory = [round(served.process.memory_info().rss / 1e6) for served in (one, other)]
    say(report, bench, sizes)
    report.add(
        Row(
            figure="memory of the server after the run",
            value=memory[0],
            unit="MB",
            baseline=memory[1],
            note=f"{sizes.drivers} drivers",
        )
    )
    await storage.measure(at, report, smoke=sizes.rounds == 1)


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
        report.add(
            Row(
                figure=f"positions/s, {positions} per upload, {shape}",
                value=round(rate),
                unit="1/s",
                baseline=round(plain),
                note=f"p99 {p99:.0f} ms, {CONNECTIONS} connections, one worker",
            )
        )
        figure = f"times the baseline's positions/s, {positions} per upload, {shape}"
        target = RATE_TARGETS.get(positions)
        if target is None:
            report.add(Row(figure=figure, value=round(rate / plain, 2), unit="x"))
        else:
            report.add(at_least(figure, rate / plain, target, unit="x"))


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


if __name__ == "__main__":
    sys.exit(measured("ingest", lambda at, report: measure(at, SIZES[size()], report)))
