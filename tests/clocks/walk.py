"""What every walk of a clock needs: a company, its people, and jobs by the moved clock."""

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias
from uuid import UUID

from aiohttp import ClientSession

from server import settings
from server.background import jobs_of
from server.databases import Opened
from tests.disclosures.acts import People
from tests.http import Clock
from tests.world import World

MOMENT: Final = timedelta(microseconds=1)
"""PostgreSQL knows no shorter time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """A company whose clock is moved."""

    world: World
    opened: Opened
    clock: Clock
    client: ClientSession
    people: People

    async def run(self, job: str, at: datetime) -> None:
        """Let the job run as the server's own runner does, at that time."""
        self.clock.at = at
        jobs = jobs_of(self.opened, settings.read({}), self.clock)
        await {**jobs.every_minute, **jobs.every_day}[job]()

    async def ask(self, question: str, *args: object) -> Any:
        return await self.world.owner.fetchval(question, *args)

    async def heard(self) -> Counter[str]:
        """Return how often whom was told what."""
        rows = await self.world.owner.fetch(
            "SELECT m.role || ': ' || n.kind AS told FROM notice n"
            " JOIN member m ON m.company_id = n.company_id AND m.member_id = n.member_id"
        )
        return Counter(row["told"] for row in rows)

    @property
    def driver_id(self) -> UUID:
        return self.world.driver.member_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """A clock that runs."""

    due: datetime
    seen: Callable[[], Awaitable[object]]
    """What can be seen of whether it was done."""
    before: object
    after: object


Stage: TypeAlias = Callable[[Walk], Awaitable[Staged]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A clock of the product: driven here, or by a test of its feature."""

    clock: str
    date: str
    """When it strikes, in words."""
    done: str
    """What is done then, in words."""
    job: str | None
    """By which job; None: it is looked at whenever somebody uses what it limits."""
    told: frozenset[str] = field(default=frozenset())
    """Who is told what then."""
    columns: frozenset[str] = field(default=frozenset())
    """Where its date is kept."""
    stage: Stage | None = None
    proved: str | None = None
    """The test that drives it, where it is not driven here."""


def asking(walk: Walk, question: str, *args: object) -> Callable[[], Awaitable[object]]:
    """Return what asks the database."""

    async def seen() -> object:
        return await walk.ask(question, *args)

    return seen
