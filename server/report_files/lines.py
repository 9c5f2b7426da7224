"""A report as GeoJSON and as GPX: the plan, its stops, and what was driven. Pure.

Where nothing is known there is no line: between two lines that were recorded stands a feature
without a geometry, and in GPX another segment begins. Times are UTC, as these formats have them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from html import escape
from itertools import pairwise
from typing import Final, TypeAlias

from server.kit.api import json_bytes
from server.kit.wire import rfc3339
from server.report_files.model import Subject, writable
from server.reports.wire import StopFactView
from server.routes.model import Stop

Point: TypeAlias = tuple[float, float]
Feature: TypeAlias = Mapping[str, object]

HALF_TURN_DEG: Final = 180.0
_GPX_HEAD: Final = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<gpx xmlns="http://www.topografix.com/GPX/1/1" version="1.1" creator="Jolda">\n'
)


def geojson(subject: Subject) -> bytes:
    """Return a FeatureCollection (RFC 7946); ``kind`` and ``state`` tell its features apart.

    ``kind`` is ``plan``, ``stop`` or ``fact``. The ``state`` of a fact is ``driven``, the kind of a
    deviation or ``speeding`` (both over what was driven), ``stay`` where no stop was planned, or
    ``gap``: a time of which nothing is known, which has no place.
    """
    report, head = subject.report, subject.route.head
    return json_bytes(
        {
            "type": "FeatureCollection",
            "route_id": str(report.route_id),
            "name": subject.route.name,
            "date": head.date.isoformat(),
            "plan_version": report.plan_version,
            "algorithm_version": report.algorithm_version,
            "computed_at": rfc3339(report.computed_at),
            "state": report.state.value,
            "availability": report.availability.value,
            "display_time_zone": report.display_time_zone,
            "features": [*_plan(subject), *_stops(subject), *_fact(subject)],
        }
    )


def planned_line(subject: Subject) -> Sequence[Point]:
    """Return the planned road, or the stops in their order where it has none."""
    plan = subject.route.plan
    return plan.line or [(stop.lon, stop.lat) for stop in plan.stops]


def gaps(subject: Subject) -> list[tuple[datetime, datetime]]:
    """Return the times between what was recorded; why there are any is told to nobody."""
    segments = subject.report.fact.segments
    return [(here.to_at, there.from_at) for here, there in pairwise(segments)]


def _plan(subject: Subject) -> Iterator[Feature]:
    straight = subject.route.plan.line is None
    geometry = _line(planned_line(subject))
    if geometry is not None:
        yield _feature(geometry, kind="plan", straight=straight)


def _stops(subject: Subject) -> Iterator[Feature]:
    for fact, stop in zip(subject.report.stops, subject.route.plan.stops, strict=True):
        yield _feature(
            {"type": "Point", "coordinates": (stop.lon, stop.lat)},
            kind="stop",
            number=fact.planned_sequence + 1,
            actual_number=None if fact.actual_sequence is None else fact.actual_sequence + 1,
            radius_m=stop.radius_m,
            **fact.model_dump(
                mode="json", exclude={"planned_sequence", "actual_sequence", "distance_m"}
            ),
        )


def _fact(subject: Subject) -> Iterator[Feature]:
    report = subject.report
    for segment in report.fact.segments:
        yield _stretch(_line(segment.line), "driven", segment.from_at, segment.to_at)
    for begin, end in gaps(subject):
        yield _stretch(None, "gap", begin, end)
    for one in report.deviations:
        geometry = _line(one.line)
        yield _stretch(
            geometry, one.kind, one.from_at, one.to_at, length_m=one.length_m, max_m=one.max_m
        )
    for fast in report.speeding:
        geometry, speeds = _line(fast.line), {"max_mps": fast.max_mps, "limit_mps": fast.limit_mps}
        yield _stretch(geometry, "speeding", fast.from_at, fast.to_at, **speeds)
    for stay in report.unplanned:
        place = {"type": "Point", "coordinates": (stay.lon, stay.lat)}
        yield _stretch(place, "stay", stay.from_at, stay.to_at, dwell_s=stay.dwell_s)


def _stretch(
    geometry: Feature | None, state: str, begin: datetime, end: datetime, **more: object
) -> Feature:
    times = {"from": rfc3339(begin), "to": rfc3339(end)}
    return _feature(geometry, kind="fact", state=state, **times, **more)


def _feature(geometry: Feature | None, **properties: object) -> Feature:
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def _line(points: Iterable[Point]) -> Feature | None:
    """Return a line, cut where it crosses the antimeridian; None if there is none to draw."""
    parts = [part for part in _cut(points) if len(part) > 1]
    if not parts:
        return None
    if len(parts) == 1:
        return {"type": "LineString", "coordinates": parts[0]}
    return {"type": "MultiLineString", "coordinates": parts}


def _cut(points: Iterable[Point]) -> list[list[Point]]:
    parts: list[list[Point]] = []
    for lon, lat in points:
        if not parts or abs(lon - parts[-1][-1][0]) > HALF_TURN_DEG:
            parts.append([])
        parts[-1].append((lon, lat))
    return parts


def gpx(subject: Subject) -> bytes:
    """Return GPX 1.1: stops as waypoints, the plan as a route, the fact as a track.

    Each line that was recorded is a segment, with the times of its two ends.
    """
    stops = zip(subject.report.stops, subject.route.plan.stops, strict=True)
    name = _text(subject.route.name)
    parts = [
        _GPX_HEAD,
        f"<metadata><name>{name}</name><time>{rfc3339(subject.report.computed_at)}</time>",
        "</metadata>\n",
        *(_waypoint(fact, stop) for fact, stop in stops),
        f"<rte><name>{name}</name>\n",
        *(f"<rtept {_place(point)}/>\n" for point in planned_line(subject)),
        f"</rte>\n<trk><name>{name}</name>\n",
    ]
    for segment in subject.report.fact.segments:
        times = {0: segment.from_at, len(segment.line) - 1: segment.to_at}
        parts.append("<trkseg>\n")
        parts += [_track_point(point, times.get(at)) for at, point in enumerate(segment.line)]
        parts.append("</trkseg>\n")
    return "".join([*parts, "</trk>\n</gpx>\n"]).encode()


def _waypoint(fact: StopFactView, stop: Stop) -> str:
    name = _text(f"{fact.planned_sequence + 1}. {fact.name}")
    arrived = "" if fact.arrived_at is None else f"<time>{rfc3339(fact.arrived_at)}</time>"
    place = _place((stop.lon, stop.lat))
    return f"<wpt {place}>{arrived}<name>{name}</name><type>{fact.status}</type></wpt>\n"


def _track_point(point: Point, at: datetime | None) -> str:
    if at is None:
        return f"<trkpt {_place(point)}/>\n"
    return f"<trkpt {_place(point)}><time>{rfc3339(at)}</time></trkpt>\n"


def _text(text: str) -> str:
    return escape(writable(text), quote=False)


def _place(point: Point) -> str:
    lon, lat = point
    # GPX 1.1 writes that meridian with the one sign only.
    shown = -HALF_TURN_DEG if lon == HALF_TURN_DEG else lon
    return f'lat="{lat:.6f}" lon="{shown:.6f}"'
