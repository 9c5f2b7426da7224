"""The link cut between a commit and its answer: whoever stored does not know whether it did."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from server.kit import localpg
from tests.crash import altered
from tests.crash.fleet import Fleet, fleet
from tests.crash.hours import Hours
from tests.crash.link import SOCKET, Breaks, tcp_link, unix_link
from tests.crash.people import Person, make_people
from tests.crash.places import Postgres, Servers
from tests.crash.scene import Outcome, compare
from tests.proofs import Progress
from tests.stage import Place, Stage, stage_on

SHARE: Final = 0.15
"""Of the commits, at each of two links in a row: some are cut again when they are tried again."""
OF_REQUESTS: Final = 0.25
CUTS_S_MAX: Final = 900.0
LOOK_EVERY_S: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Cuts:
    """What a number of cuts left behind."""

    outcome: Outcome
    answers: int
    requests: int


async def cuts(postgres: Postgres, place: Place, *, drivers: int, wanted: int, seed: int) -> Cuts:
    """Cut so often while phones upload; read everything back while nothing is cut."""
    async with _cut(postgres, place, "server", drivers, wanted, OF_REQUESTS, seed) as found:
        verdict, in_two_rows = await compare(
            place, found.fleet.url, found.people, found.fleet.lives
        )
    outcome = Outcome(verdict=verdict, fleet=found.fleet, rows_doubled=in_two_rows)
    return Cuts(
        outcome=outcome,
        answers=sum(one.answers for one in found.breaks),
        requests=sum(one.requests for one in found.breaks),
    )


async def doubled_uploads(
    postgres: Postgres, place: Place, *, drivers: int, wanted: int, seed: int
) -> int:
    """Do the same to the altered server; return how many rows hold an upload once more."""
    async with _cut(postgres, place, altered.__name__, drivers, wanted, 0, seed) as found:
        # No two uploads of a driver end at the same time.
        doubled: int = await found.at.owner.fetchval(
            "SELECT count(*) - count(DISTINCT (driver_id, last_at)) FROM chunk"
            " WHERE driver_id = ANY($1::uuid[])",
            [one.made.member_id for one in found.people],
        )
        return doubled


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    at: Stage
    people: Sequence[Person]
    fleet: Fleet
    breaks: Sequence[Breaks]


@asynccontextmanager
async def _cut(
    postgres: Postgres,
    place: Place,
    module: str,
    drivers: int,
    wanted: int,
    of_requests: float,
    seed: int,
) -> AsyncGenerator[_Found]:
    """Let phones upload to that server until it was cut off often enough; keep it for the block."""
    breaks = [
        Breaks(wanted // 2, share=SHARE, of_requests=of_requests, seed=seed + one)
        for one in range(2)
    ]
    async with AsyncExitStack() as stack:
        main = await stack.enter_async_context(_linked(postgres, breaks))
        servers = Servers(place, module=module, main=main, workers=1)
        stack.push_async_callback(servers.stop)
        await servers.start()
        at = await stack.enter_async_context(stage_on(place))
        people = await make_people(at, drivers, Hours(datetime.now(UTC)))
        async with fleet(servers.url, people, seed) as phones:
            await _often_enough(breaks, f"cuts, {module}")
        yield _Found(at=at, people=people, fleet=phones, breaks=breaks)


@asynccontextmanager
async def _linked(postgres: Postgres, breaks: Sequence[Breaks]) -> AsyncGenerator[str]:
    """Give the DSN of ``main`` by way of a TCP link to a link of Unix sockets."""
    with TemporaryDirectory(prefix="jolda-link-") as folder:
        async with (
            unix_link(postgres.socket / SOCKET, breaks[0], Path(folder)) as middle,
            tcp_link(middle, breaks[1]) as port,
        ):
            yield f"postgresql://{localpg.SUPERUSER}@127.0.0.1:{port}/main"


async def _often_enough(breaks: Sequence[Breaks], what: str) -> None:
    progress, said = Progress(what, sum(one.wanted for one in breaks)), 0
    async with asyncio.timeout(CUTS_S_MAX):
        while any(one.count < one.wanted for one in breaks):
            await asyncio.sleep(LOOK_EVERY_S)
            for _ in range(sum(one.count for one in breaks) - said):
                progress.step()
                said += 1
