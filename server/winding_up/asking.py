"""The erasure of a driver whose company has closed: nobody decides on it, and it has its grace."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from server.credentials.model import Role
from server.erasure import service as erasure
from server.erasure.model import Act, Reason, Request, State, next_state
from server.gate import service as gate
from server.kit.db import Connection
from server.kit.ids import uuid7
from server.kit.wire import rfc3339
from server.ledger import service as ledger
from server.ledger.model import SYSTEM
from server.ledger.model import Act as LedgerAct
from server.notice_kinds.kinds import NoticeKind
from server.notices import service as notices


async def ask(
    conn: Connection, company_id: UUID, driver_id: UUID, *, now: datetime
) -> Request | None:
    """Ask for it inside ``gate.service.stopping``; None where an erasure is under way already.

    It stands as the main users': they were told, and let the day come. No dispute waits for a
    second person, for nobody is left who could decide; what is held stays held.

    Raises
    ------
    GateMissing
    """
    await gate.lock(conn, company_id, driver_id)
    if await erasure.is_under_way(conn, company_id, driver_id):
        return None
    asked = Request(
        request_id=uuid7(),
        driver_id=driver_id,
        state=next_state(None, Act.CLOSE, None),
        requested_by=Role.MAIN_USER,
        reason=Reason.COMPANY_CLOSED,
        requested_at=now,
    )
    request = await erasure.into_grace(conn, company_id, asked, by=None, now=now)
    await erasure.insert(conn, company_id, request)
    # Without a grace there is nothing to log in for, and nothing is said of it.
    grace = erasure.grace_values(request) if request.state is State.GRACE else {}
    await tell(conn, company_id, driver_id, grace, now=now)
    # From here on the head of the ledger is held.
    await erasure.stop_tracking(conn, company_id, driver_id, now=now)
    facts = {"state": request.state.value, "reason": Reason.COMPANY_CLOSED.value}
    await ledger.append(
        conn,
        company_id,
        LedgerAct.ERASURE_REQUESTED,
        actor=SYSTEM,
        subject_id=driver_id,
        detail={"request_id": str(request.request_id)},
        facts=facts,
        now=now,
    )
    await erasure.wake(conn, company_id, request)
    return request


async def tell(
    conn: Connection,
    company_id: UUID,
    member_id: UUID,
    grace: Mapping[str, str],
    *,
    now: datetime,
) -> None:
    """Tell a member that the company has closed; a driver, until when they log in."""
    told = {"closed_at": rfc3339(now), **grace}
    await notices.queue(conn, company_id, member_id, NoticeKind.COMPANY_CLOSED, told, now=now)


async def decide_what_waits(
    conn: Connection, company_id: UUID, request: Request, *, now: datetime
) -> None:
    """Let the clock decide at once what waits for people who are gone."""
    locked = await erasure.lock(conn, company_id, request.request_id)
    if locked.state is State.OPEN and (locked.answer_by is None or locked.answer_by > now):
        await erasure.save(conn, company_id, replace(locked, answer_by=now))
