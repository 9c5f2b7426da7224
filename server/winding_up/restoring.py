"""A company that closes, or has closed, and a backup that was restored."""

from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Final
from uuid import UUID

from server.closure import service as closure
from server.kit import db
from server.kit.db import Pool
from server.ledger.model import Act, Actor
from server.winding_up import service

CLOSED_AGAIN: Final = "had closed, and is closed again; jolda serve goes on with the erasures."
CALLED_OFF: Final = (
    "was to close when the backup was made. That is called off: to close it all the same, ask "
    "again with jolda company close."
)


async def close_again(
    pool: Pool, company_id: UUID, lost: AbstractSet[Act], *, by: Actor, now: datetime
) -> list[str]:
    """Close again what had closed after the backup; return what is to be said of it.

    A closing that was only asked for is called off: nobody knows any more whether it was meanwhile,
    and what comes of it cannot be taken back.

    Raises
    ------
    CompanyMissing
    """
    async with db.tenant(pool, company_id) as conn:
        if Act.COMPANY_CLOSED in lost:
            if await closure.note_closed_again(conn, company_id, by=by, now=now):
                await service.end_what_staff_have(conn, company_id, by=by, now=now)
            return [CLOSED_AGAIN]
        found = await closure.closing(conn, company_id)
        if found is None or found.closed_at is not None:
            return []
        await closure.keep_open(conn, company_id, by=by, now=now)
        return [CALLED_OFF]
