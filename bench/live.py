"""Dashboards that watch a moving fleet: how late a frame is, and what it costs.

Drivers upload one position each by the clock; every upload is a canary. Its time runs from when the
answer to it was read, which is after the commit, until the frame that shows it was read whole by a
dashboard. Uploads and dashboards are two processes of their own, on the same machine.
"""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from statistics import median
from typing import Any, Final
from uuid import UUID

import numpy as np

from bench.canaries import CanariesPlan
from bench.fleet import FleetDriver, Ground, make_fleet
from bench.http1 import Caller, Origin
from bench.loads import started
from bench.screens import ScreensPlan
from bench.servers import Cost, Served, cost, jolda
from tests.proofs import Report, Row, Size, at_most
from tests.stage import Stage
from tests.world import add_member, open_session

ONE: Final = "live"
TWO: Final = "live, two workers"
MANY: Final = "live, many dashboards"
LATE: Final = "commit to frame, p99"
CORES: Final = "cores of the server"
LATE_S_MAX: Final = 1.0
CORES_MAX: Final = 1.0
SHOWN_S: Final = {"smoke": 1.2, "full": 2.5}
"""Within so long after the last upload its frame is there, or it is counted as never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    name: str
    dashboards: int
    drivers: int
    every_s: float
    """Of each driver, between two uploads."""
    seconds: float
    workers: int = 1

    @property
    def load(self) -> str:
        return (
            f"{self.dashboards} dashboards, {self.drivers:,} drivers with a position every"
            f" {self.every_s:g} s, for {self.seconds:g} s"
        )


SCENES: Final[Mapping[Size, Sequence[Scene]]] = {
    "smoke": (
        Scene(name=ONE, dashboards=8, drivers=12, every_s=1, seconds=1),
        Scene(name=TWO, dashboards=8, drivers=12, every_s=1, seconds=1, workers=2),
        Scene(name=MANY, dashboards=20, drivers=24, every_s=1, seconds=1),
    ),
    "full": (
        Scene(name=ONE, dashboards=200, drivers=1_000, every_s=5, seconds=30),
        Scene(name=TWO, dashboards=200, drivers=1_000, every_s=5, seconds=30, workers=2),
        Scene(name=MANY, dashboards=500, drivers=2_000, every_s=10, seconds=40),
    ),
}
SNAPSHOTS: Final = {"smoke": 2, "full": 20}
SNAPSHOT_TRIES_MAX: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What came of one scene."""

    late_s: np.ndarray[tuple[int], np.dtype[np.float64]]
    """Of every upload at every dashboard that showed it."""
    never: int
    frames: int
    """Different ones; every dashboard of a worker is sent the same."""
    handed_over: int
    bytes: int
    dropped: int
    seconds: float
    spent: Cost
    memory_before_mb: float
    memory_mb: float
    snapshot_s: float
    """Processor time of one GET /v1/live."""


async def measure(ground: Ground, report: Report) -> None:
    for scene in SCENES[ground.size]:
        if scene.workers == 1:
            seen = await play(ground.at, ground.ours, scene, of=ground.size)
            _report(report, scene, seen)


async def measure_workers(at: Stage, report: Report, *, of: Size) -> None:
    """Measure what several workers share.

    Nothing else may be connected then: a server with several workers divides all the connections
    of its PostgreSQL among them.
    """
    for scene in SCENES[of]:
        if scene.workers > 1:
            async with jolda(at, workers=scene.workers) as served:
                seen = await play(at, served, scene, of=of)
            _report(report, scene, seen)


def _report(report: Report, scene: Scene, seen: Seen) -> None:
    for row in rows(scene, seen):
        report.add(row)


async def play(at: Stage, served: Served, scene: Scene, *, of: Size) -> Seen:
    """Let the drivers of a new company drive while its dashboards watch."""
    fleet = await make_fleet(at, scene.drivers, companies=1)
    tokens = await _dispatchers(at, fleet[0].company_id, scene.dashboards)
    warm = _canaries(served, fleet, scene, seconds=scene.every_s)
    async with started("bench.canaries", asdict(warm)) as load:  # so that everybody is on the map
        await load.tell("")
        await load.hear()
    snapshot_s = await _snapshot_s(served, at, tokens[0], SNAPSHOTS[of])
    memory_before_mb = served.memory_mb()
    canaries = _canaries(served, fleet, scene, seconds=scene.seconds)
    async with (
        started("bench.screens", asdict(ScreensPlan(port=served.port, tokens=tokens))) as screens,
        started("bench.canaries", asdict(canaries)) as load,
    ):
        began, began_s = cost(served, at), time.monotonic()
        await load.tell("")
        uploads = json.loads(await load.hear())
        spent, seconds = cost(served, at).since(began), time.monotonic() - began_s
        memory_mb = served.memory_mb()
        await asyncio.sleep(SHOWN_S[of])
        await screens.tell("")
        shown = json.loads(await screens.hear())
    late_s, never = _late_s(fleet, uploads, shown)
    return Seen(
        late_s=late_s,
        never=never,
        frames=len(shown["frames"]),
        handed_over=sum(map(len, shown["arrived"])),
        bytes=shown["bytes"],
        dropped=shown["dropped"],
        seconds=seconds,
        spent=spent,
        memory_before_mb=memory_before_mb,
        memory_mb=memory_mb,
        snapshot_s=snapshot_s,
    )


