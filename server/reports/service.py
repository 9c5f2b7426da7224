"""Reading what a report is made of, or the one that is stored; adding many up.

A final report is stored whole, sealed under its driver's own key. Beside it, under the same key,
lie the few sums that a summary needs: so a summary of a month opens some hundred bytes for each
route, in milliseconds, and yet nobody reads in a dump of the database how far, how long or how
punctually somebody drove. Sums in clear would be personal data that outlives consent and erasure;
sums of the company alone could not be mended when one of its drivers withdraws or is erased.

The caller owns the transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import partial
from typing import Final
from uuid import UUID

from server.accounts import service as accounts
from server.accounts.model import CompanyMissing
from server.gate import service as gates
from server.gate.model import Gate, GateMissing, Purpose
from server.kit.db import Connection
from server.kit.errors import there
from server.ledger import service as ledger
from server.ledger.model import Act, Actor
from server.reports import store
from server.reports.model import (
    SUMMARY_DAYS_MAX,
    SUMMARY_REPORTS_MAX,
    Availability,
    ReportDaysPromised,
    SealedReport,
    Settings,
    State,
    SummarySpanInvalid,
    is_of_all_day,
)
from server.reports.store import SealedSums
from server.routes import editing
from server.routes import service as routes
from server.routes.model import RouteHead, fact_span
from server.routes.service import FoundRoute
from server.shifts import service as shifts
from server.stop_events import service as stop_events
from server.stop_events.model import StopTaps
from server.tracking import service as tracking
from server.tracking.model import TrackPurpose, TrackTooLong
from server.tracking.service import SealedTrack
from server.vault.model import DataKey, key_id_of
from server.vault.service import Vault

REPORT_SCHEMA: Final = "report"
SUMS_SCHEMA: Final = "report.sums"
FORGOTTEN_AT_ONCE_MAX: Final = 20_000
"""The rest waits for the next day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """All that a report is made of, or the stored one: nothing more is asked of a database."""

    route: FoundRoute
    time_zone: str
    computed_at: datetime
    begin: datetime
    """No earlier position belongs to the route: it was not to begin, or was not the driver's."""
    until: datetime
    """No later one does: the next route began, or it is later than now."""
    judged_from: datetime
    judged_until: datetime
    """The track is of this time: stops may be served while a neighbouring route goes on, too."""
    state: State
    availability: Availability
    """Of the fact, as far as it is known before the track is opened."""
    is_whole: bool
    """The company still keeps everything that was recorded of the route."""
    settings: Settings
    """The company's."""
    gate: Gate | None = None
    """The driver's, as it was read before anything else; None: the route has no driver."""
    track: SealedTrack | None = None
    """None: the route has no driver, no time of it has passed, or the report is stored."""
    stored: SealedReport | None = None
    keys: Mapping[UUID, DataKey] = field(default_factory=dict, repr=False)
    """What opens the stored one."""
    taps: Mapping[UUID, StopTaps] = field(default_factory=dict)
    """By stop, what that driver said of it since the present consents."""
    work_done: datetime | None = None
    """When the driver ended the last shift, if nothing came after it and the route before."""
    work_begun: datetime | None = None
    """Since when stops may have been served unseen; None: not before sharing began."""

    def fence(self, found: Availability) -> Gate | None:
        """Return the gate that an answer leaves under; None: there is no fact in it."""
        return self.gate if found is Availability.FULL else None

    def refused(self, found: Availability) -> UUID | None:
        """Return the driver who does not share what was asked for."""
        if found is not Availability.NOT_SHARED or self.gate is None:
            return None
        return self.gate.driver_id


async def gather(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    route_id: UUID,
    *,
    plan_version: int | None = None,
    anew: bool = False,
    now: datetime,
) -> Gathered:
    """Read what is known of a route at ``now``, for the company's staff.

    Compared is the present plan, or an earlier version of it. A stored report is found in place of
    the track where nothing can be added to it any more, or where the track is not kept whole;
    ``anew``: never.

    Raises
    ------
    RouteNotFound, PlanVersionNotFound, TrackTooLong
    """
    if plan_version is None:
        route = await routes.find(conn, vault, company_id, route_id)
    else:
        route = await routes.version(conn, vault, company_id, route_id, plan_version)
    head = route.sealed.head
    company = await accounts.company(conn, company_id)
    begin, end = await routes.span(conn, company_id, head)
    own = fact_span(head, previous=None, following=None)
    kept_since = company.tracks_kept_since(now)
    found = Gathered(
        route=route,
        time_zone=company.time_zone,
        computed_at=now,
        begin=begin,
        until=min(end, now),
        judged_from=min(begin, own[0]),
        judged_until=min(max(end, own[1]), now),
        state=State.LIVE if now < end else State.FINAL,
        availability=Availability.NO_POSITIONS,
        is_whole=kept_since is None or begin >= kept_since,
        settings=await settings(conn, company_id),
    )
    if head.driver_id is None:
        return replace(found, availability=Availability.NO_DRIVER)
    try:
        if found.state is State.FINAL and not anew:
            stored = await _stored(conn, company_id, found, now=now)
            if stored is not None:
                return await _as_stored(conn, vault, company_id, found, stored, now=now)
        if begin < found.until:
            return await _with_track(conn, vault, company_id, found, now=now)
        return replace(found, gate=await gates.read(conn, company_id, head.driver_id))
    except GateMissing:  # erased just now
        return replace(found, availability=Availability.NO_DRIVER)


