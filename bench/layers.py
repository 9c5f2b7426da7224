"""Where the server's processor time of an upload goes.

``python -m bench.layers`` lets 64 connections upload to the production server and looks at it with
py-spy some hundred times a second. Each sample counts for the layer of its innermost frame that
belongs to one; what C code does (sockets, JSON, ciphers) counts for whoever called it. py-spy reads
another process's memory, which a server that hides its own leaves to root. ``SIZE=smoke`` for a
short run; only a full one writes docs/explanation/performance.md.
"""

import asyncio
import re
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from bench import page
from bench.bodies import STEP_S, Shape
from bench.fleet import ON_SHIFT, FleetDriver, make_fleet
from bench.load import Plan
from bench.loads import loading
from bench.measured import measured
from bench.servers import Served, cost, jolda
from tests.proofs import FOLDER, Progress, Report, Row, Size, size
from tests.stage import Stage

NAME: Final = "layers"
CONNECTIONS: Final = 64
DRIVERS: Final = 200
POSITIONS: Final = 10
UPLOADS_EACH: Final[Mapping[Size, int]] = {"smoke": 10, "full": 500}
SHAPES: Final[tuple[Shape, ...]] = ("columns", "objects")
SAMPLES_PER_S: Final = 200
BEGUN_S: Final = 1.0
"""py-spy has found the interpreter by then."""

LAYERS: Final[Mapping[str, tuple[str, ...]]] = {
    "HTTP: parsing, admission, answers": (
        "aiohttp/",
        "server/kit/http_",
        "server/kit/body.py",
        "server/kit/sending.py",
        "server/kit/admission.py",
        "server/kit/neighbours.py",
        "server/kit/rates.py",
        "server/kit/figures.py",
        "server/kit/ops.py",
        "server/uploads/web.py",
    ),
    "authentication: token, device, what is believed of its gate": (
        "server/devices/",
        "server/credentials/",
        "server/kit/tokens.py",
        "server/uploads/beliefs.py",
    ),
    "decoding: JSON, units, ranges": ("server/uploads/wire.py", "server/kit/wire.py"),
    "filter: windows, age, order, refusals": (
        "server/uploads/",
        "server/gate/",
        "server/tracking/model.py",
    ),
    "packing: positions to bytes": ("server/tracking/",),
    "sealing: AES-GCM under the driver's key": ("server/vault/", "cryptography/"),
    "commit: queue, batch, statement": ("server/deposits/", "asyncpg/", "server/kit/turns.py"),
}
LOOP: Final = "event loop and sockets: uvloop, the kernel"

FRAME: Final = re.compile(r"\((?P<file>[^()]*\.py):\d+\)")


def layer_of(stack: str) -> str:
    """Return the layer of a sample: frames from the outermost, parted by semicolons."""
    for frame in reversed(stack.split(";")):
        found = FRAME.search(frame)
        if found is None:
            continue
        for layer, places in LAYERS.items():
            if any(place in found["file"] for place in places):
                return layer
    return LOOP


def shares(samples: Iterable[str]) -> dict[str, float]:
    """Return each layer's share, 0 to 1, of lines ``stack count`` as py-spy writes them."""
    counted: Counter[str] = Counter()
    for line in samples:
        stack, _, count = line.rpartition(" ")
        counted[layer_of(stack)] += int(count)
    total = counted.total()
    return {layer: counted[layer] / total for layer in (*LAYERS, LOOP)} if total else {}


class NotSeen(Exception):
    """There is no profile; ``str`` says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    shape: Shape
    server_us: float
    """Processor time per upload, py-spy watching."""
    shares: Mapping[str, float]


async def profiled(
    at: Stage, served: Served, fleet: list[FleetDriver], shape: Shape, *, began: datetime, each: int
) -> Profile:
    plan = Plan(
        port=served.port,
        connections=CONNECTIONS,
        shape=shape,
        size=POSITIONS,
        uploads_each=each,
        began=began.isoformat(),
        seed=1,
        tokens=[driver.token for driver in fleet],
    )
    with TemporaryDirectory() as folder:
        file = Path(folder) / "samples.txt"
        async with loading(plan) as load:
            watching = await _watch(served, file)
            before = cost(served, at)
            outcome = await load.upload()
            spent = cost(served, at).since(before)
            watching.send_signal(signal.SIGINT)  # it writes what it saw
            if await watching.wait():
                raise NotSeen("py-spy could not look at the server. That takes root.")
        samples = file.read_text("utf-8").splitlines()
    return Profile(
        shape=shape,
        server_us=1e6 * spent.server_s / outcome.uploads,
        shares=shares(samples),
    )


async def _watch(served: Served, file: Path) -> asyncio.subprocess.Process:
    spy = shutil.which("py-spy", path=str(Path(sys.executable).parent))
    if spy is None:
        raise NotSeen("py-spy is not installed here: it is one of the development dependencies.")
    words = ("record", "--pid", str(served.process.pid), "--rate", str(SAMPLES_PER_S))
    watching = await asyncio.create_subprocess_exec(
        spy,
        *words,
        *("--format", "raw", "--full-filenames", "--output", str(file)),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    await asyncio.sleep(BEGUN_S)
    return watching


async def measure(at: Stage, report: Report, *, of: Size) -> None:
    fleet = await make_fleet(at, DRIVERS, companies=4)
    each = UPLOADS_EACH[of]
    began = datetime.now(UTC) - ON_SHIFT + timedelta(minutes=5)
    progress = Progress("profiles", len(SHAPES))
    async with jolda(at) as served:
        for shape in SHAPES:
            profile = await profiled(at, served, fleet, shape, began=began, each=each)
            began += timedelta(seconds=STEP_S * POSITIONS * each)
            say(report, profile)
            progress.step()


def say(report: Report, profile: Profile) -> None:
    for layer, share in profile.shares.items():
        report.add(
            Row(
                figure=f"{layer} ({profile.shape})",
                value=round(share * profile.server_us, 1),
                unit="us",
                note=f"{share:.0%} of {profile.server_us:.0f} us per upload of {POSITIONS}",
            )
        )


def main() -> int:
    report = Report(name=NAME)
    status = measured(report, partial(measure, of=size()))
    if size() == "full":
        told = (page.measured_on(FOLDER / f"{NAME}.json"), page.figure_table(report.rows))
        page.rewrite(NAME, "\n\n".join(told))
    return status


if __name__ == "__main__":
    sys.exit(main())
