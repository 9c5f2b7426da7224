"""From the rows of a workbook to routes. Pure.

One row is one stop. Rows of the same route and date are one route, in the order in which they
stand. Times are of the company's clock: a workbook knows no other.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from server.route_imports.model import (
    DATES,
    DAY,
    READERS,
    REQUIRED,
    ROUTES_MAX,
    Cell,
    Column,
    FaultKind,
    LaidOut,
    Moment,
    Odd,
    Row,
    Sheet,
    SheetFault,
    Unfit,
)

MINUTE_S: Final = 60
NO_TIME: Final = timedelta()
WAIT_MAX: Final = timedelta(hours=4)
"""Nobody plans to wait longer for a stop to open: it has opened the day before."""
ODD: Final[Mapping[Odd, FaultKind]] = {
    Odd.FORMULA: FaultKind.FORMULA,
    Odd.ERROR: FaultKind.ERROR_VALUE,
}


def laid_out(
    sheet: Sheet, *, headers: Mapping[str, Column], examples: Collection[str], zone: ZoneInfo
) -> tuple[list[LaidOut], list[SheetFault]]:
    """Return the routes of a sheet, and every place in it that does not fit.

    ``headers`` are the names of the columns as :func:`plain` writes them, in every language.
    Rows whose route is one of the ``examples`` are left out: they came with the template.
    """
    if not sheet.rows:
        return [], [SheetFault(row=1, column=None, kind=FaultKind.NO_ROWS)]
    head, *rows = sheet.rows
    columns, faults = _columns(head, headers)
    if faults:
        return [], faults
    told = [row for row in rows if plain(_cell_of(row, columns, Column.ROUTE)) not in examples]
    if not told:
        return [], [SheetFault(row=head.number, column=None, kind=FaultKind.NO_ROWS)]
    faults = [
        SheetFault(row=row.number, column=None, kind=FaultKind.MERGED)
        for row in told
        if any(first <= row.number <= last for first, last in sheet.merged)
    ]
    routes: dict[tuple[date, str], list[_Told]] = {}
    for row in told:
        found = _Told(row.number, faults)
        found.values = {
            column: value
            for column in columns
            if (value := found.read(column, _cell_of(row, columns, column))) is not None
        }
        day, name = found.values.get(Column.DATE), found.values.get(Column.ROUTE)
        for column in REQUIRED:
            found.refuse_missing(column)
        if day is not None and name is not None:
            routes.setdefault((day, name), []).append(found)
    if len(routes) > ROUTES_MAX:  # nothing else is looked at: there may be ten thousand
        beyond = list(routes.values())[ROUTES_MAX][0].number
        return [], [SheetFault(row=beyond, column=Column.ROUTE, kind=FaultKind.TOO_MANY_ROUTES)]
    laid = [_route(day, name, stops, zone) for (day, name), stops in routes.items()]
    return laid, _once_each(faults)


def plain(text: object) -> str:
    """Return a header, or a name, as it is compared: case and stars make no difference."""
    return " ".join(str(text).replace("*", " ").split()).casefold()


def _columns(
    head: Row, headers: Mapping[str, Column]
) -> tuple[dict[Column, int], list[SheetFault]]:
    """Return where each column stands. Others than ours are the company's own, and left alone."""
    columns: dict[Column, int] = {}
    faults = []
    for place, cell in enumerate(head.cells):
        column = headers.get(plain(cell)) if isinstance(cell, str) else None
        if column in columns:
            faults.append(SheetFault(row=head.number, column=column, kind=FaultKind.COLUMN_TWICE))
        elif column is not None:
            columns[column] = place
    faults += [
        SheetFault(row=head.number, column=column, kind=FaultKind.COLUMN_MISSING)
        for column in REQUIRED
        if column not in columns
    ]
    return columns, faults


def _cell_of(row: Row, columns: Mapping[Column, int], column: Column) -> Cell:
    place = columns[column]
    return row.cells[place] if place < len(row.cells) else None


def _once_each(faults: Iterable[SheetFault]) -> list[SheetFault]:
    """Return the first fault of each place, by row: the others follow from it."""
    first: dict[tuple[int, Column | None], SheetFault] = {}
    for one in faults:
        first.setdefault((one.row, one.column), one)
    return sorted(first.values(), key=lambda one: one.row)


