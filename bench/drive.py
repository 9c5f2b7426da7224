"""Uploads to an installation of your own, as its phones would: by the clock, on realistic drives.

    python -m bench.drive --url https://jolda.example --tokens-file tokens.txt

The file has one device token on each line; ``python -m bench.enrol`` makes some. Ctrl-C ends it,
with the table of what was seen until then. docs/how-to/measure-your-installation.md.
"""

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import uvloop

from bench.bodies import Shape
from bench.http1 import Origin
from bench.ours import OursOnly, origin_of
from bench.packing import ENCODINGS
from bench.phones import Fleet, Schedule, Step
from bench.tally import Tally
from bench.tracks import tracks
from server.kit import tokens as kit_tokens
from tests.proofs import Row, markdown

DURATION_S_MAX: Final = 3_600.0
RATE_MAX: Final = 5_000.0
DRIVERS_MAX: Final = 20_000
POSITIONS_MAX: Final = 1_000
DEVICE: Final = "jd"
FINISH_S_MAX: Final = 10.0
SAY_EVERY_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What to upload, and where."""

    origin: Origin
    tokens: Sequence[str] = field(repr=False)
    every_s: float
    positions: int
    duration_s: float
    shape: Shape
    encoding: str

    @property
    def rate(self) -> float:
        return len(self.tokens) / self.every_s

    def schedule(self) -> Schedule:
        """Return a schedule whose positions end when they are sent."""
        span_ms = 1000 * self.every_s
        return Schedule(
            steps=(Step(self.rate, self.duration_s),),
            size=self.positions,
            began_ms=round(1000 * time.time() - span_ms),
            span_ms=span_ms,
        )


@dataclass(slots=True)
class Driven:
    """What came of it."""

    tally: Tally
    seconds: float
    stopped: int
    """Drivers whose phone was told to record no more, or is no longer known."""


async def drive(asked: Asked) -> Driven:
    """Upload until the time is over, or somebody presses Ctrl-C."""
    encoding = ENCODINGS[asked.encoding]
    step_s = asked.every_s / asked.positions
    fleet = Fleet(
        asked.origin,
        asked.schedule(),
        asked.tokens,
        tracks(len(asked.tokens), size=asked.positions, shape=asked.shape, step_s=step_s),
        patient=True,
        encoding=encoding,
    )
    whole, over = Tally(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, over.set)
    began_s = time.monotonic()
    saying = asyncio.create_task(_say(fleet, whole, asked.duration_s))
    await fleet.run(over.is_set)
    seconds = time.monotonic() - began_s
    await fleet.finish(0.0 if over.is_set() else FINISH_S_MAX)
    saying.cancel()
    whole.add(fleet.taken())
    return Driven(
        tally=whole, seconds=seconds, stopped=sum(phone.stopped for phone in fleet.phones)
    )


async def _say(fleet: Fleet, whole: Tally, duration_s: float) -> None:
    began_s = time.monotonic()
    while True:
        await asyncio.sleep(SAY_EVERY_S)
        tally = fleet.taken()
        whole.add(tally)
        told = tally.told()
        sys.stderr.write(
            f"{time.monotonic() - began_s:.0f} of {duration_s:.0f} s:"
            f" {tally.answered} answers, {tally.accepted} positions accepted,"
            f" {tally.refused} uploads refused, p99 {told['p99_ms'] or '-'} ms,"
            f" {sum(phone.busy for phone in fleet.phones)} waiting\n"
        )


def table(asked: Asked, driven: Driven) -> str:
    """Return the table that a run ends with."""
    tally, told = driven.tally, driven.tally.told()
    counts = {
        "uploads due": tally.due,
        **{f"answered {status}": count for status, count in sorted(tally.statuses.items())},
        "cut off before the answer": tally.cut_off,
        "never sent: too many waited before them": tally.overdue,
        "positions accepted": tally.accepted,
        "positions there already": tally.duplicate,
        **{f"positions refused: {name}": count for name, count in sorted(tally.reasons.items())},
        "drivers told to stop, or unknown": driven.stopped,
    }
    rows = [Row(figure=name, value=count) for name, count in counts.items()]
    rows += [
        Row(figure=f"{name} from due to stored", value=told[f"{name}_ms"], unit="ms")
        for name in ("p50", "p90", "p99", "max")
        if told[f"{name}_ms"] is not None
    ]
    rate = tally.stored / max(driven.seconds, 0.001)
    rows += [
        Row(figure="uploads asked for", value=round(asked.rate, 1), unit="1/s"),
        Row(figure="uploads stored", value=round(rate, 1), unit="1/s"),
    ]
    return markdown(rows)


def asked_for(words: Sequence[str]) -> Asked:
    """Return what the command line asks for.

    Raises
    ------
    OursOnly, ValueError
        ``str`` is a sentence for a person.
    """
    parser = argparse.ArgumentParser(
        prog="python -m bench.drive", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--url", required=True, help="scheme, host and port of your installation")
    parser.add_argument("--tokens-file", type=Path, required=True, help="a device token a line")
    parser.add_argument("--drivers", type=int, help="use only so many of the tokens")
    parser.add_argument("--every", type=float, default=30.0, help="seconds between uploads of one")
    parser.add_argument("--positions", type=int, default=10, help="in each upload")
    parser.add_argument("--duration", type=float, default=60.0, help="seconds")
    parser.add_argument("--shape", choices=("columns", "objects"), default="columns")
    parser.add_argument("--encoding", choices=tuple(ENCODINGS), default="none")
    parser.add_argument("--yes-this-is-mine", action="store_true")
    told = parser.parse_args(words)
    origin = origin_of(told.url, is_mine=told.yes_this_is_mine)
    tokens = _tokens(told.tokens_file)
    if told.drivers is not None:
        if not 1 <= told.drivers <= len(tokens):
            raise ValueError(f"--drivers is 1 to {len(tokens)}: so many tokens are in the file.")
        tokens = tokens[: told.drivers]
    if not 0 < told.duration <= DURATION_S_MAX:
        raise ValueError(f"--duration is more than 0 and at most {DURATION_S_MAX:g} seconds.")
    if not 1 <= told.positions <= POSITIONS_MAX:
        raise ValueError(f"--positions is 1 to {POSITIONS_MAX}.")
    if not told.every > 0 or len(tokens) / told.every > RATE_MAX:
        raise ValueError(f"At most {RATE_MAX:g} uploads a second: raise --every.")
    return Asked(
        origin=origin,
        tokens=tokens,
        every_s=told.every,
        positions=told.positions,
        duration_s=told.duration,
        shape=told.shape,
        encoding=told.encoding,
    )


def _tokens(file: Path) -> list[str]:
    lines = [line.strip() for line in file.read_text("utf-8").splitlines()]
    found = [line for line in lines if line and not line.startswith("#")]
    for place, line in enumerate(found, start=1):
        parsed = kit_tokens.parse(line)
        if parsed is None or parsed.kind != DEVICE:
            raise ValueError(f"Token {place} of the file is no device's token.")
    if not 1 <= len(found) <= DRIVERS_MAX:
        raise ValueError(f"The file holds 1 to {DRIVERS_MAX} tokens.")
    return found


def main(words: Sequence[str] | None = None) -> int:
    try:
        asked = asked_for(sys.argv[1:] if words is None else words)
    except (OursOnly, ValueError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    driven = uvloop.run(drive(asked))
    sys.stdout.write(f"\n{table(asked, driven)}\n")
    return 0 if driven.tally.stored else 1


if __name__ == "__main__":
    sys.exit(main())
