"""What stands in a workbook of plans, and what may be wrong with it. Pure."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import Enum, StrEnum, auto
from typing import Any, Final, TypeAlias

from server.kit.errors import Conflict, Invalid

ROUTES_MAX: Final = 200
FAULTS_SHOWN_MAX: Final = 200
DAY: Final = timedelta(days=1)
DATES: Final = (date(2000, 1, 2), date(2099, 12, 30))
"""As of routes: arithmetic on a day near them stays in range."""

_ISO_DAY: Final = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})", re.ASCII)
_LOCAL_DAY: Final = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})", re.ASCII)
_CLOCK: Final = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?", re.ASCII)
_NUMBER: Final = re.compile(r"[+-]?\d{1,9}([.,]\d{1,15})?", re.ASCII)
_WHOLE_MAX: Final = 1e15


class Column(StrEnum):
    """What a column is of. The values are names that a header may have in any language."""

    ROUTE = "route"
    DATE = "date"
    DRIVER = "driver"
    VEHICLE = "vehicle"
    START = "start"
    STOP = "stop"
    LAT = "lat"
    LON = "lon"
    ARRIVAL = "arrival"
    WINDOW_FROM = "window_from"
    WINDOW_TO = "window_to"
    SERVICE = "service_min"
    RADIUS = "radius_m"
    REFERENCE = "reference"
    CONTACT = "contact"
    PHONE = "phone"


REQUIRED: Final = (Column.ROUTE, Column.DATE, Column.STOP, Column.LAT, Column.LON)


class FaultKind(StrEnum):
    """What is wrong at a place. Each has its sentence in ``texts``."""

    MISSING = "missing"
    NO_PLACE = "no_place"
    FORMULA = "formula"
    ERROR_VALUE = "error_value"
    MERGED = "merged"
    NOT_TEXT = "not_text"
    TOO_LONG = "too_long"
    UNSAFE_TEXT = "unsafe_text"
    NATIONAL_ID = "national_id"
    PHONE = "phone"
    NOT_DATE = "not_date"
    NOT_TIME = "not_time"
    TIME_SKIPPED = "time_skipped"
    NOT_NUMBER = "not_number"
    OUT_OF_RANGE = "out_of_range"
    DRIVER_UNKNOWN = "driver_unknown"
    VEHICLE_UNKNOWN = "vehicle_unknown"
    DIFFERS = "differs"
    WINDOW_BACKWARDS = "window_backwards"
    REFERENCE_TWICE = "reference_twice"
    PLAN_TOO_LONG = "plan_too_long"
    UNMEASURABLE = "unmeasurable"
    TOO_MANY_STOPS = "too_many_stops"
    TOO_MANY_ROUTES = "too_many_routes"
    COLUMN_MISSING = "column_missing"
    COLUMN_TWICE = "column_twice"
    NO_ROWS = "no_rows"
    UNFIT = "unfit"


class Odd(Enum):
    """What stands in a cell that holds no value of its own."""

    FORMULA = auto()
    ERROR = auto()


Cell: TypeAlias = str | float | bool | datetime | time | timedelta | Odd | None
Moment: TypeAlias = time | datetime | timedelta
"""A time of day, a day and time, or how long after midnight of the route's date."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    number: int
    """As the program shows it, from 1."""
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    name: str
    rows: tuple[Row, ...]
    """Those in which anything is written, in order."""
    merged: tuple[tuple[int, int], ...]
    """From which row to which cells were merged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetFault:
    """A place in a sheet that does not fit; without a column it is the row as a whole."""

    row: int
    column: Column | None
    kind: FaultKind


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteFault:
    """What is wrong with a route of an import, before it is told where that was written."""

    route: int
    """Its place in the import, from 0."""
    stop: int | None
    member: str
    """As ``POST /v1/routes`` calls it; empty: the route, or the stop, as a whole."""
    kind: FaultKind


@dataclass(frozen=True, slots=True, kw_only=True)
class LaidOut:
    """A route as its rows tell it."""

    plan: Mapping[str, Any]
    """As ``POST /v1/routes`` takes it, but for whom it is given to. What is empty is absent."""
    rows: tuple[int, ...]
    """The rows of its stops."""
    driver: str | None
    """The driver's phone or e-mail, as it was written."""
    vehicle: str | None


