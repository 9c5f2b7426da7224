"""Upload bodies as phones send them, from drives that look like drives."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Shape: TypeAlias = Literal["objects", "columns"]

STEP_S: Final = 2
NAMES: Final = (
    "lat",
    "lon",
    "accuracy_m",
    "speed_mps",
    "heading_deg",
    "altitude_m",
    "battery_pct",
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drive:
    """One driver's positions, a step apart. Rows of ``values`` are NAMES."""

    time_ms: NDArray[np.int64]
    values: NDArray[np.float64]


def drive(seed: int, count: int, *, began: datetime, step_s: float = STEP_S) -> Drive:
    """Return a drive with turns, stops and a receiver's noise."""
    dice = np.random.default_rng(seed)
    wish_mps = 8 + 5 * dice.random()
    halts = np.repeat(dice.random(count // 30 + 1) < 0.15, 30)[:count]  # noqa: PLR2004 - a share
    speed = np.where(halts, 0.0, np.clip(wish_mps + 2.5 * dice.normal(size=count), 0.5, 30))
    turns = np.where(dice.random(count) < 0.02, dice.choice([-90, 90, 45, -45], count), 0)  # noqa: PLR2004 - a share
    heading = np.cumsum(np.where(halts, 0, turns + 1.5 * dice.normal(size=count))) % 360
    north_m = speed * np.cos(np.radians(heading)) * step_s
    east_m = speed * np.sin(np.radians(heading)) * step_s
    lat_0, lon_0 = 43.2 + 0.3 * dice.random(), 76.7 + 0.4 * dice.random()
    noise = dice.normal(size=(2, count)) * 3e-6
    lat = lat_0 + np.cumsum(north_m) / 111_320 + noise[0]
    lon = lon_0 + np.cumsum(east_m) / (111_320 * np.cos(np.radians(lat_0))) + noise[1]
    accuracy = np.clip(4 + 0.3 * np.cumsum(dice.normal(size=count)) % 8, 2, 30)
    altitude = 750 + np.cumsum(0.1 * dice.normal(size=count))
    battery = np.clip(95 - np.arange(count) * step_s // 600, 1, 100)
    columns = (
        np.round(lat, 7),
        np.round(lon, 7),
        np.round(accuracy, 1),
        np.round(speed, 2),
        np.round(heading, 1) % 360,
        np.round(altitude, 1),
        battery,
    )
    first_ms = (began - _EPOCH) // timedelta(milliseconds=1)
    time_ms = first_ms + (np.arange(count) * step_s * 1000).astype(np.int64)
    return Drive(time_ms=time_ms, values=np.array(columns))


def bodies(whole: Drive, *, size: int, shape: Shape) -> list[bytes]:
    """Cut the drive into uploads of so many positions."""
    texts = _texts(whole)
    join = _objects if shape == "objects" else _columns
    return [
        join([column[start : start + size] for column in texts])
        for start in range(0, whole.time_ms.size - size + 1, size)
    ]


def _texts(whole: Drive) -> list[list[str]]:
    times = np.datetime_as_string(whole.time_ms.astype("datetime64[ms]"), timezone="UTC")
    columns = [[repr(value) for value in column.tolist()] for column in whole.values]
    columns[-1] = [str(int(value)) for value in whole.values[-1]]
    return [times.tolist(), [str(value) for value in whole.time_ms.tolist()], *columns]


def _objects(texts: list[list[str]]) -> bytes:
    rows = [
        f'{{"recorded_at":"{time}",'
        + ",".join(f'"{name}":{value}' for name, value in zip(NAMES, row, strict=True))
        + "}"
        for time, _, *row in zip(*texts, strict=True)
    ]
    return f'{{"positions":[{",".join(rows)}]}}'.encode()


def _columns(texts: list[list[str]]) -> bytes:
    named = zip(("recorded_at_ms", *NAMES), texts[1:], strict=True)
    columns = ",".join(f'"{name}":[{",".join(column)}]' for name, column in named)
    return f'{{"columns":{{{columns}}}}}'.encode()
