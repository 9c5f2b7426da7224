"""A report as a file: which kinds there are, what one is made of, what it is called. Pure."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Literal
from zoneinfo import ZoneInfo

from server.accounts.model import Locale
from server.kit.errors import Unavailable
from server.reports.wire import PlanFactView, StopFactView
from server.routes.model import Route

MINUTE_S: Final = 60
ON_TIME_S: Final = 60.0
"""Nobody is late or early by less; nor by less than can be measured."""
COVERAGE_POOR: Final = 0.8
SIGMA_POOR_M: Final = 30.0
ROUTE_NAME_MAX: Final = 60
"""So much of a route's name stands in a file's: the ending is never cut off."""
# What Windows refuses in names, and what would hide an ending or lead to another folder.
_NOT_IN_NAMES: Final = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*\s_]+')


class FileFormat(StrEnum):
    JSON = "json"
    GEOJSON = "geojson"
    GPX = "gpx"
    CSV = "csv"
    XLSX = "xlsx"
    PDF = "pdf"


CONTENT_TYPES: Final[Mapping[FileFormat, str]] = MappingProxyType(
    {
        FileFormat.JSON: "application/json",
        FileFormat.GEOJSON: "application/geo+json",
        FileFormat.GPX: "application/gpx+xml",
        FileFormat.CSV: "text/csv",
        FileFormat.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        FileFormat.PDF: "application/pdf",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a file tells, for whom, and in which words.

    Neither the driver nor a customer is named in it: a file goes where nobody can follow it.
    """

    report: PlanFactView = field(repr=False)
    route: Route = field(repr=False)
    """The same version of the plan as the report's; its stops stand in the same order."""
    company: str
    language: Locale

    @property
    def zone(self) -> ZoneInfo:
        """The one zone of all times that people read in it: the company's."""
        return ZoneInfo(self.report.display_time_zone)

    def file_name(self, kind: FileFormat) -> str:
        """Return a name with the day, the route and the zone, as in ``plan-fact_…_UTC+5.xlsx``."""
        head = self.route.head
        name = _NOT_IN_NAMES.sub("-", self.route.name[:ROUTE_NAME_MAX]).strip(".-")
        offset = offset_text(head.starts_at.astimezone(self.zone).utcoffset())
        parts = ("plan-fact", head.date.isoformat(), name, offset.replace(":", ""))
        return "_".join(part for part in parts if part) + f".{kind.value}"


@dataclass(frozen=True, slots=True)
class Assessment:
    """Arrival against plan, in minutes that are cut and not rounded up."""

    kind: Literal["late", "early", "in_window", "on_time"] | None
    minutes: int | None


def assess(stop: StopFactView) -> Assessment:
    """Tell late from early as the screen does: inside its window nobody is late."""
    if stop.arrived_at is None:
        return Assessment(None, None)
    if stop.planned_arrival is None:
        against = {"late": stop.late_s, "on_time": 0.0}
        if stop.early_s is not None:
            against["early"] = -stop.early_s
        seconds = against.get(stop.window_status)
    else:
        seconds = (stop.arrived_at - stop.planned_arrival).total_seconds()
    if seconds is None:
        return Assessment(None, None)
    minutes = int(seconds / MINUTE_S)
    if abs(seconds) < max(ON_TIME_S, stop.arrival_uncertainty_s or 0.0):
        return Assessment("on_time", minutes)
    if stop.window_status == "on_time":
        return Assessment("in_window", minutes)
    return Assessment("late" if minutes > 0 else "early", minutes)


def counts(report: PlanFactView) -> Mapping[str, int]:
    """Return how many stops are of each status, and how many late, early, on time."""
    found = dict.fromkeys(("visited", "missed", "unknown", "pending", "late", "early"), 0)
    for stop in report.stops:
        kind = assess(stop).kind
        found[stop.status] = found.get(stop.status, 0) + 1
        if kind in ("late", "early"):
            found[kind] += 1
    judged = [stop.window_status for stop in report.stops if stop.window_status != "none"]
    return {**found, "on_time": judged.count("on_time"), "judged": len(judged)}


def halts(report: PlanFactView) -> Iterator[tuple[datetime, datetime]]:
    """Give when the vehicle was seen at a stop: never longer than it was recorded.

    Who was there when a line began or ended came or left at a time that is not known.
    """
    for stop in report.stops:
        seen = stop.arrived_at or stop.departed_at
        if seen is None:
            continue
        recorded = [one for one in report.fact.segments if one.from_at <= seen <= one.to_at]
        first, last = (recorded[0].from_at, recorded[0].to_at) if recorded else (seen, seen)
        begin = stop.arrived_at or first
        yield begin, max(stop.departed_at or last, begin)


def is_poor(report: PlanFactView) -> bool:
    """Tell whether its times are to be taken with care.

    Of the time from the first position to the last only: a phone that was silent before the drive
    or after it makes no time of the drive uncertain, and ``quality.coverage`` counts that as well.
    """
    segments, sigma_m = report.fact.segments, report.quality.sigma_m
    if sigma_m is not None and sigma_m > SIGMA_POOR_M:
        return True
    if not segments:
        return False
    recorded = sum((one.to_at - one.from_at for one in segments), timedelta())
    return recorded < COVERAGE_POOR * (segments[-1].to_at - segments[0].from_at)


class PdfNotInstalled(Unavailable):
    slug = "pdf-not-installed"
    title = "PDF files cannot be made by this installation"

    def __init__(self) -> None:
        super().__init__("Its operator has not installed the extra `pdf`. Take another format.")


class PdfNotMade(Unavailable):
    slug = "pdf-not-made"
    title = "The PDF could not be made"

    def __init__(self) -> None:
        super().__init__("It took more time or memory than one file may. Take another format.")


def writable(text: str) -> str:
    """Return the text as XML can hold it: of all characters two have no way to be written there."""
    return text.translate({0xFFFE: 0xFFFD, 0xFFFF: 0xFFFD})


def offset_text(offset: timedelta | None) -> str:
    """Return an offset as people write it: ``UTC+5``, ``UTC-3:30``, ``UTC``."""
    seconds = 0 if offset is None else round(offset.total_seconds())
    minutes = abs(seconds) // 60
    if minutes == 0:
        return str(UTC)
    rest = f":{minutes % 60:02}" if minutes % 60 else ""
    return f"{UTC}{'-' if seconds < 0 else '+'}{minutes // 60}{rest}"
