"""SIGKILL at a random moment, of one thing or of several; and how soon it goes on after that."""

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from server.kit import db
from tests.crash.fleet import Fleet
from tests.crash.places import NOTHING_DONE, Done, kill
from tests.crash.scene import Scene
from tests.proofs import Progress

UNDER_LOAD_S: Final = (0.3, 2.5)
AGAIN_S_MAX: Final = 60.0
TURN_S_MAX: Final = 30.0
LOOK_EVERY_S: Final = 0.05
KEEPER_TOO: Final = 0.5


class Kind(StrEnum):
    """What is killed."""

    WORKER = "a worker"
    WORKERS = "all workers"
    JOBS = "the job runner"
    SUPERVISOR = "the supervisor"
    BACKEND = "a database session"
    POSTGRES = "PostgreSQL"
    BOTH = "PostgreSQL and the server"


FROM_NOTHING: Final = frozenset({Kind.SUPERVISOR, Kind.POSTGRES, Kind.BOTH})
"""After these the proof starts what was killed; the rest comes back by itself."""


@dataclass(slots=True)
class Kills:
    """The rounds, and what they took."""

    rounds: Counter[Kind] = field(default_factory=Counter)
    keeper: int = 0
    """How often the compacting process was killed beside it."""
    again_s: dict[Kind, list[float]] = field(default_factory=dict)
    """From the start of what was killed to the first upload that is acknowledged."""
    done: Done = NOTHING_DONE
    """What was tidied up meanwhile."""


def mixed(rounds: int, at: Scene) -> list[Kind]:
    """Return so many, shuffled: each kind as often as any other, as far as that goes."""
    kinds = list(Kind)
    at.dice.shuffle(kinds)
    found = [kinds[one % len(kinds)] for one in range(rounds)]
    at.dice.shuffle(found)
    return found


async def rounds(at: Scene, phones: Fleet, count: int, found: Kills) -> None:
    """Kill, and go on when uploads are acknowledged again."""
    progress = Progress("kills", count)
    for kind in mixed(count, at):
        await asyncio.sleep(at.dice.uniform(*UNDER_LOAD_S))
        with_keeper = at.dice.random() < KEEPER_TOO
        killing = [_strike(at, kind)]
        if with_keeper:
            killing.append(at.keeper.kill())
        await asyncio.gather(*killing)
        again = asyncio.create_task(phones.acknowledged_again(AGAIN_S_MAX))
        await _mend(at, kind)
        if with_keeper:
            found.keeper += 1
            await at.keeper.start()
        found.again_s.setdefault(kind, []).append(await again)
        found.rounds[kind] += 1
        progress.step()
    # The compacting process may have been killed again and again before its turn was over.
    with suppress(TimeoutError):
        async with asyncio.timeout(TURN_S_MAX):
            while not all(found.done):
                await asyncio.sleep(LOOK_EVERY_S)
                done = at.keeper.done()
                found.done = Done(*(sum(pair) for pair in zip(found.done, done, strict=True)))


async def _strike(at: Scene, kind: Kind) -> None:
    match kind:
        case Kind.WORKER:
            await at.servers.kill([at.dice.choice(at.servers.workers())])
        case Kind.WORKERS:
            await at.servers.kill(at.servers.workers())
        case Kind.JOBS:
            await at.servers.kill(at.servers.jobs())
        case Kind.SUPERVISOR:
            await at.servers.kill([at.servers.supervisor])
        case Kind.BACKEND:
            kill([at.dice.choice(await at.postgres.backends(db.ROLE_COMMITTER))])
        case Kind.POSTGRES:
            await at.postgres.kill()
        case Kind.BOTH:
            await asyncio.gather(at.postgres.kill(), at.servers.kill(at.servers.everybody()))


async def _mend(at: Scene, kind: Kind) -> None:
    """Start again what nobody else does."""
    if kind in (Kind.POSTGRES, Kind.BOTH):
        await at.postgres.start()
    if not at.servers.is_running:
        await at.servers.begin()
    await at.servers.ready()