async def _with_track(
    conn: Connection, vault: Vault, company_id: UUID, found: Gathered, *, now: datetime
) -> Gathered:
    driver_id = there(found.route.sealed.head.driver_id, GateMissing)
    gathered = partial(tracking.gather, conn, vault, company_id, driver_id, now=now)
    span = (found.judged_from, found.judged_until)
    try:
        track = await gathered(*span, purpose=TrackPurpose.PLAN_FACT)
    except TrackTooLong:  # without what came on the neighbouring routes it may be short enough
        span = (found.begin, found.until)
        found = replace(found, judged_from=found.begin, judged_until=found.until)
        track = await gathered(*span, purpose=TrackPurpose.PLAN_FACT)
    return replace(
        found,
        gate=track.gate,
        track=track,
        availability=Availability(track.availability.value),
        taps=await _said(conn, vault, found.route.sealed.head, track.gate, now=now),
        work_done=await _work_done(conn, company_id, found, driver_id),
        work_begun=await shifts.work_begun(
            conn, company_id, driver_id, since=found.judged_from, recorded=track.windows
        ),
    )


async def _said(
    conn: Connection, vault: Vault, head: RouteHead, gate: Gate, *, now: datetime
) -> Mapping[UUID, StopTaps]:
    """Return what the driver said of the route under their present consents.

    Who comes early says so before the time of the route. Nothing older than the consents counts:
    given anew, they bring no more of the past back than of the track.
    """
    given = gate.since(Purpose.PLAN_FACT, now)
    if given is None:
        return {}
    apart = await store.set_apart_before(conn, gate.company_id, [gate.driver_id])
    since = max([given, *apart.values()])
    return await stop_events.taps(
        conn, vault, gate.company_id, head.route_id, driver_id=gate.driver_id, since=since
    )


async def _work_done(
    conn: Connection, company_id: UUID, found: Gathered, driver_id: UUID
) -> datetime | None:
    """Return when the driver ended the work, if they had the route by then, planned as it is.

    Nobody is done with what was planned later; which stops those are a seal hides, so no stop of a
    plan that was changed later counts. Nor is who ends a night shift done with a plan of all day.
    """
    head = found.route.sealed.head
    known_since = await editing.known_since(conn, company_id, head.route_id, head.plan_version)
    if known_since is None:
        return None
    return await shifts.work_done(
        conn,
        company_id,
        driver_id,
        since=max(head.starts_at, known_since),
        until=found.judged_until,
        begun_after=head.starts_at if is_of_all_day(head, found.time_zone) else None,
    )


async def _stored(
    conn: Connection, company_id: UUID, found: Gathered, *, now: datetime
) -> SealedReport | None:
    """Return the stored report of this plan and driver, if it is the one to show."""
    head, kept_since = found.route.sealed.head, found.settings.kept_since(now)
    if kept_since is None or head.ends_at < kept_since:
        return None
    stored = await store.get(conn, company_id, head.route_id)
    if stored is None or not stored.is_of(head):
        return None
    if not found.is_whole or found.settings.is_settled(stored, starts_at=head.starts_at):
        return stored
    return None


async def _as_stored(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    found: Gathered,
    stored: SealedReport,
    *,
    now: datetime,
) -> Gathered:
    gate = await gates.read(conn, company_id, stored.driver_id)
    given = gate.since(Purpose.PLAN_FACT, now)
    if given is None:
        return replace(found, gate=gate, availability=Availability.NOT_SHARED)
    if not stored.is_covered(given):
        return replace(found, gate=gate)
    keys = await vault.keys(company_id, [key_id_of(stored.sealed)])
    if not keys:  # destroyed just now
        return replace(found, gate=gate)
    return replace(found, gate=gate, stored=stored, keys=keys, availability=Availability.FULL)


