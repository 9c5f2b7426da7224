"""Reports over HTTP: plan versus fact of a route, and sums over many."""

from datetime import date
from typing import Annotated, Final
from uuid import UUID

from aiohttp import web
from pydantic import Field

from server.credentials.access import MAIN_USER, STAFF, VAULT, staff
from server.credentials.model import Scope
from server.credentials.viewers import viewer
from server.gate import handover
from server.gate.drawing import Turns, in_thread
from server.gate.handover import READS, Drawn, ReadsBusy
from server.journal.model import StopUnconfirmed
from server.journal.web import confirm
from server.kit.api import endpoint
from server.kit.web import CLOCK, COMPANY, POOL, now, transaction
from server.kit.wire import Instant, Wire
from server.reads.model import ReadPurpose, Screen
from server.reports import drawing, final, service
from server.reports.model import (
    CONTRIBUTORS_MIN,
    PLAN_VERSION_MAX,
    REPORT_DAYS_MAX,
    SPEED_LIMIT_KMH_MAX,
    SPEED_LIMIT_KMH_MIN,
    Group,
    GroupBy,
    ReportDaysPromised,
    ReportsNotKept,
    RouteUnderWay,
    Settings,
    SummarySpanInvalid,
    TrackGone,
)
from server.reports.service import Gathered
from server.reports.wire import PlanFactView
from server.routes.model import PlanVersionNotFound, RouteNotFound
from server.tracking.model import TrackTooLong

# Bounded so that arithmetic on a day near it stays in range.
Day = Annotated[date, Field(ge=date(2000, 1, 2), le=date(2099, 12, 30), strict=False)]
# Computing for nobody who waits must not be in the way of those who do.
_recomputing: Final = Turns(1, waiting_max=8, company_max=4)


class PlanFactQuery(Wire):
    plan_version: int | None = Field(
        None,
        ge=1,
        le=PLAN_VERSION_MAX,
        strict=False,
        description="An earlier version of the plan; the present one if absent.",
    )


@endpoint(
    "GET",
    "/v1/routes/{route_id}/plan-fact",
    access=staff(Scope.TRACKS_READ),
    answer=PlanFactView,
    raises=(RouteNotFound, PlanVersionNotFound, TrackTooLong, ReadsBusy),
    purposes=(ReadPurpose.PLAN_FACT,),
)
async def get_plan_fact(
    request: web.Request, *, route_id: UUID, query: PlanFactQuery
) -> web.StreamResponse:
    """Compare a route's plan with what happened, as far as it is known now.

    Positions are read for the purpose `plan_fact`: without the driver's consent to it the
    report has no fact, and never says why. Once nothing can be added any more it is the final
    report that is stored, where the company keeps reports.
    """

    async def draw() -> Drawn:
        async with transaction(request, readonly=True) as conn:
            found = await service.gather(
                conn,
                request.app[VAULT],
                request[COMPANY],
                route_id,
                plan_version=query.plan_version,
                now=now(request),
            )
        # The connection is back by here: uploads and withdrawals wait for no report.
        return await in_thread(_drawn, found)

    seen = handover.viewing(request, viewer(request), ReadPurpose.PLAN_FACT, Screen.ROUTE_REPORT)
    return await handover.answer(request, seen, draw)


def _drawn(found: Gathered) -> Drawn:
    availability, body = drawing.body(found)
    return Drawn(body=body, gate=found.fence(availability), refused=found.refused(availability))


class FinishedView(Wire):
    route_id: UUID
    plan_version: int
    algorithm_version: str
    computed_at: Instant
    is_kept: bool = Field(description="False: there is nothing to report that would be shared.")


@endpoint(
    "POST",
    "/v1/routes/{route_id}/plan-fact/recompute",
    access=staff(Scope.ROUTES_WRITE),
    raises=(RouteNotFound, TrackTooLong, RouteUnderWay, ReportsNotKept, TrackGone, ReadsBusy),
)
async def recompute_plan_fact(request: web.Request, route_id: UUID) -> FinishedView:
    """Compute the final report of a route that is over again, by the present rules.

    It takes the place of the one that is stored. Once the track is not kept any more, what is
    stored stays as it is.
    """
    async with _recomputing.one(request[COMPANY]):
        finished = await final.finish(
            request.app[POOL],
            request.app[VAULT],
            request.app[READS],
            request[COMPANY],
            route_id,
            now=now(request),
        )
    return FinishedView.model_validate(finished)


class SummaryQuery(Wire):
    first: Day = Field(alias="from")
    last: Day = Field(alias="to", description="Included.")
    by: GroupBy = Field(GroupBy.DAY, strict=False)
    aggregate: bool = Field(
        default=False,
        strict=False,
        description=f"For others than the company: without figures of fewer than "
        f"{CONTRIBUTORS_MIN} drivers.",
    )


