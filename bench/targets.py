"""What was promised of the hot path, and the figures that show it."""

from typing import Final, NamedTuple

from bench import live, losses

COST: Final = "CPU of the server per upload, 10 positions"
RATE: Final = "times the baseline's positions/s"
COPY: Final = "storing statement against COPY of the same chunks, 60 per upload"
WITHDRAWAL: Final = "withdrawal p99 under saturating uploads"


class Target(NamedTuple):
    name: str
    target: str
    figures: tuple[str, ...]
    """In the order in which the name and the target list them."""


TARGETS: Final = (
    Target(
        "CPU per upload, 10 positions, list of objects / columnar",
        "<= 100 us / <= 70 us",
        (f"{COST}, objects", f"{COST}, columns"),
    ),
    Target(
        "positions/s against the row-per-position baseline, objects, 10 / 60 per upload",
        ">= 5x / >= 7x",
        (f"{RATE}, 10 per upload, objects", f"{RATE}, 60 per upload, objects"),
    ),
    Target(
        "positions/s against the row-per-position baseline, columnar, 10 / 60 per upload",
        ">= 5x / >= 7x",
        (f"{RATE}, 10 per upload, columns", f"{RATE}, 60 per upload, columns"),
    ),
    Target(
        "PostgreSQL only: storing statement against COPY of the same chunks, 60 per upload",
        ">= 0.7x",
        (COPY,),
    ),
    Target(
        "disk per position compacted, 1 Hz / 10 s",
        "<= 8 bytes / <= 12 bytes",
        ("disk per position, 1 Hz, compacted", "disk per position, 10 s, compacted"),
    ),
    Target(
        "WAL per position, 10 / 60 per upload",
        "<= 60 bytes / <= 14 bytes",
        ("WAL per position, 10 per upload", "WAL per position, 60 per upload"),
    ),
    Target(
        "driver-day read, 10 s / 1 Hz, compacted",
        "<= 1 ms / <= 5 ms",
        ("read of a driver-day, 10 s, compacted", "read of a driver-day, 1 Hz, compacted"),
    ),
    Target(
        "withdrawal p99 under saturating uploads, the gate itself / over HTTP",
        "<= 50 ms",
        (f"{WITHDRAWAL}, the gate itself", f"{WITHDRAWAL}, over HTTP"),
    ),
    Target(
        "acknowledged positions lost by 50 x kill -9 of server and of PostgreSQL",
        "0",
        (losses.FIGURE,),
    ),
    Target(
        "memory of a worker at 2,000 drivers uploading, and its growth over 10 min",
        "<= 150 MB, flat",
        (
            "memory of a worker, drivers uploading",
            "growth of a worker's memory, drivers uploading",
        ),
    ),
    Target(
        "overload at 3x capacity: stored, of the peak / p99 until refused / p99 <= 100 ms again",
        ">= 0.9x / <= 50 ms / <= 10 s",
        (
            "overload: stored uploads, of the peak",
            "overload: p99 until an upload is refused",
            "overload: until p99 is 100 ms again",
        ),
    ),
    Target(
        "live, 200 dashboards x 1,000 drivers: commit to frame p99 / the same, two workers",
        "<= 1 s / <= 1 s",
        (f"{live.ONE}: {live.LATE}", f"{live.TWO}: {live.LATE}"),
    ),
    Target(
        "live, 500 dashboards x 2,000 drivers: commit to frame p99 / cores of the server",
        "<= 1 s / <= 1",
        (f"{live.MANY}: {live.LATE}", f"{live.MANY}: {live.CORES}"),
    ),
)
SOAK_TARGETS: Final = (
    Target("uploads stored a second", ">= 3,000/s for 30 min", ("soak: uploads stored a second",)),
    Target("p99 from the time an upload was due", "<= 100 ms", ("soak: p99 of what is stored",)),
    Target("uploads without an answer 200", "0", ("soak: uploads not stored",)),
    Target(
        "acknowledged positions not stored / stored, not acknowledged",
        "0 / 0",
        ("soak: acknowledged positions that are not stored", "soak: positions stored unasked"),
    ),
    Target("memory of a worker", "<= 150 MB", ("soak: memory of a worker",)),
    Target("growth of that", "<= 1 MB/h", ("soak: growth of a worker's memory",)),
)
"""Of `make soak`."""
