"""Proof: what was acknowledged is kept, once, whatever dies, hangs or is cut off meanwhile.

Phones upload to the product as it is run, over a PostgreSQL with fsync on; some of their drivers
pause, end the shift, withdraw and share again. In the midst of it processes are killed (SIGKILL) or
frozen (SIGSTOP), or the link to the database breaks after a commit and before its answer, and all
the while another process compacts what was uploaded. Afterwards everything is read back over HTTP
and compared with what each phone was told, position by position.

The controls do the same to a PostgreSQL that answers before a commit is on the disk, and to a
server that draws a new upload id when it tries again. They must lose positions, and double uploads,
or the proof proves nothing.

What to break, and when, is drawn from a seed, which the proof tells: ``SEED=`` draws it again.
"""

import os
import random
import sys
from collections import Counter
from dataclasses import dataclass
from typing import Final

import numpy as np

from tests.crash import cuts, freezes, kills, unsynced
from tests.crash.freezes import GOES_ON, Freezes
from tests.crash.history import Fault
from tests.crash.kills import FROM_NOTHING, Kills
from tests.crash.scene import Outcome, run, scene, stand
from tests.proofs import Report, Row, at_most

AGAIN_TARGET_S: Final = 5
SEEDS: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    drivers: int
    kills: int
    freezes: int
    frozen_s_max: float
    cuts: int
    """Half of them over TCP, half over a Unix socket."""
    control_cuts: int
    is_timed: bool
    """Whether how soon it goes on is held against the target: not where tests share the machine."""


SIZES: Final = {
    "smoke": Sizes(
        drivers=6,
        kills=2,
        freezes=1,
        frozen_s_max=0.6,
        cuts=20,
        control_cuts=20,
        is_timed=False,
    ),
    "full": Sizes(
        drivers=24,
        kills=50,
        freezes=15,
        frozen_s_max=60,
        cuts=2_000,
        control_cuts=60,
        is_timed=True,
    ),
}


def chosen_seed() -> int:
    """Return the seed that the environment names (SEED), or else any."""
    asked = os.environ.get("SEED")
    if not asked:
        return random.randrange(SEEDS)  # noqa: S311 - no secret
    if not asked.isdecimal():
        sys.exit("SEED must be a whole number.")
    return int(asked)


async def prove(sizes: Sizes, seed: int) -> Report:
    """Run everything on one PostgreSQL; every row that may fail says whether it is met."""
    report = Report(name="crash")
    report.add(Row(figure="seed", value=seed, note="SEED= draws the same again"))
    sys.stderr.write(f"seed {seed}\n")
    async with stand() as (postgres, place):
        async with scene(postgres, place, seed) as at:
            killing, freezing = Kills(), Freezes()
            killed = await run(
                at,
                sizes.drivers,
                seed,
                lambda at, phones: kills.rounds(at, phones, sizes.kills, killing),
            )
            frozen = await run(
                at,
                sizes.drivers,
                seed + 1,
                lambda at, phones: freezes.rounds(
                    at, phones, sizes.freezes, sizes.frozen_s_max, freezing
                ),
            )
            lost = await unsynced.lost(at, sizes.drivers, seed + 2)
        cutting = await cuts.cuts(
            postgres, place, drivers=sizes.drivers, wanted=sizes.cuts, seed=seed + 3
        )
        doubled = await cuts.doubled_uploads(
            postgres, place, drivers=sizes.drivers, wanted=sizes.control_cuts, seed=seed + 5
        )
    _say_outcome(report, "kills", killed, _killed_note(killing))
    _say_again(report, killing, is_timed=sizes.is_timed)
    _say_outcome(report, "freezes", frozen, _frozen_note(freezing))
    _say_going_on(report, freezing)
    _say_outcome(
        report,
        "cuts",
        cutting.outcome,
        f"{cutting.answers} between a commit and its answer, {cutting.requests} within a request",
    )
    _say_control(report, "acknowledged positions lost, control: commits not on the disk", lost)
    _say_control(report, "uploads doubled, control: a new upload id for each try", doubled)
    return report