class _Told:
    """One row's values, and the faults found in it."""

    def __init__(self, number: int, faults: list[SheetFault]) -> None:
        self.number = number
        self.values: dict[Column, Any] = {}
        self._faults = faults

    def fault(self, column: Column, kind: FaultKind) -> None:
        self._faults.append(SheetFault(row=self.number, column=column, kind=kind))

    def read(self, column: Column, cell: Cell) -> object:
        match cell:
            case None:
                return None
            case Odd():
                self.fault(column, ODD[cell])
                return None
        try:
            return READERS[column](cell)
        except Unfit as unfit:
            self.fault(column, unfit.args[0])
            return None

    def refuse_missing(self, column: Column) -> None:
        if column not in self.values:
            is_place = column in {Column.LAT, Column.LON}
            self.fault(column, FaultKind.NO_PLACE if is_place else FaultKind.MISSING)

    def instant(self, column: Column, local: datetime | None, zone: ZoneInfo) -> datetime | None:
        """Return the time in UTC; a fault where the clock was put forward over it."""
        if local is None:
            return None
        if not DATES[0] <= local.date() <= DATES[1]:
            self.fault(column, FaultKind.OUT_OF_RANGE)
            return None
        found = local.replace(tzinfo=zone).astimezone(UTC)
        if found.astimezone(zone).replace(tzinfo=None) != local:
            self.fault(column, FaultKind.TIME_SKIPPED)
            return None
        return found


def _route(day: date, name: str, stops: Sequence[_Told], zone: ZoneInfo) -> LaidOut:
    begin = _near(day, _agreed(stops, Column.START), None)
    plan: dict[str, Any] = {"name": name, "date": day}
    start = stops[0].instant(Column.START, begin, zone)
    if start is not None:
        plan["planned_start"] = start
    before = begin
    plan["stops"] = []
    for one in stops:
        arrival = _near(day, one.values.get(Column.ARRIVAL), before)
        before = arrival or before
        plan["stops"].append(_stop(one, day, arrival, before, zone))
    return LaidOut(
        plan=plan,
        rows=tuple(one.number for one in stops),
        driver=_agreed(stops, Column.DRIVER),
        vehicle=_agreed(stops, Column.VEHICLE),
    )


def _stop(
    one: _Told, day: date, arrival: datetime | None, near: datetime | None, zone: ZoneInfo
) -> dict[str, Any]:
    values = one.values
    opens, closes = _window(day, values.get(Column.WINDOW_FROM), values.get(Column.WINDOW_TO), near)
    service_min = values.get(Column.SERVICE)
    contact = _present({"name": values.get(Column.CONTACT), "phone": values.get(Column.PHONE)})
    return _present(
        {
            "name": values.get(Column.STOP),
            "lat": values.get(Column.LAT),
            "lon": values.get(Column.LON),
            "radius_m": values.get(Column.RADIUS),
            "service_s": None if service_min is None else service_min * MINUTE_S,
            "planned_arrival": one.instant(Column.ARRIVAL, arrival, zone),
            "window_start": one.instant(Column.WINDOW_FROM, opens, zone),
            "window_end": one.instant(Column.WINDOW_TO, closes, zone),
            "reference": values.get(Column.REFERENCE),
            "contact": contact or None,
        }
    )


def _present(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _agreed(stops: Sequence[_Told], column: Column) -> Any:
    """Return what the rows of a route say of it as a whole: one of them is enough."""
    said = [one for one in stops if column in one.values]
    for other in said[1:]:
        if other.values[column] != said[0].values[column]:
            other.fault(column, FaultKind.DIFFERS)
    return said[0].values[column] if said else None


# ---- times of day: on which day are they?


def _near(day: date, moment: Moment | None, before: datetime | None) -> datetime | None:
    """Return the moment; a time of day is the route's date's or the next day's.

    Whichever is nearer to what comes before it: 01:30 after 22:00 is the next day, 08:55 after
    09:00 is not.
    """
    if moment is None:
        return None
    found = _on(day, moment)
    if isinstance(moment, time) and before is not None:
        return min((found, found + DAY), key=lambda one: abs(one - before))
    return found


def _window(
    day: date, opens: Moment | None, closes: Moment | None, near: datetime | None
) -> tuple[datetime | None, datetime | None]:
    """Return when a window opens and closes; one that closes before it opens is over midnight."""
    if closes is None:
        return _opening(day, opens, near), None
    if opens is None:
        return None, _near(day, closes, near)
    first, last = _on(day, opens), _on(day, closes)
    if isinstance(closes, time) and last < first:
        last = datetime.combine(first.date(), closes)
        last += DAY if last < first else NO_TIME
    if isinstance(opens, time) and isinstance(closes, time) and near is not None:
        today, tomorrow = (_away(near, first + shift, last + shift) for shift in (NO_TIME, DAY))
        later = DAY if tomorrow < today else NO_TIME
        return first + later, last + later
    return first, last


def _opening(day: date, opens: Moment | None, near: datetime | None) -> datetime | None:
    """Return when a window without an end opens: at 20:30 one open from 08:00 is open already."""
    found = _near(day, opens, near)
    if opens is None or found is None or near is None or found - near <= WAIT_MAX:
        return found
    return _on(day, opens)


def _away(at: datetime, first: datetime, last: datetime) -> timedelta:
    """Return how long before or after a window a time is."""
    return max(first - at, at - last, NO_TIME)


def _on(day: date, moment: Moment) -> datetime:
    match moment:
        case datetime():
            return moment
        case timedelta():
            return datetime.combine(day, time()) + moment
    return datetime.combine(day, moment)
