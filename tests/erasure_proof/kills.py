"""A process that erases is killed (SIGKILL) at each place of the way; another one goes on."""

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from server.erasure import service
from server.erasure.model import Request, Step
from server.kit import db
from tests.erasure.person import Person, tables_naming
from tests.erasure_proof.scene import Scene
from tests.proofs import ROOT, Progress

PLACES: Final = tuple(f"{step}.{moment}" for step in Step for moment in ("begun", "worked", "done"))
AHEAD: Final = 2
"""Processes that are started while others work."""
ANNOUNCED: Final = f"{Step.CLOSE_GATE}.worked"
"""Here the gate is being closed, which was announced first: who dies leaves that, and it is erased
with the rest."""
# Their own database has committed, or nothing is done by them: nothing is left to count.
UNCOUNTED: Final = frozenset({Step.DESTROY_KEYS})


@dataclass(slots=True, kw_only=True)
class Killed:
    """What came of it."""

    rounds: int = 0
    wrong: list[str] = field(default_factory=list)


async def _started(scene: Scene) -> Process:
    place = scene.place
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.erasure_proof.worker"),
        *(place.main, place.keys, str(place.kek), scene.at.isoformat()),
        cwd=ROOT,
        stdin=PIPE,
    )


async def rounds(scene: Scene, places: Sequence[str]) -> Killed:
    """Kill at each of these places, go on, and compare with an erasure that nobody disturbed."""
    found = Killed()
    whole = await scene.person()
    expected = await _counts(scene, await scene.erase(whole.driver_id))
    progress = Progress("kills", len(places))
    ready: deque[Process] = deque()
    try:
        for number, place in enumerate(places):
            while len(ready) < min(AHEAD, len(places) - number):
                ready.append(await _started(scene))
            person = await scene.person()
            request = await scene.ask(person.driver_id)
            words = f"{scene.world.company_id} {request.request_id} {place}\n"
            process = ready.popleft()
            await process.communicate(words.encode())
            found.rounds += 1
            if process.returncode != -signal.SIGKILL:
                found.wrong.append(f"{place}: ended with {process.returncode}, not killed")
            await scene.finish(request)
            found.wrong += await _faults(scene, place, person, request, expected)
            progress.step()
    finally:
        for process in ready:
            process.kill()
            await process.wait()
    return found


async def _counts(scene: Scene, request: Request) -> dict[Step, int]:
    company_id = scene.world.company_id
    async with db.tenant(scene.world.pool, company_id, readonly=True) as conn:
        done = await service.steps(conn, company_id, [request.request_id])
    return {one.step: one.rows for one in done[request.request_id] if one.step not in UNCOUNTED}


async def _faults(
    scene: Scene, place: str, person: Person, request: Request, expected: dict[Step, int]
) -> list[str]:
    wrong = []
    if place == ANNOUNCED:
        expected = expected | {Step.ERASE_GATE: expected[Step.ERASE_GATE] + 1}
    if await _counts(scene, request) != expected:
        wrong.append(f"{place}: other counts than without a crash")
    left = await tables_naming(scene.owner, person.driver_id) - {"public.erasure_request"}
    if left:
        wrong.append(f"{place}: the person stands in {', '.join(sorted(left))}")
    if await scene.world.vault.key_ids(scene.world.company_id, person.driver_id):
        wrong.append(f"{place}: keys are left")
    return wrong