class GroupView(Wire):
    """Without figures, or without some of them, where too few drivers would be told of."""

    key: str | None = Field(description="The driver's or vehicle's id, or the day.")
    suppressed: bool
    routes: int | None = None
    drivers: int | None = None
    stops_due: int | None = None
    stops_visited: int | None = None
    stops_windowed: int | None = None
    stops_on_time: int | None = None
    on_time_rate: float | None = None
    completion: float | None = None
    planned_m: float | None = None
    actual_m: float | None = None
    gap_m: float | None = None
    planned_s: float | None = Field(None, description="Of the routes whose plan has times.")
    timed_actual_s: float | None = Field(None, description="What these routes took.")
    actual_s: float | None = None


class SummaryView(Wire):
    first: date = Field(alias="from")
    last: date = Field(alias="to")
    by: GroupBy
    aggregate: bool
    routes: int = Field(description="Of these days, that a driver was given.")
    reported: int = Field(description="Of how many the final report is there and shared.")
    items: list[GroupView]


@endpoint(
    "GET",
    "/v1/reports/summary",
    access=staff(Scope.TRACKS_READ),
    answer=SummaryView,
    raises=(SummarySpanInvalid, ReadsBusy),
    purposes=(ReadPurpose.PLAN_FACT,),
)
async def read_summary(request: web.Request, *, query: SummaryQuery) -> web.StreamResponse:
    """Add up the final reports of the routes of these days, by driver, vehicle or day.

    Only what drivers share for `plan_fact` now is added up; of whom it is, is written down as a
    look. With `aggregate`, figures that only one to nine drivers have a part in are left out.
    """
    company_id = request[COMPANY]

    async def draw() -> Drawn:
        async with transaction(request, readonly=True) as conn:
            found = await service.summary(
                conn, request.app[VAULT], company_id, query.first, query.last, now=now(request)
            )
        groups = await in_thread(drawing.added, found, query.by)
        shown = SummaryView(
            first=query.first,
            last=query.last,
            by=query.by,
            aggregate=query.aggregate,
            routes=found.routes,
            reported=len(found.rows),
            items=[_group(one, aggregate=query.aggregate) for one in groups],
        )
        return Drawn(
            body=shown.model_dump_json().encode(),
            gate=None,
            gates=found.gates,
            stands=lambda conn: service.still_shared(
                conn, company_id, found.gates, now=request.app[CLOCK]()
            ),
        )

    seen = handover.viewing(request, viewer(request), ReadPurpose.PLAN_FACT, Screen.REPORT_SUMMARY)
    return await handover.answer(request, seen, draw)


def _group(found: Group, *, aggregate: bool) -> GroupView:
    if aggregate and found.tells_of_few:
        return GroupView(key=found.key, suppressed=True)
    sums = found.sums
    shown = GroupView(
        key=found.key,
        suppressed=False,
        routes=found.routes,
        drivers=found.contributors,
        stops_due=sums.stops_due,
        stops_visited=sums.stops_visited,
        stops_windowed=sums.stops_windowed,
        stops_on_time=sums.stops_on_time,
        on_time_rate=_rounded(sums.on_time_rate, 3),
        completion=_rounded(sums.completion, 3),
        planned_m=round(sums.planned_m, 1),
        actual_m=round(sums.actual_m, 1),
        gap_m=round(sums.gap_m, 1),
        planned_s=_rounded(sums.planned_s, 1),
        timed_actual_s=_rounded(found.timed_actual_s, 1),
        actual_s=round(sums.actual_s, 1),
    )
    return shown.model_copy(update=dict.fromkeys(found.few)) if aggregate else shown


def _rounded(value: float | None, places: int) -> float | None:
    return None if value is None else round(value, places)


class SettingsBody(Wire):
    report_days: int | None = Field(
        ge=1, le=REPORT_DAYS_MAX, description="How long final reports are kept; null: not at all."
    )
    speed_limit_kmh: int | None = Field(
        ge=SPEED_LIMIT_KMH_MIN,
        le=SPEED_LIMIT_KMH_MAX,
        description="Reports name where it was passed; null: speeds are not judged.",
    )


@endpoint("GET", "/v1/report-settings", access=STAFF)
async def read_report_settings(request: web.Request) -> SettingsBody:
    """Read what the company chose about its reports."""
    async with transaction(request, readonly=True) as conn:
        found = await service.settings(conn, request[COMPANY])
    return _settings(found)


@endpoint(
    "PUT",
    "/v1/report-settings",
    access=MAIN_USER,
    raises=(ReportDaysPromised, StopUnconfirmed),
)
async def set_report_settings(request: web.Request, *, body: SettingsBody) -> SettingsBody:
    """Choose how long final reports are kept, and from which speed on they name it.

    The time only becomes shorter, or ends: drivers consented to what they were told.
    """
    async with transaction(request) as conn:
        found = await service.set_settings(
            conn,
            request[COMPANY],
            report_days=body.report_days,
            speed_limit_kmh=body.speed_limit_kmh,
            actor=viewer(request),
            now=now(request),
        )
    await confirm(request)
    return _settings(found)


def _settings(found: Settings) -> SettingsBody:
    return SettingsBody(report_days=found.report_days, speed_limit_kmh=found.speed_limit_kmh)


ENDPOINTS: Final = (
    get_plan_fact,
    recompute_plan_fact,
    read_summary,
    read_report_settings,
    set_report_settings,
)
