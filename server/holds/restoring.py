"""Placing again what was held after a backup that was restored: the clock would erase it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from server.credentials.model import Role
from server.gate import service as gate
from server.holds import service, store
from server.holds.model import Ground, HeldCategory, Hold, HoldState
from server.journal.model import NegativeAct
from server.kit.db import Connection
from server.ledger.model import Act, Actor


async def place_again(
    conn: Connection,
    company_id: UUID,
    driver_id: UUID,
    lost: Sequence[NegativeAct],
    *,
    by: Actor,
    now: datetime,
) -> int:
    """Hold what was held of the driver, until the date it had last; return how many holds.

    Of one that was released since then the release counts, unless the backup has the hold itself:
    then it stays until its date, or until it is released again. What shows that there is a ground
    is lost. Idempotent.

    Raises
    ------
    GateMissing
    """
    await gate.lock(conn, company_id, driver_id)
    last = {one.reference_id: one for one in lost if one.act is Act.HOLD_CHANGED}
    placed = 0
    for hold_id, one in last.items():
        if hold_id is None or one.category is None or one.ground is None:
            continue
        if one.until is None or one.until <= now:
            continue
        before = await store.hold(conn, company_id, hold_id)
        if before is not None and before.keeps(now) and (before.until or now) >= one.until:
            continue
        hold = replace(
            before
            or Hold(
                hold_id=hold_id,
                driver_id=driver_id,
                request_id=None,
                category=HeldCategory(one.category),
                state=HoldState.PLACED,
                ground=None,
                until=None,
                asked_by=Role.MAIN_USER,
                asked_at=one.recorded_at,
            ),
            state=HoldState.PLACED,
            ground=Ground(one.ground),
            until=one.until,
            placed_at=one.recorded_at,
            ended_at=None,
            ended_by=None,
        )
        await (store.insert if before is None else store.update)(conn, company_id, hold)
        await service.tell_of(conn, company_id, hold, by=by, now=now)
        placed += 1
    return placed
