"""Telling people that somebody tries to guess their password."""

import asyncio
from datetime import datetime
from typing import Final
from uuid import UUID

import structlog

from server.accounts import service as accounts
from server.credentials.model import may_call
from server.kit import db
from server.kit.db import Pool
from server.kit.problem import where
from server.kit.tasks import ended
from server.kit.wire import rfc3339
from server.notice_kinds.kinds import NoticeKind
from server.notices import service as notices

log = structlog.get_logger(__name__)

COMPANIES_MAX: Final = 8
AT_ONCE_MAX: Final = 16
"""More are not told: whoever tries out many logins at once must not fill the pool."""


class Telling:
    """Queues the notices beside the answer.

    Who guesses must not learn by how long it takes whether there is anybody to tell.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._tasks: set[asyncio.Task[None]] = set()

    def guessed(self, company_id: UUID | None, login_hash: bytes, now: datetime) -> None:
        """Tell whoever has the login, at that company or (None) wherever it is known."""
        if len(self._tasks) < AT_ONCE_MAX:
            task = asyncio.create_task(self._tell(company_id, login_hash, now))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def told(self) -> None:
        """Return once all that was begun is done."""
        await asyncio.gather(*self._tasks)

    async def close(self) -> None:
        await ended(*self._tasks)

    async def _tell(self, wanted: UUID | None, login_hash: bytes, now: datetime) -> None:
        try:
            async with self._pool.acquire() as conn:
                companies = await accounts.companies_of_login(
                    conn, [login_hash], wanted=wanted, limit=COMPANIES_MAX
                )
            for company_id in companies:
                await self._tell_at(company_id, login_hash, now)
        except Exception as error:  # noqa: BLE001 - the answer has gone already
            log.warning("guesses_not_told", **where(error))

    async def _tell_at(self, company_id: UUID, login_hash: bytes, now: datetime) -> None:
        async with db.tenant(self._pool, company_id) as conn:
            member = await accounts.member_of_login(conn, company_id, [login_hash])
            if member is not None and may_call(member.role, member.state):
                await notices.queue(
                    conn,
                    company_id,
                    member.member_id,
                    NoticeKind.LOG_INS_FAILED,
                    {"failed_at": rfc3339(now)},
                    now=now,
                    dedupe=f"log_ins_failed {now.date()}",  # once a day is enough
                )
