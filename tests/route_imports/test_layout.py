"""From the rows of a workbook to routes."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.route_imports.layout import laid_out
from server.route_imports.model import (
    ROUTES_MAX,
    Cell,
    Column,
    FaultKind,
    LaidOut,
    Odd,
    Row,
    Sheet,
    SheetFault,
)
from server.route_imports.template import EXAMPLES, HEADERS, TEXTS

ALMATY = ZoneInfo("Asia/Almaty")
BERLIN = ZoneInfo("Europe/Berlin")
DAY = datetime(2026, 12, 1)  # noqa: DTZ001 - a workbook knows no zone
USUAL: dict[Column, Cell] = {
    Column.ROUTE: "North",
    Column.DATE: DAY,
    Column.STOP: "Depot",
    Column.LAT: 43.2,
    Column.LON: 76.9,
}


def row(**changes: Cell) -> dict[Column, Cell]:
    return USUAL | {Column(name): value for name, value in changes.items()}


def lay(
    *rows: dict[Column, Cell],
    zone: ZoneInfo = ALMATY,
    merged: tuple[tuple[int, int], ...] = (),
    columns: tuple[str, ...] = tuple(Column),
) -> tuple[list[LaidOut], list[SheetFault]]:
    told = [Row(number=1, cells=columns)]
    told += [
        Row(number=number, cells=tuple(one.get(column) for column in Column))
        for number, one in enumerate(rows, start=2)
    ]
    sheet = Sheet(name="Routes", rows=tuple(told), merged=merged)
    return laid_out(sheet, headers=HEADERS, examples=EXAMPLES, zone=zone)


def only_stop(**changes: Cell) -> dict[str, Any]:
    [route], faults = lay(row(**changes))
    assert faults == []
    found: dict[str, Any] = route.plan["stops"][0]
    return found


def faults_of(**changes: Cell) -> list[tuple[Column | None, FaultKind]]:
    return [(one.column, one.kind) for one in lay(row(**changes))[1]]


def local(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 12, day, hour, minute, tzinfo=ALMATY).astimezone(UTC)


def test_rows_of_one_name_and_date_are_one_route_in_their_order() -> None:
    routes, faults = lay(
        row(stop="A"),
        row(stop="B", route="South"),
        row(stop="C"),
        row(stop="D", date=DAY + timedelta(days=1)),
    )

    assert faults == []
    assert [[stop["name"] for stop in one.plan["stops"]] for one in routes] == [
        ["A", "C"],
        ["B"],
        ["D"],
    ]
    assert [one.rows for one in routes] == [(2, 4), (3,), (5,)]
    assert routes[0].plan["date"] == date(2026, 12, 1)


@pytest.mark.parametrize("language", list(TEXTS))
def test_headers_are_known_in_every_language(language: Any) -> None:
    shown = tuple(f"  {TEXTS[language]['columns'][column].upper()} *" for column in Column)

    routes, faults = lay(row(), columns=shown)

    assert faults == []
    assert routes[0].plan["name"] == "North"


def test_the_row_for_example_is_left_out() -> None:
    for texts in TEXTS.values():
        routes, faults = lay(row(route=texts["example"]["route"]), row())
        assert ([one.rows for one in routes], faults) == ([(3,)], [])

    assert lay(row(route=next(iter(TEXTS.values()))["example"]["route"]))[0] == []


def test_times_are_of_the_companys_clock() -> None:
    stop = only_stop(arrival=time(9, 15), window_from="09:00", window_to=DAY + timedelta(hours=12))

    assert stop["planned_arrival"] == local(1, 9, 15)
    assert (stop["window_start"], stop["window_end"]) == (local(1, 9), local(1, 12))


def test_a_window_may_be_over_midnight() -> None:
    over = only_stop(window_from=time(22), window_to=time(2))
    written_out = only_stop(window_from="01.12.2026 22:00", window_to="2026-12-02 02:00")
    in_hours = only_stop(window_from=timedelta(hours=22), window_to=timedelta(hours=26))

    assert (over["window_start"], over["window_end"]) == (local(1, 22), local(2, 2))
    assert written_out["window_end"] == in_hours["window_end"] == local(2, 2)


def test_a_route_over_midnight_goes_on_the_next_day() -> None:
    [route], faults = lay(
        row(start=time(22), arrival=time(22, 30)),
        row(arrival=time(1, 30)),
        row(window_from=time(2), window_to=time(3)),
        row(arrival=time(5)),
    )

    assert faults == []
    assert route.plan["planned_start"] == local(1, 22)
    stops = route.plan["stops"]
    assert [stop.get("planned_arrival") for stop in stops] == [
        local(1, 22, 30), local(2, 1, 30), None, local(2, 5)
    ]  # fmt: skip
    assert (stops[2]["window_start"], stops[2]["window_end"]) == (local(2, 2), local(2, 3))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"start": time(9), "arrival": time(8, 55)}, local(1, 8, 55)),
        ({"start": time(6), "arrival": time(19)}, local(1, 19)),
        ({"start": time(22), "arrival": time(0)}, local(2, 0)),
    ],
)
def test_a_time_is_of_the_day_on_which_it_is_nearer(
    changes: dict[str, Cell], expected: datetime
) -> None:
    assert only_stop(**changes)["planned_arrival"] == expected


@pytest.mark.parametrize(
    ("changes", "opens", "closes"),
    [
        ({"arrival": time(20, 30), "window_from": time(8)}, local(1, 8), None),
        ({"arrival": time(8, 55), "window_from": time(9)}, local(1, 9), None),
        ({"start": time(22), "arrival": time(1, 30), "window_from": time(2)}, local(2, 2), None),
        ({"start": time(22), "arrival": time(1, 30), "window_from": time(21)}, local(1, 21), None),
        ({"start": time(21), "window_from": time(8)}, local(1, 8), None),
        ({"arrival": time(20), "window_from": "02.12.2026 08:00"}, local(2, 8), None),
        ({"arrival": time(22, 30), "window_to": time(8)}, None, local(2, 8)),
        ({"arrival": time(9), "window_to": time(8, 55)}, None, local(1, 8, 55)),
    ],
)
def test_a_window_with_one_side_is_of_the_day_on_which_it_makes_sense(
    changes: dict[str, Cell], opens: datetime | None, closes: datetime | None
) -> None:
    stop = only_stop(**changes)

    assert (stop.get("window_start"), stop.get("window_end")) == (opens, closes)


def test_a_window_that_the_plan_misses_stays_on_its_day() -> None:
    stop = only_stop(start=time(9), arrival=time(10), window_from=time(8), window_to=time(9))

    assert (stop["window_start"], stop["window_end"]) == (local(1, 8), local(1, 9))


def test_a_time_that_the_clock_leaves_out_is_refused_and_one_it_has_twice_is_the_first() -> None:
    spring, autumn = (datetime(2027, 3, 28), datetime(2026, 10, 25))  # noqa: DTZ001 - as above

    _, faults = lay(row(date=spring, arrival=time(2, 30)), zone=BERLIN)
    [twice], none = lay(row(date=autumn, arrival=time(2, 30)), zone=BERLIN)

    assert [(one.row, one.column, one.kind) for one in faults] == [
        (2, Column.ARRIVAL, FaultKind.TIME_SKIPPED)
    ]
    assert none == []
    assert twice.plan["stops"][0]["planned_arrival"] == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize("written", ["01.12.2026", "2026-12-01", "1.12.2026", DAY])
def test_a_date_is_read_as_it_is_usually_written(written: Cell) -> None:
    assert lay(row(date=written))[0][0].plan["date"] == date(2026, 12, 1)


def test_numbers_are_read_as_they_are_usually_written() -> None:
    stop = only_stop(lat="43,238949", lon="76.889709 ", service_min=10.0, radius_m="80")

    assert (stop["lat"], stop["lon"]) == (43.238949, 76.889709)
    assert (stop["service_s"], stop["radius_m"]) == (600.0, 80.0)


def test_numbers_of_orders_and_phones_are_texts() -> None:
    stop = only_stop(reference=10452.0, phone=77011234567.0, stop=5.0)

    assert (stop["reference"], stop["name"]) == ("10452", "5")
    assert stop["contact"] == {"phone": "77011234567"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"lat": None, "lon": None}, [("lat", "no_place"), ("lon", "no_place")]),
        ({"lat": "north"}, [("lat", "not_number")]),
        ({"lat": True}, [("lat", "not_number")]),
        ({"lat": Odd.FORMULA}, [("lat", "formula")]),
        ({"service_min": Odd.ERROR}, [("service_min", "error_value")]),
        ({"stop": " "}, [("stop", "missing")]),
        ({"stop": time(9)}, [("stop", "not_text")]),
        ({"date": 46357.0}, [("date", "not_date")]),
        ({"date": "31.02.2026"}, [("date", "not_date")]),
        ({"date": "12/01/2026"}, [("date", "not_date")]),
        ({"date": DAY + timedelta(hours=3)}, [("date", "not_date")]),
        ({"date": "01.12.1926"}, [("date", "out_of_range")]),
        ({"arrival": "nine"}, [("arrival", "not_time")]),
        ({"arrival": "24:00"}, [("arrival", "not_time")]),
        ({"arrival": 0.375}, [("arrival", "not_time")]),
        ({"arrival": "31.02.2026 09:00"}, [("arrival", "not_time")]),
        ({"arrival": "01.01.9999 09:00"}, [("arrival", "out_of_range")]),
        ({"window_to": timedelta(hours=49)}, [("window_to", "not_time")]),
    ],
)
def test_what_does_not_fit_is_named(
    changes: dict[str, Cell], expected: list[tuple[str, str]]
) -> None:
    assert faults_of(**changes) == expected


def test_each_row_tells_its_own_faults() -> None:
    _, faults = lay(row(lat=None), row(), row(date="soon", stop=None))

    assert [(one.row, one.column, one.kind) for one in faults] == [
        (2, Column.LAT, FaultKind.NO_PLACE),
        (4, Column.DATE, FaultKind.NOT_DATE),
        (4, Column.STOP, FaultKind.MISSING),
    ]


def test_one_row_of_a_route_says_who_drives_it_and_another_does_not_contradict() -> None:
    [route], faults = lay(row(), row(driver="+77011234567"), row(vehicle="123 ABC 02"))
    _, differing = lay(row(driver="+77011234567"), row(driver="+77017654321"))

    assert faults == []
    assert (route.driver, route.vehicle) == ("+77011234567", "123 ABC 02")
    assert [(one.row, one.column, one.kind) for one in differing] == [
        (3, Column.DRIVER, FaultKind.DIFFERS)
    ]


def test_merged_cells_are_refused_row_by_row() -> None:
    _, faults = lay(row(), row(), row(), merged=((3, 4), (9, 12)))

    assert [(one.row, one.column, one.kind) for one in faults] == [
        (3, None, FaultKind.MERGED),
        (4, None, FaultKind.MERGED),
    ]


def test_columns_are_there_once() -> None:
    missing = tuple(column for column in Column if column is not Column.LAT)
    twice = (*Column, "Широта")

    assert [(one.row, one.column, one.kind) for one in lay(row(), columns=missing)[1]] == [
        (1, Column.LAT, FaultKind.COLUMN_MISSING)
    ]
    assert [(one.row, one.column, one.kind) for one in lay(row(), columns=twice)[1]] == [
        (1, Column.LAT, FaultKind.COLUMN_TWICE)
    ]


def test_a_sheet_without_stops_says_so() -> None:
    empty = Sheet(name="Routes", rows=(), merged=())
    found = laid_out(empty, headers=HEADERS, examples=EXAMPLES, zone=ALMATY)

    for _, faults in (found, lay()):
        assert [(one.row, one.kind) for one in faults] == [(1, FaultKind.NO_ROWS)]


def test_an_import_has_so_many_routes_at_most() -> None:
    rows = [row(route=f"R{number}", lat=None) for number in range(ROUTES_MAX + 2)]
    routes, faults = lay(*rows)

    assert [(one.row, one.kind) for one in faults] == [(ROUTES_MAX + 2, FaultKind.TOO_MANY_ROUTES)]
    assert routes == []  # no work is done for any


CELLS = st.one_of(
    st.none(),
    st.text(max_size=12),
    st.sampled_from(["09:00", "01.12.2026", "2026-12-01 23:59", "43,2", "+7701"]),
    st.integers(-(10**16), 10**16).map(float),
    st.booleans(),
    st.sampled_from(list(Odd)),
    st.datetimes(),
    st.times(),
    st.timedeltas(),
)


@given(st.lists(st.lists(CELLS, max_size=20), max_size=6))
def test_whatever_stands_in_the_cells_is_a_route_or_a_fault(rows: list[list[Cell]]) -> None:
    told = (
        Row(number=1, cells=tuple(Column)),
        *(Row(number=place, cells=tuple(cells)) for place, cells in enumerate(rows, start=2)),
    )
    sheet = Sheet(name="Routes", rows=told, merged=())

    for zone in (ALMATY, BERLIN):
        routes, faults = laid_out(sheet, headers=HEADERS, examples=EXAMPLES, zone=zone)
        numbers = {one.row for one in faults} | {row for one in routes for row in one.rows}
        assert numbers - {1} == set(range(2, len(rows) + 2))