def _say_outcome(report: Report, which: str, found: Outcome, note: str) -> None:
    verdict, unexpected = found.verdict, found.fleet.unexpected
    uploads = [one for life in found.fleet.lives for one in life.uploads]
    lost = sum(one.answer_was_lost for one in uploads)
    stops = Counter(stop.kind for life in found.fleet.lives for stop in life.stops)
    stopped = ", ".join(f"{kind} {times}" for kind, times in sorted(stops.items()))
    seen = sum(stop.seen_ms is not None for life in found.fleet.lives for stop in life.stops)
    report.add(
        Row(
            figure=f"{which}: positions acknowledged",
            value=verdict.acknowledged,
            target="> 0",
            met=verdict.acknowledged > 0,
            note=f"{note}; {verdict.forgotten} of them kept long enough; {len(uploads)} uploads,"
            f" {lost} stored whose first answer was lost; stops: {stopped or 'none'};"
            f" {seen} withdrawals looked after at once",
        )
    )
    for fault in Fault:
        examples = "; ".join(verdict.examples.get(fault, ()))
        report.add(_none(f"{which}: {fault}", verdict.faults[fault], examples))
    figure = f"{which}: positions in two rows after the last compaction"
    report.add(_none(figure, found.rows_doubled, ""))
    figure = f"{which}: answers that there are not"
    report.add(_none(figure, len(unexpected), "; ".join(sorted(set(unexpected)))))


def _none(figure: str, value: int, note: str) -> Row:
    return Row(figure=figure, value=value, target="= 0", met=value == 0, note=note)


def _killed_note(found: Kills) -> str:
    kinds = ", ".join(f"{kind} {times}" for kind, times in sorted(found.rounds.items()))
    return (
        f"{found.rounds.total()} rounds: {kinds}; the compacting process {found.keeper} times;"
        f" {found.done.merged} hours compacted and {found.done.forgotten} positions forgotten"
    )


def _say_again(report: Report, found: Kills, *, is_timed: bool) -> None:
    for kind, took_s in sorted(found.again_s.items()):
        figure, longest_s = f"killed {kind}: first upload acknowledged again, longest", max(took_s)
        note = f"median {np.median(took_s):.2g} s of {len(took_s)}"
        if kind in FROM_NOTHING:
            note += ", from the start of what was killed"
        if is_timed:
            report.add(at_most(figure, longest_s, AGAIN_TARGET_S, unit="s", note=note))
        else:
            report.add(Row(figure=figure, value=round(longest_s, 2), unit="s", note=note))
    report.add(
        Row(
            figure="hours compacted between the kills",
            value=found.done.merged,
            target="> 0",
            met=found.done.merged > 0,
        )
    )
    report.add(
        Row(
            figure="positions forgotten between the kills",
            value=found.done.forgotten,
            target="> 0",
            met=found.done.forgotten > 0,
        )
    )


def _frozen_note(found: Freezes) -> str:
    kinds = ", ".join(f"{kind} {times}" for kind, times in sorted(found.rounds.items()))
    stops = ", ".join(
        f"{status or 'none in time'} {n}" for status, n in sorted(found.stops.items())
    )
    return (
        f"{found.rounds.total()} freezes of up to {found.longest_s:.3g} s: {kinds};"
        f" answers to stops meanwhile: {stops or 'none'}"
    )


def _say_going_on(report: Report, found: Freezes) -> None:
    for kind, uploads in sorted(found.acknowledged.items()):
        fewest = min(uploads)
        report.add(
            Row(
                figure=f"uploads acknowledged while {kind} stood still, fewest",
                value=fewest,
                target="> 0" if kind in GOES_ON else None,
                met=fewest > 0 if kind in GOES_ON else None,
                note=f"of {len(uploads)} freezes",
            )
        )


def _say_control(report: Report, figure: str, value: int) -> None:
    report.add(Row(figure=figure, value=value, target="> 0", met=value > 0, control=value))
