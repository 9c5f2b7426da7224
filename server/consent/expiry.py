"""Consents that run out: what is told before, what is written down after, both by a job.

The gate itself knows when each consent runs out, and by one that did it stores and shows nothing,
whatever window is open and whether or not the job came. So none of this has to be in time.
"""

from collections import defaultdict
from datetime import date, datetime, time, timedelta
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog

from server.accounts import service as accounts
from server.consent import store
from server.consent.acts import Who, cells_of, take
from server.consent.model import Cells, ConsentAct, ConsentActor, ConsentItem
from server.gate import service as gate
from server.gate.model import GateMissing
from server.kit import db
from server.kit.db import Connection, Pool
from server.kit.problem import where
from server.kit.wire import rfc3339
from server.notice_kinds.kinds import NoticeKind
from server.notices import service as notices

log = structlog.get_logger(__name__)

TOLD_BEFORE: Final = (timedelta(days=3), timedelta(days=30))
"""How long before its end a consent is told of, each time once; the shortest first."""
_SYSTEM: Final = Who(actor=ConsentActor.SYSTEM)


async def settled_cells(
    conn: Connection, company_id: UUID, driver_id: UUID, item: ConsentItem, *, now: datetime
) -> Cells:
    """Return what is in force for every item, after ending this one if it ran out unnoticed.

    Raises
    ------
    GateMissing
    """
    cells = await cells_of(conn, company_id, driver_id)
    if not cells[item].has_run_out(now):
        return cells
    await _end(conn, company_id, driver_id, [item], now=now)
    return await cells_of(conn, company_id, driver_id)


async def expire_due(pool: Pool, company_id: UUID, now: datetime) -> list[UUID]:
    """Write down every consent that ran out, and tell whose they were; return those. Each minute.

    With a driver's last one the shift ends. Each driver is a transaction of their own: whoever
    waits for a gate or for the ledger waits for one of them, however many gave on the same day. One
    who fails does not hold up the others; the next run tries again.
    """
    async with db.tenant(pool, company_id, readonly=True) as conn:
        due = await store.ending(conn, company_id, None, now)
    drivers = dict.fromkeys(driver_id for driver_id, _, _ in due)
    return [one for one in drivers if await _expire_alone(pool, company_id, one, now)]


async def tell_expiring(conn: Connection, company_id: UUID, now: datetime) -> int:
    """Tell drivers which consents run out within 30 days, and again within 3; return how many.

    What runs out on one day is told together, with the first of it, each time once. Nobody whose
    account is not active is told: they cannot give anything until it is, and are told then. Each
    day.
    """
    zone = ZoneInfo((await accounts.company(conn, company_id)).time_zone)
    last_day = (now + max(TOLD_BEFORE)).astimezone(zone).date()
    # Whole days: a day's later ends are told with its first, for that day is not told of again.
    until = datetime.combine(last_day + timedelta(days=1), time(), zone)
    ending = await store.ending(conn, company_id, now, until)
    if not ending:
        return 0
    active = {one.driver_id for one in await gate.read_all(conn, company_id) if one.account_active}
    by_day: dict[tuple[UUID, date], list[tuple[datetime, ConsentItem]]] = defaultdict(list)
    for driver_id, item, ends_at in ending:
        if driver_id in active:
            by_day[driver_id, ends_at.astimezone(zone).date()].append((ends_at, item))
    told = set()
    for (driver_id, day), ends in by_day.items():
        first = min(ends_at for ends_at, _ in ends)
        before = next((one for one in TOLD_BEFORE if first <= now + one), None)
        if before is None:
            continue
        told.add(driver_id)
        await notices.queue(
            conn,
            company_id,
            driver_id,
            NoticeKind.CONSENT_EXPIRING,
            {"items": _words([item for _, item in ends]), "until": rfc3339(first)},
            now=now,
            dedupe=f"{before.days} days before {day}",
        )
    return len(told)


async def expire(conn: Connection, company_id: UUID, driver_id: UUID, *, now: datetime) -> bool:
    """End what ran out of one driver's consents; tell whether anything still had."""
    await gate.lock(conn, company_id, driver_id)
    cells = await cells_of(conn, company_id, driver_id)
    over = [cell.item for cell in cells.values() if cell.has_run_out(now)]
    if over:
        await _end(conn, company_id, driver_id, over, now=now)
    return bool(over)


async def end_all(conn: Connection, company_id: UUID, driver_id: UUID, *, now: datetime) -> None:
    """End whatever is given, inside ``gate.service.stopping``: the driver has left the company.

    Nobody withdrew it and it was good until now; it is not asked for again.

    Raises
    ------
    GateMissing
    """
    await gate.lock(conn, company_id, driver_id)
    # Whatever is given; before the ledger's head is held.
    await notices.stop_marketing(conn, company_id, driver_id)
    who = Who(actor=ConsentActor.SYSTEM)
    for cell in (await cells_of(conn, company_id, driver_id)).values():
        if cell.is_given:
            await take(conn, company_id, driver_id, cell.item, ConsentAct.EXPIRE, who, now=now)


async def _expire_alone(pool: Pool, company_id: UUID, driver_id: UUID, now: datetime) -> bool:
    """End what ran out of one driver's consents; tell whether that was done now."""
    try:
        async with db.tenant(pool, company_id) as conn:
            return await expire(conn, company_id, driver_id, now=now)
    except GateMissing:  # erased since
        return False
    except Exception as error:  # noqa: BLE001 - one that fails must not hold up the others
        log.warning("consent_end_unfinished", company=str(company_id), **where(error))
        return False


async def _end(
    conn: Connection, company_id: UUID, driver_id: UUID, items: list[ConsentItem], *, now: datetime
) -> None:
    """Write down that these ran out, and tell the driver, whoever noticed it; the gate is locked.

    Whatever else is locked comes before the first entry, which holds the head of the ledger.
    """
    if ConsentItem.MARKETING in items:
        # An answer that then switches them on again waits for nobody: the rows are its own by now.
        await notices.stop_marketing(conn, company_id, driver_id)
    told = {"items": _words(items)}
    await notices.queue(conn, company_id, driver_id, NoticeKind.CONSENT_ENDED, told, now=now)
    for item in items:
        await take(conn, company_id, driver_id, item, ConsentAct.EXPIRE, _SYSTEM, now=now)


def _words(items: list[ConsentItem]) -> str:
    """Return the items as a notice lists them, in the order in which they are asked for."""
    return ",".join(item.value for item in ConsentItem if item in items)
