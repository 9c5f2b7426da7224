"""The recorded tracks of tests/data/tracks as arrays."""

import csv
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from geo.types import Floats
from geo.values import Track

FOLDER = Path(__file__).parents[1] / "data" / "tracks"


def munich(step: str) -> Track:
    """Read the drive through Munich; ``step`` is "001" or "015" seconds."""
    fixes = json.loads((FOLDER / f"barefoot_x0001-{step}.json").read_text())
    times = [datetime.strptime(fix["time"], "%Y-%m-%d %H:%M:%S%z").timestamp() for fix in fixes]
    points = [fix["point"].removeprefix("POINT(").removesuffix(")").split() for fix in fixes]
    return track(np.array(times), np.array(points, dtype=np.float64))


def liverpool(vehicle: str, trip: str) -> Track:
    """Read one run of a bus of route 14. The times of the file are UTC."""
    with (FOLDER / "liverpool_bus_route14_outbound.csv").open(newline="") as file:
        rows = [
            (
                datetime.fromisoformat(row["timestamp"]).replace(tzinfo=UTC).timestamp(),
                float(row["longitude"]),
                float(row["latitude"]),
            )
            for row in csv.DictReader(file)
            if (row["vehicle_id"], row["trip_id"]) == (vehicle, trip)
        ]
    table = np.array(sorted(rows))
    return track(table[:, 0], table[:, 1:])


def track(time_s: Floats, lon_lat: Floats) -> Track:
    return Track(time_s=time_s, lon_lat=lon_lat, accuracy_m=np.full(len(time_s), np.nan))
