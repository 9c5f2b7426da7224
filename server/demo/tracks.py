"""The recorded tracks that the demo's drivers replay: real bus runs, see tests/data/tracks."""

import csv
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np

from geo.plane import Plane, segment_lengths_m
from geo.types import Floats

RUNS_FILE: Final = (
    Path(__file__).parents[2] / "tests/data/tracks/liverpool_bus_route14_outbound.csv"
)
RUN_LENGTH_M_MIN: Final = 9_000.0
"""Shorter ones were cut off by the recording."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One drive as it was recorded: seconds from its first fix, and ``(n, 2)`` lon, lat."""

    name: str
    elapsed_s: Floats
    lon_lat: Floats

    speed_mps: Floats
    heading_deg: Floats
    """Both towards the next fix: the recording has no speeds, a phone would."""

    @property
    def duration_s(self) -> float:
        return float(self.elapsed_s[-1])


def whole_runs(file: Path = RUNS_FILE) -> list[Run]:
    """Return the runs that were recorded from end to end, in the order they took place."""
    fixes: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    with file.open(encoding="utf-8", newline="") as opened:
        for row in csv.DictReader(opened):
            at = datetime.fromisoformat(row["timestamp"]).replace(tzinfo=UTC).timestamp()
            run = f"{row['vehicle_id']}-{row['trip_id']}"
            fixes[run].append((at, float(row["longitude"]), float(row["latitude"])))
    runs = [_run(name, sorted(found)) for name, found in fixes.items()]
    return [run for run in runs if float(segment_lengths_m(run.lon_lat).sum()) > RUN_LENGTH_M_MIN]


def _run(name: str, fixes: list[tuple[float, float, float]]) -> Run:
    table = np.array(fixes)
    keep = np.append(True, np.diff(table[:, 0]) > 0)
    table = table[keep]
    elapsed_s, lon_lat = table[:, 0] - table[0, 0], table[:, 1:]
    plane = Plane.around(lon_lat)
    east_m, north_m = np.diff(plane.to_xy(lon_lat), axis=0).T
    heading_deg = np.degrees(np.arctan2(east_m, north_m)) % 360.0
    speed_mps = np.hypot(east_m, north_m) / np.diff(elapsed_s)
    return Run(
        name=name,
        elapsed_s=elapsed_s,
        lon_lat=lon_lat,
        speed_mps=np.append(speed_mps, 0.0),
        heading_deg=np.append(heading_deg, heading_deg[-1]),
    )
