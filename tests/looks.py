"""Somebody who looks at the live map, written down as everybody is."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from server.gate.handover import Viewing
from server.kit.db import Pool
from server.kit.ids import uuid7
from server.ledger.model import Actor, ActorKind
from server.live.model import Topic
from server.reads.model import ReadPurpose, Screen
from server.reads.service import Reads
from server.rights.service import tell_of_alert


def looking(pool: Pool, company_id: UUID, clock: Callable[[], datetime]) -> dict[Topic, Viewing]:
    live = Viewing(
        company_id=company_id,
        viewer=Actor(kind=ActorKind.API_TOKEN, reference_id=uuid7()),
        purpose=ReadPurpose.DISPATCH_TRACKING,
        screen=Screen.LIVE_MAP,
        reads=Reads(pool, tell_of_alert),
        clock=clock,
    )
    return {Topic.LIVE: live}