class RouteImportRefused(Invalid):
    """The first ``faults`` are members of the problem: where, what, and a sentence for a person."""

    slug = "route-import-refused"
    title = "Nothing was imported: something in it does not fit"

    def __init__(self, faults: Sequence[Mapping[str, object]], *, total: int) -> None:
        self.faults = faults
        self.total = total
        super().__init__(f"{total} place(s) do not fit; see faults.")

    def members(self) -> dict[str, object]:
        return {"faults": list(self.faults), "faults_total": self.total}


class RouteImportDiffers(Conflict):
    slug = "route-import-differs"
    title = "Something else was imported under this id"

    def __init__(self) -> None:
        super().__init__(
            "Each import has an id of its own; sent again, it is the same in every byte."
        )


class Unfit(Exception):
    """``args[0]`` is the kind of fault."""


def _text(cell: Cell) -> str | None:
    match cell:
        case str():
            return cell.strip() or None
        case bool():
            raise Unfit(FaultKind.NOT_TEXT)
        case float():  # numbers of orders, phones
            return f"{cell:.0f}" if cell.is_integer() and abs(cell) < _WHOLE_MAX else str(cell)
    raise Unfit(FaultKind.NOT_TEXT)


def _number(cell: Cell) -> float | None:
    match cell:
        case bool():
            raise Unfit(FaultKind.NOT_NUMBER)
        case float():
            return cell
        case str() if not cell.strip():
            return None
        case str() if _NUMBER.fullmatch(cell.strip()):
            return float(cell.strip().replace(",", "."))
    raise Unfit(FaultKind.NOT_NUMBER)


def _day(cell: Cell) -> date | None:
    match cell:
        case datetime() if cell.time() == time():
            found = cell.date()
        case str() if not cell.strip():
            return None
        case str():
            found = _day_of(cell.strip())
        case _:
            raise Unfit(FaultKind.NOT_DATE)
    if not DATES[0] <= found <= DATES[1]:
        raise Unfit(FaultKind.OUT_OF_RANGE)
    return found


def _moment(cell: Cell) -> Moment | None:
    match cell:
        case datetime():
            return _bounded(cell.replace(microsecond=0))
        case time():
            return cell.replace(microsecond=0)
        case timedelta() if timedelta() <= cell <= 2 * DAY:
            return timedelta(seconds=round(cell.total_seconds()))
        case str() if not cell.strip():
            return None
        case str():
            words = cell.split()
            if len(words) == 1:
                return _clock_of(words[0])
            if len(words) == 2:  # noqa: PLR2004 - a day and a time
                day = _day_of(words[0], FaultKind.NOT_TIME)
                return _bounded(datetime.combine(day, _clock_of(words[1])))
    raise Unfit(FaultKind.NOT_TIME)


def _bounded(at: datetime) -> datetime:
    if not DATES[0] <= at.date() <= DATES[1]:
        raise Unfit(FaultKind.OUT_OF_RANGE)
    return at


def _day_of(text: str, kind: FaultKind = FaultKind.NOT_DATE) -> date:
    if (found := _ISO_DAY.fullmatch(text)) is not None:
        year, month, day = found.groups()
    elif (found := _LOCAL_DAY.fullmatch(text)) is not None:
        day, month, year = found.groups()
    else:
        raise Unfit(kind)
    try:
        return date(int(year), int(month), int(day))
    except ValueError:  # 31 February
        raise Unfit(kind) from None


def _clock_of(text: str) -> time:
    found = _CLOCK.fullmatch(text)
    if found is None:
        raise Unfit(FaultKind.NOT_TIME)
    hour, minute, second = (int(part or 0) for part in found.groups())
    try:
        return time(hour, minute, second)
    except ValueError:  # 24:00
        raise Unfit(FaultKind.NOT_TIME) from None


READERS: Final[Mapping[Column, Callable[[Cell], object]]] = {
    Column.ROUTE: _text,
    Column.DATE: _day,
    Column.DRIVER: _text,
    Column.VEHICLE: _text,
    Column.START: _moment,
    Column.STOP: _text,
    Column.LAT: _number,
    Column.LON: _number,
    Column.ARRIVAL: _moment,
    Column.WINDOW_FROM: _moment,
    Column.WINDOW_TO: _moment,
    Column.SERVICE: _number,
    Column.RADIUS: _number,
    Column.REFERENCE: _text,
    Column.CONTACT: _text,
    Column.PHONE: _text,
}
