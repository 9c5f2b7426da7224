"""The end of a link: its driver has arrived. Looked at when it is asked, and each minute."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from server.gate import service as gate
from server.kit import db
from server.kit.db import Pool
from server.ledger.model import Actor, ActorKind
from server.links import service, store
from server.links.model import Progress, has_arrived, is_standing
from server.links.service import Found
from server.reads.model import ReadPurpose, Screen
from server.reads.service import Reads
from server.routes import service as routes
from server.routes.model import Stop
from server.vault.service import Vault


def is_over(found: Found, stop: Stop, progress: Progress, *, now: datetime) -> bool:
    """Tell whether the driver has arrived, as far as they agreed that the link may know."""
    if found.consented.since(now) is None:
        return False
    if found.position is not None and has_arrived(found.position, stop):
        return True
    return stop.stop_id in progress.arrived and progress.knows_under(found.consented.gate, now)


async def note(pool: Pool, company_id: UUID, arrived: Sequence[Found], *, now: datetime) -> int:
    """End these links; return how many it ended. Opens its own transaction.

    Only where what the arrival was told from still holds: inside the barrier, so that after the
    answer to a withdrawal no link ends by what was read before it.

    Raises
    ------
    TimeoutError
        The barrier could not be had in time, and nothing was ended.
    """
    async with gate.frames(pool, company_id) as conn:
        holding = await service.standing(conn, company_id, arrived, now=now)
        return await store.set_delivered(conn, company_id, holding, now)


async def note_due(pool: Pool, vault: Vault, reads: Reads, company_id: UUID, now: datetime) -> int:
    """End the links of drivers who stand at the stop; return how many. Due each minute.

    Nobody has to look for it: a link must not outlive its delivery because its customer looked
    away. The server's own look at them is written down like any other. Opens its own transactions.
    """
    async with db.tenant(pool, company_id, readonly=True) as conn:
        link_ids = await store.active(conn, company_id, now)
        found = await service.gather(conn, vault, company_id, link_ids, now=now)
    placed = [one for one in found if one.position is not None]
    if not placed:
        return 0
    await reads.record(
        company_id,
        the_server_of(company_id),
        ReadPurpose.CUSTOMER_LINK,
        Screen.LINK,
        {one.driver_id for one in placed},
        now,
    )
    halted = [one for one in placed if one.position is not None and is_standing(one.position)]
    async with db.tenant(pool, company_id, readonly=True) as conn:
        plans = {
            route_id: await routes.find(conn, vault, company_id, route_id)
            for route_id in {one.link.route_id for one in halted}
        }
    arrived = await asyncio.to_thread(_arrived, halted, plans)
    return await note(pool, company_id, arrived, now=now) if arrived else 0


def the_server_of(company_id: UUID) -> Actor:
    """Return who looks where no customer does, as the record of reads names it."""
    return Actor(kind=ActorKind.SYSTEM, reference_id=company_id)


def _arrived(halted: Sequence[Found], plans: dict[UUID, routes.FoundRoute]) -> list[Found]:
    stops = {
        (route_id, stop.stop_id): stop
        for route_id, route in plans.items()
        for stop in routes.opened(route).plan.stops
    }
    return [
        one
        for one in halted
        if one.position is not None
        and (stop := stops.get((one.link.route_id, one.link.stop_id))) is not None
        and has_arrived(one.position, stop)
    ]
