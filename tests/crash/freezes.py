"""SIGSTOP: a process that does not die and does not go on, for seconds or for a minute.

To the others a frozen process looks alive: its connections stay, its locks too. Uploads go on
through the worker that is left; a stop is answered, or told to come again.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from server.kit import db
from tests.crash.fleet import Fleet
from tests.crash.places import frozen
from tests.crash.scene import Scene
from tests.proofs import Progress

UNDER_LOAD_S: Final = (0.3, 1.5)
AGAIN_S_MAX: Final = 90.0
SHORTEST_S: Final = 1.0


class Frozen(StrEnum):
    """What stands still."""

    WORKER = "a worker"
    JOBS = "the job runner"
    BACKEND = "a database session"
    POSTMASTER = "the postmaster"
    POSTGRES = "PostgreSQL"


GOES_ON: Final = frozenset({Frozen.WORKER, Frozen.JOBS, Frozen.POSTMASTER})
"""While one of these stands still, uploads are acknowledged."""


@dataclass(slots=True)
class Freezes:
    """The rounds, and what was answered meanwhile."""

    rounds: Counter[Frozen] = field(default_factory=Counter)
    longest_s: float = 0.0
    acknowledged: dict[Frozen, list[int]] = field(default_factory=dict)
    """Uploads, in each round while it stood still."""
    stops: Counter[int] = field(default_factory=Counter)
    """By status, the answers to acts that were asked for meanwhile; 0 is none in time."""
    again_s: list[float] = field(default_factory=list)


def durations(at: Scene, count: int, longest_s: float) -> list[float]:
    """Return so many, spread evenly by their order of size: few are long."""
    shortest_s = min(SHORTEST_S, longest_s / 2)
    ratio = longest_s / shortest_s
    found = [shortest_s * ratio ** (one / max(count - 1, 1)) for one in range(count)]
    at.dice.shuffle(found)
    return found


async def rounds(at: Scene, phones: Fleet, count: int, longest_s: float, found: Freezes) -> None:
    """Freeze, wait, let it go on, and go on when uploads are acknowledged again."""
    progress = Progress("freezes", count)
    for number, for_s in enumerate(durations(at, count, longest_s)):
        kind = list(Frozen)[number % len(Frozen)]
        await asyncio.sleep(at.dice.uniform(*UNDER_LOAD_S))
        pids = await _chosen(at, kind)
        before, began_ms = phones.acknowledged, phones.timeline.now_ms()
        async with frozen(pids):
            await asyncio.sleep(for_s)
        ended_ms = phones.timeline.now_ms()
        found.acknowledged.setdefault(kind, []).append(phones.acknowledged - before)
        found.again_s.append(await phones.acknowledged_again(AGAIN_S_MAX))
        for acts in phones.acting:
            found.stops.update(
                status for at_ms, status in acts.answers if began_ms <= at_ms <= ended_ms
            )
        found.rounds[kind] += 1
        found.longest_s = max(found.longest_s, for_s)
        progress.step()


async def _chosen(at: Scene, kind: Frozen) -> Sequence[int]:
    match kind:
        case Frozen.WORKER:
            return [at.dice.choice(at.servers.workers())]
        case Frozen.JOBS:
            return at.servers.jobs()
        case Frozen.BACKEND:
            return [at.dice.choice(await at.postgres.backends(db.ROLE_COMMITTER))]
        case Frozen.POSTMASTER:
            return [at.postgres.pid]
        case Frozen.POSTGRES:
            return at.postgres.everybody()