async def settings(conn: Connection, company_id: UUID) -> Settings:
    """Return what the company chose about its reports.

    Raises
    ------
    CompanyMissing
    """
    return there(await store.settings(conn, company_id), CompanyMissing)


async def set_settings(
    conn: Connection,
    company_id: UUID,
    *,
    report_days: int | None,
    speed_limit_kmh: int | None,
    actor: Actor,
    now: datetime,
) -> Settings:
    """Choose anew; reports that are too old by then are shown to nobody from that moment.

    The last thing its transaction does.

    Raises
    ------
    CompanyMissing
    ReportDaysPromised
        Reports would be kept for longer than the notices said until now.
    """
    before = await settings(conn, company_id)
    if not await store.set_settings(
        conn, company_id, report_days=report_days, speed_limit_kmh=speed_limit_kmh
    ):
        raise ReportDaysPromised
    if report_days != before.report_days:
        await ledger.append(
            conn,
            company_id,
            Act.REPORT_DAYS_SET,
            actor=actor,
            subject_id=None,
            facts={"report_days": report_days, "before": before.report_days},
            now=now,
        )
    return replace(before, report_days=report_days, speed_limit_kmh=speed_limit_kmh)


async def old(conn: Connection, company_id: UUID, now: datetime) -> tuple[int, date | None]:
    """Return how many reports were kept long enough, and the day of the oldest."""
    kept = await settings(conn, company_id)
    return await store.count_old(conn, company_id, ended_before=kept.kept_since(now), at=now)


async def forget_old(conn: Connection, company_id: UUID, now: datetime) -> int:
    """Delete reports that were kept long enough; return how many. Due each day."""
    kept = await settings(conn, company_id)
    return await store.delete_old(
        conn, company_id, ended_before=kept.kept_since(now), at=now, limit=FORGOTTEN_AT_ONCE_MAX
    )


async def erase(conn: Connection, company_id: UUID, member_id: UUID) -> int:
    """Delete every report about the driver; return how many."""
    return await store.delete_driver(conn, company_id, member_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedSummary:
    """The sums of many reports, not opened yet, and the gates they are shown under."""

    rows: Sequence[SealedSums]
    gates: Sequence[Gate]
    keys: Mapping[UUID, DataKey] = field(repr=False)
    routes: int
    """How many routes there were that had a driver."""


async def summary(
    conn: Connection, vault: Vault, company_id: UUID, first: date, last: date, *, now: datetime
) -> SealedSummary:
    """Read the sums of the routes of these days, both included, as far as they are shared.

    Raises
    ------
    SummarySpanInvalid
    """
    if not timedelta(0) <= last - first < timedelta(days=SUMMARY_DAYS_MAX):
        raise SummarySpanInvalid
    kept_since = (await settings(conn, company_id)).kept_since(now)
    count = await store.count_routes(conn, company_id, first=first, last=last)
    if kept_since is None:
        return SealedSummary(rows=(), gates=(), keys={}, routes=count)
    rows = await store.sums(
        conn,
        company_id,
        first=first,
        last=last,
        ended_after=kept_since,
        limit=SUMMARY_REPORTS_MAX + 1,
    )
    if len(rows) > SUMMARY_REPORTS_MAX:
        raise SummarySpanInvalid
    drivers = sorted({row.driver_id for row in rows})
    known = {gate.driver_id: gate for gate in await gates.read_some(conn, company_id, drivers)}
    given = {
        driver_id: at
        for driver_id, gate in known.items()
        if (at := gate.since(Purpose.PLAN_FACT, now)) is not None
    }
    shown = [
        row
        for row in rows
        if (at := given.get(row.driver_id)) is not None and max(at, row.apart or at) <= row.since
    ]
    return SealedSummary(
        rows=shown,
        gates=[known[driver_id] for driver_id in sorted({row.driver_id for row in shown})],
        keys=await vault.keys_of_many(company_id, {key_id_of(row.sums_sealed) for row in shown}),
        routes=count,
    )


async def still_shared(
    conn: Connection, company_id: UUID, before: Sequence[Gate], *, now: datetime
) -> bool:
    """Tell whether all of these drivers still consent as they did.

    Shifts that begin and end meanwhile change nothing of what is added up.
    """
    found = await gates.read_some(conn, company_id, [gate.driver_id for gate in before])
    known = {gate.driver_id: gate for gate in found}
    return all(
        (gate := known.get(one.driver_id)) is not None
        and gate.epoch == one.epoch
        and gate.since(Purpose.PLAN_FACT, now) is not None
        for one in before
    )
