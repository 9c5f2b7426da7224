"""The minute's work on arrivals, as the job runner does it."""

from datetime import datetime

from server.links import arrivals
from server.reads.service import Reads
from tests.world import World


async def note_due(world: World, looks: Reads, at: datetime) -> int:
    return await arrivals.note_due(world.pool, world.vault, looks, world.company_id, at)
