"""Telling what an erasure would do, counted where the driver's data stand now."""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from server.accounts import service as accounts
from server.erasure import service as erasure
from server.erasure_preview import store
from server.erasure_preview.model import LEDGER_ENTRIES, Action, Line, Preview, lines_of
from server.gate import service as gate
from server.holds import service as holds
from server.kit.db import Connection
from server.ledger import service as ledger

EXCHANGED_WITHIN: Final = timedelta(hours=25)
"""So long after an erasure all keys above persons' own were exchanged, as a rule within an hour."""


async def preview(conn: Connection, company_id: UUID, driver_id: UUID, *, now: datetime) -> Preview:
    """Return what an erasure that the driver asks for now would do, if nothing changes.

    Raises
    ------
    GateMissing
    """
    await gate.read(conn, company_id, driver_id)
    held = await holds.in_force(conn, company_id, driver_id, now)
    counted = [
        await store.count(conn, table, company_id, driver_id, now)
        for table in await store.tables(conn)
    ]
    entries = Line(
        code=LEDGER_ENTRIES,
        action=Action.RETAIN,
        rows=await ledger.count_about(conn, company_id, driver_id),
    )
    company = await accounts.company(conn, company_id)
    answer_by = await erasure.answer_time(conn, company_id, now)
    erased_by = answer_by + timedelta(seconds=company.erasure_grace_s)
    ends = [one.until for one in held if one.until is not None]
    return Preview(
        lines=[*lines_of(counted, held), entries],
        open_orders=await store.open_orders(conn, company_id, driver_id, now),
        answer_by=answer_by,
        grace_s=company.erasure_grace_s,
        backups_gone_by=max([erased_by, *ends]) + EXCHANGED_WITHIN,
    )
