"""The final report: made by a job once a route is over, and made anew when it is asked for."""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from geo.plan_fact import ALGORITHM_VERSION
from server.accounts import service as accounts
from server.gate.drawing import in_thread
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
from server.routes import service as routes
from server.routes.model import LEAD, TAIL
from server.tracking.model import TrackTooLong
from server.vault.model import Category, SubjectErased
from server.vault.service import Vault

log = structlog.get_logger(__name__)

TURN_REPORTS: Final = 10
"""Of one company, before another has its turn: some seconds of work."""


def the_server_of(company_id: UUID) -> Actor:
    """Return who looks where nobody asked, as the record of reads names it."""
    return Actor(kind=ActorKind.SYSTEM, reference_id=company_id)


async def finish_due(
    pool: Pool, vault: Vault, reads: Reads, company_id: UUID, now: datetime
) -> int:
    """Make a few final reports that are due; return how many were made. Due each minute.

    Opens its own transactions. One that fails is told of in the log and stays due.
    """
    async with db.tenant(pool, company_id, readonly=True) as conn:
        waiting = await _due(conn, company_id, now)
    finished = 0
    for route_id in waiting:
        try:
            await _finish_once(pool, vault, reads, company_id, route_id, now=now)
        except Exception as error:  # noqa: BLE001 - one that fails must not hold up the others
            log.warning("report_unfinished", company=str(company_id), **where(error))
        else:
            finished += 1
    return finished


async def _due(conn: Connection, company_id: UUID, now: datetime) -> list[UUID]:
    """Return routes whose final report is to be made; none where the company keeps none."""
    chosen = await service.settings(conn, company_id)
    reports_since = chosen.kept_since(now)
    if reports_since is None:
        return []
    tracks_since = (await accounts.company(conn, company_id)).tracks_kept_since(now)
    return await store.due(
        conn,
        company_id,
        ended_before=now - TAIL,
        ended_after=reports_since,
        begun_after=None if tracks_since is None else tracks_since + LEAD,
        settles_after=TAIL + timedelta(seconds=chosen.buffer_max_s),
        limit=TURN_REPORTS,
        now=now,
    )


async def _finish_once(
    pool: Pool, vault: Vault, reads: Reads, company_id: UUID, route_id: UUID, *, now: datetime
) -> None:
    try:
        await finish(pool, vault, reads, company_id, route_id, now=now)
    except TrackTooLong:  # it stays so
        async with db.tenant(pool, company_id) as conn:
            route = await routes.find(conn, vault, company_id, route_id)
            await service.note_nothing(conn, company_id, route.sealed.head, now=now)


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
    if found.state is State.LIVE:
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
        async with db.tenant(pool, company_id) as conn:
            await service.note_nothing(conn, company_id, head, now=now)
        return False
    try:
        key = await vault.key(company_id, gate.driver_id, Category.REPORT, at=now)
    except SubjectErased:
        return False
    sealed = await in_thread(drawing.sealed, found, report, key)
    async with db.tenant(pool, company_id) as conn:
        return await service.keep(conn, company_id, sealed, gate=gate, now=now)
