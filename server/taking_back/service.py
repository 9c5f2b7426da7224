"""Taking back what others were told of how somebody drove, as the consent that it rests on ends.

What is not deleted yet is hidden by then, and not sent any more: ``preparing.still_shared`` of the
notices asks the gate. So nobody reads on while a job is late.
"""

import asyncio
from datetime import datetime
from typing import Final
from uuid import UUID

from server.kit import db, jobs
from server.kit.db import Connection, Pool
from server.notice_kinds.table import OF_TRACKS
from server.notices import service as notices
from server.notices.service import ON_THEIR_WAY_S_MAX
from server.taking_back import store

TAKE_BACK_NOTICES: Final = "take_back_notices"
"""The job that takes back what a withdrawal left: too many, or on their way out."""
TAKEN_BACK_MAX: Final = 500
"""Notices in one transaction: some 80 ms."""
TRIES_MAX: Final = 32  # spread over the time that a message takes to be out


async def take_back(conn: Connection, company_id: UUID, member_id: UUID, *, now: datetime) -> None:
    """Delete the newest of what others were told of how the member drove, sent or not.

    The driver's gate is locked: all there is was told before, also by a clock ahead of ``now``. A
    job takes the rest, and what is on its way out: no withdrawal waits for it, or fails by it.
    """
    of = (conn, company_id, member_id, OF_TRACKS)
    taken = await store.lock_free_naming(*of, None, limit=TAKEN_BACK_MAX)
    await notices.delete(conn, company_id, taken)
    left = await store.last_queued_naming(*of, None, limit=TAKEN_BACK_MAX)
    if left is None:
        return
    # To the microsecond, and no further: what is told under a later consent stays.
    before = max(now, left).isoformat()
    of_whom = {"company_id": str(company_id), "member_id": str(member_id), "before": before}
    key = f"take back {member_id} {before}"
    await jobs.enqueue(conn, TAKE_BACK_NOTICES, of_whom, dedupe_key=key)


async def take_back_sent(pool: Pool, payload: jobs.Payload) -> None:
    """Do what :func:`take_back` left to its job, each batch in a transaction of its own.

    Raises
    ------
    TimeoutError
        Somebody is at what is left for longer than a message takes: to be tried again.
    """
    company_id, member_id = UUID(payload["company_id"]), UUID(payload["member_id"])
    before = datetime.fromisoformat(payload["before"])
    tries = TRIES_MAX
    while tries:
        async with db.tenant(pool, company_id) as conn:
            of = (conn, company_id, member_id, OF_TRACKS, before)
            taken = await store.lock_free_naming(*of, limit=TAKEN_BACK_MAX)
            await notices.delete(conn, company_id, taken)
            if await store.last_queued_naming(*of, limit=1) is None:
                return
        tries = TRIES_MAX if taken else tries - 1
        await asyncio.sleep(0.0 if taken else ON_THEIR_WAY_S_MAX / TRIES_MAX)
    raise TimeoutError("somebody is at notices that have to go")
