"""The final report: made by a job once a route is over, and made anew when it is asked for."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from geo.plan_fact import ALGORITHM_VERSION
from server.accounts import service as accounts
from server.gate.drawing import ReadsBusy, in_thread
from server.kit import db
from server.kit.db import Connection, Pool
from server.kit.problem import where
from server.ledger.model import Actor, ActorKind
from server.reads.model import ReadPurpose, Screen
from server.reads.service import Reads
from server.reports import drawing, service, store
from server.reports.model import (
    Finished,
    PlanFactReport,
    ReportsNotKept,
    RouteUnderWay,
    State,
    TrackGone,
)
from server.reports.service import Gathered
from server.reports.store import Due
from server.routes.model import LEAD
from server.tracking.model import TrackTooLong
from server.vault.model import Category, SubjectErased
from server.vault.service import Vault

log = structlog.get_logger(__name__)

TURN_REPORTS: Final = 10
"""Of one company, before another has its turn: some seconds of work."""
LOOK_BACK: Final = timedelta(days=1)
"""How long each minute looks for a report that is late; what is later still waits for a day."""
MISSED_REPORTS: Final = 500
"""Of one company and one day."""


def the_server_of(company_id: UUID) -> Actor:
    """Return who looks where nobody asked, as the record of reads names it."""
    return Actor(kind=ActorKind.SYSTEM, reference_id=company_id)


async def finish_due(
    pool: Pool, vault: Vault, reads: Reads, company_id: UUID, now: datetime
) -> int:
    """Make a few final reports that are due; return how many were made. Due each minute.

    Opens its own transactions. One that fails is told of in the log, and left to
    :func:`finish_missed`: each minute it would stand in the way of others. Where a database is
    away, or the work is broken off, the turn ends there: the next minute goes on.
    """
    async with db.tenant(pool, company_id, readonly=True) as conn:
        waiting = await _due(conn, company_id, now=now)
    return await _finish_each(pool, vault, reads, company_id, waiting, now=now)


async def finish_missed(
    pool: Pool, vault: Vault, reads: Reads, company_id: UUID, now: datetime
) -> int:
    """Make final reports that failed, and those nobody made in time; return how many. Due daily.

    Opens its own transactions.
    """
    async with db.tenant(pool, company_id, readonly=True) as conn:
        waiting = await _due(conn, company_id, missed=True, now=now)
    return await _finish_each(pool, vault, reads, company_id, waiting, now=now)


async def _due(
    conn: Connection, company_id: UUID, *, missed: bool = False, now: datetime
) -> list[Due]:
    """Return routes whose final report is to be made; none where the company keeps none."""
    chosen = await service.settings(conn, company_id)
    ended_after = chosen.kept_since(now)
    if ended_after is None:
        return []
    if not missed:
        ended_after = max(ended_after, now - chosen.settles_after - LOOK_BACK)
    tracks_since = (await accounts.company(conn, company_id)).tracks_kept_since(now)
    return await store.due(
        conn,
        company_id,
        ended_after=ended_after,
        begun_after=None if tracks_since is None else tracks_since + LEAD,
        settles_after=chosen.settles_after,
        settles_within=chosen.settles_within,
        also_failed=missed,
        limit=MISSED_REPORTS if missed else TURN_REPORTS,
        now=now,
    )


async def _finish_each(
    pool: Pool,
    vault: Vault,
    reads: Reads,
    company_id: UUID,
    waiting: Sequence[Due],
    *,
    now: datetime,
) -> int:
    finished = 0
    for one in waiting:
        try:
            # Before it is tried: one that kills the process must not do so again each minute.
            await _note_tried(pool, company_id, one, failed=True, now=now)
            await _finish_once(pool, vault, reads, company_id, one, now=now)
        except asyncio.CancelledError:
            await _take_back(pool, company_id, one, now=now)
            raise
        except Exception as error:  # noqa: BLE001 - one that fails must not hold up the others
            log.warning("report_unfinished", company=str(company_id), **where(error))
            if isinstance(error, ReadsBusy) or db.is_outage(error):
                # It is not the report's own fault: the others would fail as well.
                await _take_back(pool, company_id, one, now=now)
                break
        else:
            finished += 1
    return finished


async def _finish_once(
    pool: Pool, vault: Vault, reads: Reads, company_id: UUID, of: Due, *, now: datetime
) -> None:
    try:
        await finish(pool, vault, reads, company_id, of.route_id, now=now)
    except TrackTooLong:  # it stays so
        await _note_tried(pool, company_id, of, failed=False, now=now)


async def _note_tried(
    pool: Pool, company_id: UUID, of: Due, *, failed: bool, now: datetime
) -> None:
    async with db.tenant(pool, company_id) as conn:
        await store.note_tried(conn, company_id, of, failed=failed, now=now)


async def _take_back(pool: Pool, company_id: UUID, of: Due, *, now: datetime) -> None:
    """Let it be tried again the next minute; where even that cannot be noted, the next day."""
    try:
        async with db.tenant(pool, company_id) as conn:
            await store.take_back_try(conn, company_id, of, tried_at=now)
    except Exception as error:  # noqa: BLE001 - what it was for goes before
        log.warning("report_left", company=str(company_id), **where(error))


async def finish(
    pool: Pool, vault: Vault, reads: Reads, company_id: UUID, route_id: UUID, *, now: datetime
) -> Finished:
    """Compute a route's report from its track and store it in place of the one before.

    Opens its own transactions. The server's look at the track is written down like any other.
    Where there is nothing to report, a report that is stored stays as it is.

    Raises
    ------
    RouteNotFound, TrackTooLong, RouteUnderWay, ReportsNotKept, TrackGone
        Nothing was changed.
    """
    async with db.tenant(pool, company_id, readonly=True) as conn:
        found = await service.gather(conn, vault, company_id, route_id, anew=True, now=now)
    # Though the next route began, stops may still be served, and a final report knows that.
    if found.state is State.LIVE or found.judged_until >= now:
        raise RouteUnderWay
    if found.settings.report_days is None:
        raise ReportsNotKept
    if not found.is_whole:
        raise TrackGone
    gate = found.fence(found.availability)
    if gate is not None:
        await reads.record(
            company_id,
            the_server_of(company_id),
            ReadPurpose.PLAN_FACT,
            Screen.AUTOMATIC_REPORT,
            [gate.driver_id],
            now,
        )
    report = await in_thread(drawing.compared, found)
    is_kept = await _keep(pool, vault, company_id, found, report, now=now)
    return Finished(
        route_id=route_id,
        plan_version=report.route.head.plan_version,
        algorithm_version=ALGORITHM_VERSION,
        computed_at=report.computed_at,
        is_kept=is_kept,
    )


async def _keep(
    pool: Pool,
    vault: Vault,
    company_id: UUID,
    found: Gathered,
    report: PlanFactReport,
    *,
    now: datetime,
) -> bool:
    """Store the report, unless there is no fact in it or the driver's consents changed."""
    head, gate = report.route.head, found.fence(report.availability)
    if gate is None:
        if head.driver_id is not None:
            of = Due(head.route_id, head.driver_id, head.plan_version)
            await _note_tried(pool, company_id, of, failed=False, now=now)
        return False
    try:
        key = await vault.key(company_id, gate.driver_id, Category.REPORT, at=now)
    except SubjectErased:
        return False
    sealed = await in_thread(drawing.sealed, found, report, key)
    async with db.tenant(pool, company_id) as conn:
        # Not if the consents are not those it was made under, or it was given to another meanwhile.
        return await store.put(conn, company_id, sealed, epoch=gate.epoch, now=now)
