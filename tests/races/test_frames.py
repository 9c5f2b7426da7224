import asyncio

import uvloop

from server.gate import service as gate
from tests.races.frames import no_barrier, race
from tests.stage import Place

ROUNDS = 40


async def test_no_frame_leaves_after_a_stop_was_answered(place: Place) -> None:
    found = await race(place, "barrier", rounds=ROUNDS, barrier=gate.frames, run=uvloop.run)

    assert found.stops == ROUNDS
    assert found.positions > 0
    assert found.late == 0


async def test_without_the_barrier_late_frames_are_found(place: Place) -> None:
    found = await race(place, "control", rounds=ROUNDS, barrier=no_barrier, run=asyncio.run)

    assert found.late > 0
