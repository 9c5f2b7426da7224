"""The clock of a request: who is reminded when, that silence approves, and that a refusal ends.

What is told is told once, whatever was missed: a job that stood still tells what is due when it
comes again, and a request whose time is over is decided then.
"""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol, TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog

from server.accounts import service as accounts
from server.credentials.model import Role
from server.erasure import service as erasure
from server.erasure.model import Request, State
from server.erasure_decisions import service
from server.gate import service as gate
from server.gate.model import GateMissing
from server.kit import db, working_days
from server.kit.db import Connection, Pool
from server.kit.problem import where
from server.kit.wire import rfc3339
from server.notice_kinds.kinds import NoticeKind
from server.notices import service as notices

log = structlog.get_logger(__name__)

LAST_DAYS: Final = 1
"""So many working days before the end the main users are told."""


Attend: TypeAlias = Callable[[Pool, UUID, Request, ZoneInfo, datetime], Awaitable[bool]]


class Decide(Protocol):
    async def __call__(
        self, conn: Connection, company_id: UUID, request_id: UUID, /, *, now: datetime
    ) -> Request | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """What is due to be told of a request that waits."""

    stage: str
    to_main_users: bool
    to_dispatchers: bool


def tellings(request: Request, zone: ZoneInfo, now: datetime) -> Iterator[Telling]:
    """Yield what is to be told by now, the first first."""
    if request.answer_by is None:
        return
    yield Telling(stage="asked", to_main_users=True, to_dispatchers=True)
    half = request.answer_by - (request.answer_by - request.requested_at) / 2
    if now >= half:
        yield Telling(stage="half", to_main_users=False, to_dispatchers=True)
    if now >= working_days.before(request.answer_by, LAST_DAYS, zone):
        yield Telling(stage="last_day", to_main_users=True, to_dispatchers=False)


async def run_due(pool: Pool, company_id: UUID, now: datetime) -> int:
    """Remind of requests that wait, and decide those whose time is over; return how many of these.

    A refusal whose time is over is one of them: its erasure goes on.

    Each is a transaction of its own: one that fails is told of in the log and does not hold up the
    others. Each minute.
    """
    async with db.tenant(pool, company_id, readonly=True) as conn:
        waiting: list[tuple[Request, Attend]] = [
            (one, _attend) for one in await erasure.waiting(conn, company_id)
        ]
        waiting += [(one, _resume) for one in await erasure.refused(conn, company_id)]
        zone = ZoneInfo((await accounts.company(conn, company_id)).time_zone)
    decided = 0
    for one, attend in waiting:
        try:
            decided += await attend(pool, company_id, one, zone, now)
        except GateMissing:  # erased since, by another request
            continue
        except Exception as error:  # noqa: BLE001 - one that fails must not hold up the others
            log.warning("erasure_clock_failed", request=str(one.request_id), **where(error))
    return decided


async def _attend(
    pool: Pool, company_id: UUID, request: Request, zone: ZoneInfo, now: datetime
) -> bool:
    """Do what is due of one request; tell whether the clock decided it."""
    async with db.tenant(pool, company_id) as conn:
        # A release that knows no clock asked for it: its time begins now.
        request = await _with_clock(conn, company_id, request, now)
        if request.state is not State.OPEN:
            return False
        for telling in tellings(request, zone, now):
            await _tell(conn, company_id, request, telling, now=now)
    if request.answer_by is None or now < request.answer_by:
        return False
    return await _decide(pool, company_id, request, service.fall_silent, now)


async def _resume(
    pool: Pool, company_id: UUID, request: Request, _zone: ZoneInfo, now: datetime
) -> bool:
    """Run a refused request again if its time is over; tell whether it was."""
    if request.refused_until is None or now < request.refused_until:
        return False
    async with db.tenant(pool, company_id, readonly=True) as conn:
        # To stop a driver's uploads for a moment is for those who are erased by it.
        if await erasure.asked_anew(conn, company_id, request):
            return False
    return await _decide(pool, company_id, request, service.run_again, now)


async def _decide(
    pool: Pool, company_id: UUID, request: Request, act: Decide, now: datetime
) -> bool:
    async with gate.stopping(pool, company_id, request.driver_id, now=now) as conn:
        decided = await act(conn, company_id, request.request_id, now=now)
        if decided is not None:
            await erasure.wake(conn, company_id, decided)
    return decided is not None


async def _with_clock(
    conn: Connection, company_id: UUID, request: Request, now: datetime
) -> Request:
    if request.answer_by is not None:
        return request
    return await erasure.start_clock(conn, company_id, request.request_id, now=now)


async def _tell(
    conn: Connection, company_id: UUID, request: Request, telling: Telling, *, now: datetime
) -> None:
    """Tell staff that the request waits, each of them once."""
    if request.answer_by is None:
        return
    dispatchers = await accounts.dispatchers(conn, company_id)
    main_users = await accounts.main_users(conn, company_id)
    readers = [
        *(dispatchers if telling.to_dispatchers else ()),
        # Where there is no dispatcher, whoever is there has to know.
        *(main_users if telling.to_main_users or not dispatchers else ()),
    ]
    # With its time: what gets its whole time again, after a restore, is told of again.
    dedupe = f"{telling.stage} {request.request_id} {rfc3339(request.answer_by)}"
    kind = NoticeKind.ERASURE_TO_DECIDE
    known = await notices.told(conn, company_id, readers, kind, dedupe)
    own = request.requested_by is Role.DRIVER
    told = {
        "driver": str(request.driver_id),
        "by_role": request.requested_by.value,
        "answer_by": rfc3339(request.answer_by),
        "outcome": service.SILENCE if own else service.DROPPED,
    }
    for member_id in readers:
        if member_id not in known:
            await notices.queue(conn, company_id, member_id, kind, told, now=now, dedupe=dedupe)
