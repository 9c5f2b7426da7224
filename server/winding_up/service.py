"""What is done on the day a company closes: everything ends, and every driver goes into erasure.

Each minute it is looked what is left to do, so a crash only delays, and whoever slips back (a
request called off by the driver who had made it, an invitation accepted meanwhile) is found.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Final
from uuid import UUID

import structlog

from server.accounts import acts
from server.accounts import service as accounts
from server.closure import service as closure
from server.credentials import service as credentials
from server.credentials.model import MemberState
from server.erasure import service as erasure
from server.gate import service as gate
from server.gate.model import GateMissing
from server.kit import db
from server.kit.db import Connection, Pool
from server.kit.problem import where
from server.ledger import service as ledger
from server.ledger.model import SYSTEM, Act, Actor
from server.links import service as links
from server.winding_up import asking, store

log = structlog.get_logger(__name__)

Failpoint = Callable[[str], None]

_DECIDED: Final = frozenset({MemberState.GRACE, MemberState.ERASING})

counts = store.counts


async def run_due(
    pool: Pool,
    company_id: UUID,
    now: datetime,
    *,
    failpoint: Failpoint = lambda _place: None,
) -> int:
    """Close the company if its day has come, and go on with that; return whose erasure was asked.

    One driver whose turn fails is told of in the log, and does not hold up the others. Each minute.

    ``failpoint`` is told each place where a crash could strike, and may raise.
    """
    async with db.tenant(pool, company_id, readonly=True) as conn:
        found = await closure.closing(conn, company_id)
    if found is None or not (found.is_due(now) or found.closed_at is not None):
        return 0
    if found.closed_at is None:
        async with db.tenant(pool, company_id) as conn:
            if not await closure.note_closed(conn, company_id, now=now):
                return 0
            await end_what_staff_have(conn, company_id, by=SYSTEM, now=now)
            failpoint("ended")
        failpoint("closed")
    while True:
        async with db.tenant(pool, company_id) as conn:
            if not await links.end_active(conn, company_id, by=SYSTEM, now=now):
                break
        failpoint("links")
    return await _erase_drivers(pool, company_id, now, failpoint)


async def end_what_staff_have(
    conn: Connection, company_id: UUID, *, by: Actor, now: datetime
) -> None:
    """Let nobody act for the company any more; the head of the ledger comes last."""
    staff = await store.staff(conn, company_id)
    for member_id in staff:
        await acts.close_staff_account(conn, company_id, member_id, now=now)
        await asking.tell(conn, company_id, member_id, {}, now=now)
    for api_token_id in await store.api_tokens(conn, company_id):
        await credentials.revoke_api_token(conn, company_id, api_token_id, by=by, now=now)
    await ledger.append(
        conn,
        company_id,
        Act.COMPANY_CLOSED,
        actor=by,
        subject_id=None,
        facts={"staff": len(staff)},
        now=now,
    )


async def _erase_drivers(pool: Pool, company_id: UUID, now: datetime, failpoint: Failpoint) -> int:
    async with db.tenant(pool, company_id, readonly=True) as conn:
        states = await accounts.driver_states(conn, company_id)
        waiting = {one.driver_id: one for one in await erasure.waiting(conn, company_id)}
    asked = 0
    for driver_id, state in states.items():
        if state in _DECIDED:
            continue
        try:
            if driver_id in waiting:
                async with db.tenant(pool, company_id) as conn:
                    await asking.decide_what_waits(conn, company_id, waiting[driver_id], now=now)
                continue
            async with gate.stopping(pool, company_id, driver_id, now=now) as conn:
                asked += await asking.ask(conn, company_id, driver_id, now=now) is not None
        except GateMissing:  # erased since
            continue
        except Exception as error:  # noqa: BLE001 - one that fails must not hold up the others
            log.warning("closing_driver_failed", company=str(company_id), **where(error))
        failpoint("driver")
    return asked
