"""Who looks at locations: written down before anything is shown to them."""

from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from aiohttp import web

from server.kit.web import CLOCK, COMPANY, POOL, PURPOSES, Clock
from server.ledger.model import Actor
from server.reads.alerts import Tell
from server.reads.model import ReadPurpose, Screen
from server.reads.service import Reads

READS: Final[web.AppKey[Reads]] = web.AppKey("READS")
"""Where this process writes down who looks."""


class PurposeUndeclared(Exception):
    """An endpoint answers locations without saying what for: our own fault, never a caller's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewing:
    """A caller who looks at locations, for one purpose, on one screen. Made by :func:`viewing`."""

    company_id: UUID
    viewer: Actor
    purpose: ReadPurpose
    screen: Screen
    reads: Reads = field(repr=False)
    clock: Clock = field(repr=False)

    async def at(self, driver_ids: Collection[UUID]) -> None:
        """Write down whose location is about to be shown; committed when this returns."""
        if driver_ids:
            await self.reads.record(
                self.company_id, self.viewer, self.purpose, self.screen, driver_ids, self.clock()
            )

    async def refused(self, driver_id: UUID) -> None:
        """Write down who asked for what this driver does not share; committed when it returns."""
        await self.reads.refuse(
            self.company_id, self.viewer, self.purpose, self.screen, driver_id, self.clock()
        )


def writing_down(tell: Tell) -> Callable[[web.Application], AsyncIterator[None]]:
    """Return the ``cleanup_ctx`` entry that writes down who looks, in this process.

    Needs POOL. ``tell`` hears of whoever looks at many drivers.
    """

    async def running(app: web.Application) -> AsyncIterator[None]:
        app[READS] = Reads(app[POOL], tell)
        yield
        await app[READS].close()

    return running


def viewing(request: web.Request, viewer: Actor, purpose: ReadPurpose, screen: Screen) -> Viewing:
    """Let the caller look for a purpose that their endpoint declares.

    Raises
    ------
    PurposeUndeclared
    """
    if purpose not in request[PURPOSES]:
        raise PurposeUndeclared
    return Viewing(
        company_id=request[COMPANY],
        viewer=viewer,
        purpose=purpose,
        screen=screen,
        reads=request.app[READS],
        clock=request.app[CLOCK],
    )