def rows(scene: Scene, seen: Seen) -> list[Row]:
    p50, p99 = (float(one) for one in np.percentile(seen.late_s, (50, 99)))
    cores = seen.spent.server_s / seen.seconds
    polled = seen.snapshot_s * scene.dashboards
    each_us = 1e6 * seen.spent.server_s / max(1, seen.handed_over)
    return [
        at_most(
            f"{scene.name}: {LATE}",
            p99,
            LATE_S_MAX,
            unit="s",
            note=f"{scene.load}; {seen.late_s.size:,} canaries, {seen.never} never shown;"
            f" {seen.dropped} dashboards dropped",
        ),
        Row(
            figure=f"{scene.name}: commit to frame, p50 and max",
            value=f"{p50:.2f} and {seen.late_s.max():.2f}",
            unit="s",
        ),
        Row(
            figure=f"{scene.name}: {CORES}",
            value=round(cores, 2),
            target=f"<= {CORES_MAX:g}",
            met=cores <= CORES_MAX,
            baseline=round(polled, 2),
            note="all its processes, uploads included; baseline: as many dashboards that read"
            f" GET /v1/live each second instead; PostgreSQL beside:"
            f" {seen.spent.postgres_s / seen.seconds:.2f}",
        ),
        Row(
            figure=f"{scene.name}: CPU of the server per frame and dashboard",
            value=round(each_us),
            unit="us",
            baseline=round(1e6 * seen.snapshot_s),
            note=f"{seen.frames} different frames, {seen.handed_over:,} handed over; baseline:"
            " of one GET /v1/live",
        ),
        Row(
            figure=f"{scene.name}: sent to each dashboard",
            value=round(seen.bytes / scene.dashboards / seen.seconds / 1000, 1),
            unit="kB/s",
        ),
        Row(
            figure=f"{scene.name}: memory of a worker",
            value=round(seen.memory_mb),
            unit="MB",
            note=f"before the dashboards came: {seen.memory_before_mb:.0f} MB",
        ),
    ]


def _late_s(
    fleet: Sequence[FleetDriver], uploads: Sequence[dict[str, Any]], shown: dict[str, Any]
) -> tuple[np.ndarray[tuple[int], np.dtype[np.float64]], int]:
    """Return how late each upload was at each dashboard, and how many never came to one."""
    answered_s = {
        (str(fleet[one["driver"]].driver_id), one["recorded_ms"]): one["answered_s"]
        for one in uploads
        if one["stored"]
    }
    committed_s = [
        np.array([answered_s[key] for one in frame if (key := tuple(one)) in answered_s])
        for frame in shown["frames"]
    ]
    late = [at_s - committed_s[number] for arrived in shown["arrived"] for number, at_s in arrived]
    late_s = np.concatenate(late)
    return late_s, len(answered_s) * len(shown["arrived"]) - late_s.size


async def _dispatchers(at: Stage, company_id: UUID, count: int) -> list[str]:
    now = datetime.now(UTC)
    members = [
        await add_member(at.vault, at.pool, company_id, role="dispatcher") for _ in range(count)
    ]
    return [await open_session(at.pool, company_id, one, at=now) for one in members]


def _canaries(
    served: Served, fleet: Sequence[FleetDriver], scene: Scene, *, seconds: float
) -> CanariesPlan:
    return CanariesPlan(
        port=served.port,
        tokens=[one.token for one in fleet],
        every_s=scene.every_s,
        seconds=seconds,
        connections=min(40, scene.drivers),
    )


async def _snapshot_s(served: Served, at: Stage, token: str, count: int) -> float:
    caller = await Caller.connected(Origin(host="127.0.0.1", port=served.port))
    took: list[float] = []
    for _ in range(SNAPSHOT_TRIES_MAX):
        before = cost(served, at)
        answer = await caller.ask("GET", "/v1/live", token)
        if answer.status == HTTPStatus.OK:
            took.append(cost(served, at).since(before).server_s)
        elif answer.status != HTTPStatus.SERVICE_UNAVAILABLE:  # which a busy machine may say
            raise RuntimeError(f"GET /v1/live was answered with {answer.status}")
        if len(took) == count:
            break
    caller.close()
    return float(median(took))
