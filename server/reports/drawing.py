"""From what was gathered to the report: comparing, opening what is stored, sealing, adding up.

Numbers only, and many: all of it belongs in a thread.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from math import inf
from typing import Final

import numpy as np
import zstandard

from geo.lines import driven_lines
from geo.plan_fact import ALGORITHM_VERSION, plan_versus_fact
from geo.plane import Plane
from geo.types import Floats
from geo.values import OwnTime, Taps, Track, Work
from server.gate.model import Windows
from server.kit.errors import there
from server.reports.model import (
    Availability,
    Contribution,
    Group,
    GroupBy,
    PlanFactReport,
    SealedReport,
    State,
    Sums,
    grouped,
)
from server.reports.service import REPORT_SCHEMA, SUMS_SCHEMA, Gathered, SealedSummary
from server.reports.store import SealedSums
from server.reports.wire import PlanFactView, rendered
from server.routes import service as routes
from server.routes.model import Plan, RouteHead, RouteNotFound, fact_span
from server.stop_events.model import StopTaps
from server.tracking import service as tracking
from server.tracking.model import Track as Recorded
from server.vault.model import DataKey, key_id_of

REPORT_BYTES_MAX: Final = 64 * 1024 * 1024
"""Of one report, opened: far more than 300,000 positions and 500 stops come to."""


def compared(found: Gathered) -> PlanFactReport:
    """Compare the plan with the track that was gathered."""
    route = routes.opened(found.route)
    availability, track, shared_s = found.availability, _no_track(), np.zeros((0, 2))
    if found.track is not None:
        fixes = tracking.opened(found.track)
        availability = Availability(fixes.availability.value)
        track, shared_s = as_geo(fixes), spans_of(within(fixes.windows, found.track.since))
    plan, begin_s, until_s = (
        routes.geo_plan(route.plan),
        found.begin.timestamp(),
        found.until.timestamp(),
    )
    if not ((track.time_s >= begin_s) & (track.time_s < until_s)).any():
        # Positions of the driver's other routes alone are none of this one.
        track = _no_track()
        if availability is Availability.FULL:
            availability = Availability.NO_POSITIONS
    is_over, over_s = found.state is State.FINAL, until_s
    if is_over:
        # The driver may be recorded further, on the next route: that is nothing of this one, but
        # what is still served of it meanwhile was served.
        over_s = fact_span(route.head, previous=None, following=None)[1].timestamp()
    return PlanFactReport(
        route=route,
        state=found.state,
        availability=availability,
        computed_at=found.computed_at,
        until=found.until,
        time_zone=found.time_zone,
        parameters=found.settings.parameters,
        fact=plan_versus_fact(
            track,
            plan,
            shared_s=shared_s,
            until_s=over_s,
            over=is_over,
            work=Work(
                begun_s=_unix_s(found.work_begun),
                done_s=_unix_s(found.work_done),
                cancelled=is_over and route.head.cancelled_at is not None,
            ),
            own=OwnTime(
                from_s=begin_s if found.judged_from < found.begin else -inf,
                to_s=until_s if until_s < over_s else inf,
                taken_over_s=taken_over_s(route.head),
            ),
            taps=_said(found, route.plan, availability),
            parameters=found.settings.parameters,
        ),
        driven=tuple(
            driven_lines(
                track,
                Plane.around(plan.lon_lat),
                shared_s=np.clip(shared_s, begin_s, until_s),
                until_s=until_s,
            )
        ),
    )


def _unix_s(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()


def taken_over_s(head: RouteHead) -> float | None:
    """Return when the driver took the route over from another who had driven it."""
    return head.begins_at.timestamp() if head.taken_over else None


def body(found: Gathered) -> tuple[Availability, bytes]:
    """Return whether the report has a fact, and the report as JSON."""
    if found.stored is not None:
        return Availability.FULL, opened(found)
    report = compared(found)
    return report.availability, _json(rendered(report))


def view(found: Gathered) -> PlanFactView:
    """Return the report as it goes over the wire, computed or as it was stored."""
    if found.stored is not None:
        return PlanFactView.model_validate_json(opened(found))
    return rendered(compared(found))


def opened(found: Gathered) -> bytes:
    """Open the stored report: the JSON that was final when it was sealed."""
    stored = found.stored
    if stored is None:
        raise ValueError("there is no stored report")
    key = found.keys[key_id_of(stored.sealed)]
    packed = key.open(stored.sealed, row_id=stored.route_id.bytes, schema=REPORT_SCHEMA)
    return zstandard.ZstdDecompressor().decompress(packed, max_output_size=REPORT_BYTES_MAX)


def sealed(found: Gathered, report: PlanFactReport, key: DataKey) -> SealedReport:
    """Seal a report, and apart from it its sums, under the driver's key."""
    track = there(found.track, RouteNotFound)
    head = report.route.head
    packed = zstandard.ZstdCompressor().compress(_json(rendered(report)))
    row_id = head.route_id.bytes
    return SealedReport(
        route_id=head.route_id,
        driver_id=track.gate.driver_id,
        plan_version=head.plan_version,
        algorithm_version=ALGORITHM_VERSION,
        computed_at=report.computed_at,
        ends_at=head.ends_at,
        since=track.since,
        sealed=key.seal(packed, row_id=row_id, schema=REPORT_SCHEMA),
        sums_sealed=key.seal(Sums.of(report).to_bytes(), row_id=row_id, schema=SUMS_SCHEMA),
    )


