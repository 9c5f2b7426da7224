"""Proof: whatever operation fails, what was acknowledged is stored once and nothing by halves.

Each flow is run again and again; in the first run its first operation fails, in the second its
second, until it passes untouched: once for each kind of failure, with links to the database that
are new and with links that are open. ``SIZE=smoke`` for a short run; to replay what was found,
``python -m tests.faults --flow NAME --failure NAME``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tests.faults.controls import CONTROLS, Control
from tests.faults.flows import flows_of
from tests.faults.nth import FAILURES, Failure, Found, Links, Told, each_fails
from tests.faults.scene import scene
from tests.proofs import Progress, Report, Row
from tests.stage import Place

SHOWN_MAX: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What is run: None is all there is."""

    flows: tuple[str, ...] | None
    failures: tuple[str, ...] | None
    step: int
    """Each so many-th operation fails."""
    controls: tuple[Control, ...] = CONTROLS


SIZES: Final = {
    "smoke": Sizes(
        flows=("upload, known phone", "compaction of an hour", "retention, old tracks"),
        failures=("link cut after the commit, and stays away", "AES-GCM call fails"),
        step=20,
    ),
    "full": Sizes(flows=None, failures=None, step=1),
}


async def prove(place: Place, sizes: Sizes) -> Report:
    report = Report(name="faults")
    async with scene(place) as at:
        flows = [flow for flow in flows_of(at) if sizes.flows is None or flow.name in sizes.flows]
        failures = [one for one in FAILURES if sizes.failures is None or one.name in sizes.failures]
        progress = Progress("faults", len(flows) * len(failures) + len(sizes.controls))
        for flow in flows:
            found = []
            for failure in failures:
                found.append(await each_fails(at, flow, failure, step=sizes.step))
                progress.step()
            report.add(_row(flow.name, found, failures))
    for control in sizes.controls:
        report.add(_control_row(control, await find(place, control)))
        progress.step()
    return report


async def find(place: Place, control: Control) -> Found:
    """Run the control's flow without its guard, until something does not hold."""
    async with scene(place) as at:
        [flow] = [flow for flow in flows_of(at) if flow.name == control.flow]
        [failure] = [one for one in FAILURES if one.name == control.failure]
        with control.without():
            return await each_fails(
                at,
                flow,
                failure,
                first=control.first,
                links=(Links.OPEN,),
                until_broken=True,
            )


def _row(flow: str, found: Sequence[Found], failures: Sequence[Failure]) -> Row:
    broken = [text for one in found for text in one.broken]
    told = {answer: sum(one.told[answer] for one in found) for answer in Told}
    runs = sum(one.runs for one in found)
    said = f"{max(one.operations for one in found)} operations, {len(failures)} kinds of failure"
    answers = f"done {told[Told.DONE]}, unavailable {told[Told.UNAVAILABLE]}"
    note = f"{said}; {answers}, failed {told[Told.FAILED]}"
    return Row(
        figure=f"did not hold: {flow}",
        value=len(broken),
        unit=f"of {runs} runs",
        target="= 0",
        met=not broken and runs > 0,
        note="; ".join([note, *broken[:SHOWN_MAX]]),
    )


def _control_row(control: Control, found: Found) -> Row:
    return Row(
        figure=f"control: {control.name}",
        value=len(found.broken),
        unit=f"of {found.runs} runs",
        target="> 0",
        met=bool(found.broken),
        control=len(found.broken),
        note=found.broken[0] if found.broken else "",
    )
