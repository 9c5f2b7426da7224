"""The job that carries a change of the controller out; a crash at any point only delays it.

First the company's particulars, then driver after driver, each in a transaction of their own with
the record that they are done. So each is done once, however often this is begun.
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from uuid import UUID

import structlog

from server.accounts import service as accounts
from server.controllers import service, store
from server.controllers.model import ControllerChange
from server.credentials.model import MemberState
from server.gate import service as gate
from server.gate.model import GateMissing
from server.kit import db
from server.kit.db import Pool
from server.kit.problem import where

log = structlog.get_logger(__name__)

Failpoint = Callable[[str], None]


async def run_due(pool: Pool, company_id: UUID, now: datetime) -> int:
    """Carry out the company's change if its time has come; return how many drivers were moved.

    Until then, tell of it whoever joined since.
    """
    async with db.tenant(pool, company_id) as conn:
        change = await store.open_change(conn, company_id)
        if change is None:
            return 0
        if change.is_open(now):
            await service.tell(conn, company_id, change, now=now)
            return 0
    return await carry_out(pool, company_id, change.change_id, now)


async def carry_out(
    pool: Pool,
    company_id: UUID,
    change_id: UUID,
    now: datetime,
    *,
    failpoint: Failpoint = lambda _place: None,
) -> int:
    """Change the company's particulars and move every driver's consents; return how many drivers.

    A driver who fails does not hold up the others; the next run tries again.
    ``failpoint`` is told each place where a crash could strike, and may raise.

    Raises
    ------
    ControllerChangeMissing, ControllerChangeOver, ControllerChangeEarly
    """
    async with db.tenant(pool, company_id) as conn:
        change = await service.apply(conn, company_id, change_id, now=now)
        failpoint("particulars.changed")
    failpoint("particulars.committed")
    async with db.tenant(pool, company_id, readonly=True) as conn:
        states = await accounts.driver_states(conn, company_id)
        done = await store.moved(conn, company_id, change_id)
    waiting = sorted(
        driver_id
        for driver_id, state in states.items()
        if driver_id not in done and state is not MemberState.ERASING
    )
    moved = [
        await _move(pool, company_id, driver_id, change, now, failpoint) for driver_id in waiting
    ]
    if all(moved):
        async with db.tenant(pool, company_id) as conn:
            await store.set_completed(conn, company_id, change_id, now)
    return sum(moved)


async def _move(
    pool: Pool,
    company_id: UUID,
    driver_id: UUID,
    change: ControllerChange,
    now: datetime,
    failpoint: Failpoint,
) -> bool:
    """Move one driver; tell whether nothing is left to do."""
    try:
        with suppress(GateMissing):  # erased since
            async with gate.stopping(pool, company_id, driver_id, now=now) as conn:
                await service.move(conn, company_id, driver_id, change, now=now)
                failpoint("driver.moved")
            failpoint("driver.committed")
    except Exception as error:  # noqa: BLE001 - one that fails must not hold up the others
        log.warning("controller_change_unfinished", change=str(change.change_id), **where(error))
        return False
    return True