def added(found: SealedSummary, by: GroupBy) -> list[Group]:
    """Open the sums and add them up. Many take their time: it belongs in a thread."""
    return grouped(
        Contribution(
            driver_id=row.driver_id,
            group=_group_of(row, by),
            sums=Sums.from_bytes(
                key.open(row.sums_sealed, row_id=row.route_id.bytes, schema=SUMS_SCHEMA)
            ),
        )
        for row in found.rows
        if (key := found.keys.get(key_id_of(row.sums_sealed))) is not None
    )


def _group_of(row: SealedSums, by: GroupBy) -> str | None:
    match by:
        case GroupBy.DRIVER:
            return str(row.driver_id)
        case GroupBy.VEHICLE:
            return None if row.vehicle_id is None else str(row.vehicle_id)
        case GroupBy.DAY:
            return row.date.isoformat()


def as_geo(fixes: Recorded) -> Track:
    return Track(time_s=fixes.time_s, lon_lat=fixes.lon_lat, accuracy_m=fixes.accuracy_m)


def within(windows: Windows, since: datetime) -> Windows:
    """Return what of the windows lies after that time."""
    return tuple(
        replace(window, opened_at=max(window.opened_at, since))
        for window in windows
        if window.end > since
    )


def spans_of(windows: Windows) -> Floats:
    """Return shape ``(w, 2)``: when positions could be recorded, in unix seconds."""
    return np.array(
        [(window.opened_at.timestamp(), window.end.timestamp()) for window in windows],
        dtype=np.float64,
    ).reshape(-1, 2)


def _said(found: Gathered, plan: Plan, availability: Availability) -> Taps:
    """Return what the driver said of each stop, beside a track: alone it makes no fact."""
    taps = found.taps if availability is Availability.FULL else {}
    said = [taps.get(stop.stop_id, StopTaps()) for stop in plan.stops]
    return Taps(
        arrived_s=_seconds(one.arrived_at for one in said),
        done_s=_seconds(one.done_at for one in said),
        failed_s=_seconds(one.failed_at for one in said),
    )


def _seconds(moments: Iterable[datetime | None]) -> Floats:
    return np.array([np.nan if at is None else at.timestamp() for at in moments])


def _json(shown: PlanFactView) -> bytes:
    return shown.model_dump_json().encode()


def _no_track() -> Track:
    return Track(time_s=np.zeros(0), lon_lat=np.zeros((0, 2)), accuracy_m=np.zeros(0))
