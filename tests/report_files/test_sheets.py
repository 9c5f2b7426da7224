"""XLSX and CSV as those who open them find them."""

import csv
import io
import zipfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import openpyxl
import pytest
from openpyxl.workbook import Workbook
from openpyxl.worksheet.worksheet import Worksheet

from server.accounts.model import Locale
from server.report_files import sheets
from server.report_files.model import Subject, assess, counts, halts, is_poor
from server.report_files.sheets import harmless
from server.report_files.words import NONE, TEXTS
from tests.report_files.subjects import (
    LATE_S,
    NAMES,
    STATUSES,
    changed,
    many,
    minutes,
    set_back,
    subject,
    without_fact,
)

LANGUAGES = list(Locale)
FORMULA_STARTS = tuple("=+-@＝＋－＠")  # noqa: RUF001 - full-width forms are formulas, too
HIDDEN = (
    "Склад 5,=HYPERLINK(A1),x",
    "Shop 5;=1+cmd|'/C calc'!A0",
    "Shop 5\t@SUM(A1)",
    "Shop 5;, ＝1+1",  # noqa: RUF001 - a formula where the system's language has such signs
    'Shop,"=1+1"',
    '"Shop";"-1"',
    "Shop\n+1",
)
"""Formulas only for who parts the cells otherwise than the file does."""


def opened(told: Subject) -> Workbook:
    return openpyxl.load_workbook(io.BytesIO(sheets.xlsx(told)))


def sheet(told: Subject, name: str) -> Worksheet:
    found = opened(told)[TEXTS[told.language]["sheet"][name]]
    assert isinstance(found, Worksheet)
    return found


def column(of: Worksheet, heading: str) -> list[object]:
    """Return what stands under a heading, the zone's line in it left out."""
    for cells in of.iter_cols(values_only=True):
        if str(cells[0]).split("\n")[0] == heading:
            return list(cells[1:])
    raise KeyError(heading)


def figures(of: Worksheet) -> dict[str, object]:
    return {str(row[0]): row[1] for row in of.iter_rows(min_row=2, max_col=2, values_only=True)}


def width(of: Worksheet, place: int) -> float:
    """Return how wide a column is; neighbours of one width are told together."""
    groups = of.column_dimensions.values()
    [found] = [one.width for one in groups if (one.min or 0) <= place <= (one.max or 0)]
    return float(found)


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def read_csv(told: Subject) -> list[list[str]]:
    text = sheets.csv_of_stops(told).decode("utf-8-sig")
    delimiter = TEXTS[told.language]["format"]["list"]
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_workbook_has_its_five_sheets_with_heads_that_stay_in_sight(language: Locale) -> None:
    book = opened(subject(language))

    names = ("summary", "stops", "legs", "deviations", "quality")
    assert book.sheetnames == [TEXTS[language]["sheet"][name] for name in names]
    for one in book.worksheets:
        assert str(one.freeze_panes).endswith("2")
        assert all(width.width >= 5 for width in one.column_dimensions.values())
    assert book.worksheets[1].freeze_panes == "D2"


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_that_people_wrote_is_a_formula_or_a_link(language: Locale) -> None:
    told = subject(language)
    told = replace(
        told, company="=1+1", route=replace(told.route, name='=cmd|"/C calc"!A0 &P https://x.kz')
    )
    with zipfile.ZipFile(io.BytesIO(sheets.xlsx(told))) as parts:
        xml = {name: parts.read(name).decode() for name in parts.namelist()}

    assert not any("<f>" in text or "<f " in text for text in xml.values())
    assert not any("<hyperlink" in text or "/hyperlink" in text for text in xml.values())
    assert not any("externalLink" in name for name in xml)
    book = opened(told)
    assert column(sheet(told, "stops"), TEXTS[language]["column"]["stop"]) == list(NAMES)
    types = {cell.data_type for one in book.worksheets for row in one.iter_rows() for cell in row}
    assert types <= {"s", "n", "d"}


def test_figures_are_numbers_times_are_times_and_what_is_not_known_is_a_dash() -> None:
    of, words = sheet(subject(), "stops"), TEXTS[Locale.EN]["column"]

    arrived = column(of, words["arrived_at"])
    assert arrived[:2] == [datetime(2026, 11, 22, 8, 0), datetime(2026, 11, 22, 8, 42, 30)]  # noqa: DTZ001
    assert [arrived[place] for place in (4, 5, 7)] == [NONE] * 3
    assert column(of, words["difference"]) == [0, 12, -15, 0, NONE, NONE, 5, NONE]
    assert column(of, words["assessment"])[:4] == ["on time", "late", "early", "on time"]
    assert column(of, words["status"]) == list(STATUSES)
    assert column(of, words["service"])[0] == timedelta(seconds=725)
    assert column(of, words["distance"])[4] == NONE
    row = {of.cell(1, place).value: cell for place, cell in enumerate(of[2], start=1)}
    assert row[f"{words['arrived_at']}\nUTC+5"].number_format == "dd.mm.yyyy hh:mm"
    assert row[words["service"]].number_format == "[h]:mm"
    assert row[words["difference"]].number_format == "+0;-0;0"
    assert row[words["lat"]].number_format == "0.00000"


def test_the_summary_counts_what_the_stops_say_and_keeps_gaps_apart() -> None:
    told = subject()
    found, words = figures(sheet(told, "summary")), TEXTS[Locale.EN]["figure"]

    for status in ("visited", "missed", "unknown", "pending"):
        assert found[words[status]] == STATUSES.count(status)
    assert (found[words["late"]], found[words["early"]]) == (2, 1)
    assert found[words["actual_km"]] == pytest.approx(31.25)
    assert found[words["gap_km"]] == pytest.approx(9.1)
    assert found["Times"] == "Asia/Almaty (UTC+5)"
    assert found["Computed at"] == "22.11.2026 11:20"
    assert found["State"] == "not over yet"


@pytest.mark.parametrize("availability", ["not_shared", "no_positions", "no_driver"])
def test_without_a_fact_no_measured_figure_is_zero(availability: str) -> None:
    told = without_fact(subject(), availability)
    found, words = figures(sheet(told, "summary")), TEXTS[Locale.EN]["figure"]

    unmeasured = ("actual_km", "matched_km", "gap_km", "drive", "service", "wait", "idle")
    unseen = ("visited", "missed", "late", "early", "unplanned", "deviations", "on_time_rate")
    for name in (*unmeasured, *unseen, "on_time"):
        assert found[words[name]] == NONE, name
    assert found[words["unknown"]] == len(NAMES)
    assert found["Fact"] == TEXTS[Locale.EN]["availability"][availability]
    assert set(column(sheet(told, "legs"), "Actual, km")) == {NONE}
    assert sheet(told, "deviations").max_row == 1


def test_quality_names_the_rules_by_which_it_was_made() -> None:
    found = figures(sheet(subject(), "quality"))

    assert found["Left out: jump out and back"] == 10
    assert found["Parameter gap_s"] == "120"
    assert found["Algorithm"] == "1.0"
    assert found["Shared time covered by positions"] == pytest.approx(0.84)


def test_deviations_hold_what_was_not_planned_in_order_of_time() -> None:
    of = sheet(subject(Locale.RU), "deviations")

    words = TEXTS[Locale.RU]["kind"]
    assert column(of, "Что") == [words["off_corridor"], words["speeding"], words["unplanned"]]
    assert column(of, "Длина, км") == [pytest.approx(3.4567), pytest.approx(0.9), NONE]
    assert column(of, "Наибольшая, км/ч") == [NONE, pytest.approx(90.0), NONE]


def test_the_same_report_makes_the_same_bytes() -> None:
    assert sheets.xlsx(subject()) == sheets.xlsx(subject())
    assert sheets.csv_of_stops(subject()) == sheets.csv_of_stops(subject())


def test_five_hundred_stops_are_five_hundred_rows() -> None:
    told = many(500)

    assert sheet(told, "stops").max_row == 501
    assert len(read_csv(told)) == 501


def test_on_a_day_when_the_clock_is_changed_each_time_of_csv_says_its_own_offset() -> None:
    told = set_back()
    rows = read_csv(told)

    place = rows[0].index("Arrival actual, UTC+2 / UTC+1")
    assert [row[place] for row in rows[1:3]] == [
        "2026-10-25 02:30:00+02:00",
        "2026-10-25 02:30:00+01:00",
    ]
    times = [datetime.fromisoformat(row[place]) if row[place] else None for row in rows[1:]]
    assert times == [stop.arrived_at for stop in told.report.stops]


def test_a_time_that_the_clock_shows_twice_has_its_offset_beside_it_in_a_workbook() -> None:
    of = sheet(set_back(), "stops")

    heads = [str(cell.value) for cell in of[1]]
    place = 1 + heads.index("Arrival actual\nUTC+2 / UTC+1")
    cells = [of.cell(row, place) for row in (2, 3, 4)]
    assert [cell.value for cell in cells] == [
        datetime(2026, 10, 25, hour, 30, tzinfo=UTC).replace(tzinfo=None) for hour in (2, 2, 3)
    ]
    assert [cell.number_format for cell in cells] == [
        'dd.mm.yyyy hh:mm" UTC+2"',
        'dd.mm.yyyy hh:mm" UTC+1"',
        "dd.mm.yyyy hh:mm",
    ]
    assert width(of, place) > len("25.10.2026 02:30 UTC+2")


def test_a_deviation_after_the_clock_was_set_back_stands_under_both_offsets() -> None:
    told = set_back()
    first = told.report.stops[0].arrived_at
    stops = [
        stop.model_copy(update={"planned_arrival": None, "arrived_at": first})
        for stop in told.report.stops
    ]
    [left, *_] = subject().report.deviations
    after = told.route.head.starts_at + timedelta(hours=2)
    left = left.model_copy(update={"from_at": after, "to_at": after + timedelta(minutes=9)})
    head = replace(told.route.head, ends_at=told.route.head.starts_at + timedelta(minutes=50))
    told = replace(
        changed(told, stops=stops, deviations=[left]), route=replace(told.route, head=head)
    )

    assert sheet(told, "deviations")["B1"].value == "From\nUTC+2 / UTC+1"


def test_the_first_of_the_two_hours_has_its_offset_where_nothing_comes_after_it() -> None:
    told = set_back()
    first = told.report.stops[0].arrived_at
    stops = [
        stop.model_copy(update={"planned_arrival": None, "arrived_at": first})
        for stop in told.report.stops
    ]
    head = replace(told.route.head, ends_at=told.route.head.starts_at + timedelta(minutes=50))
    told = replace(changed(told, stops=stops), route=replace(told.route, head=head))

    of = sheet(told, "stops")

    place = 1 + [str(cell.value) for cell in of[1]].index("Arrival actual\nUTC+2")
    assert of.cell(2, place).number_format == 'dd.mm.yyyy hh:mm" UTC+2"'
    assert width(of, place) > len("25.10.2026 02:30 UTC+2")


@pytest.mark.parametrize(
    ("language", "start", "lat"),
    [(Locale.EN, "No.,No. driven,", "43.3"), (Locale.RU, "№;№ по факту;", "43,3")],
)
def test_csv_is_what_the_excel_of_its_readers_expects(
    language: Locale, start: str, lat: str
) -> None:
    raw = sheets.csv_of_stops(subject(language))

    assert raw.startswith(b"\xef\xbb\xbf" + start.encode())
    rows = read_csv(subject(language))
    assert {len(row) for row in rows} == {len(rows[0])}
    found = dict(zip(rows[0], rows[1], strict=True))
    assert found[TEXTS[language]["column"]["lat"]].startswith(lat)
    assert raw.count(b"\r\n") == len(NAMES) + 1


def test_no_cell_of_csv_that_people_wrote_begins_a_formula() -> None:
    rows = read_csv(subject())

    names = [row[rows[0].index("Stop")] for row in rows[1:]]
    assert not any(name.lstrip().startswith(FORMULA_STARTS) for name in names)
    assert [name.removeprefix("'") for name in names] == list(NAMES)
    assert harmless(" =1") == "' =1"
    assert harmless("1-2, 3") == "1-2, 3"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("name", HIDDEN)
def test_no_separator_by_which_csv_is_read_makes_a_formula(
    language: Locale, separator: str, name: str
) -> None:
    told = subject(language)
    first, *rest = told.report.stops
    told = changed(told, stops=[first.model_copy(update={"name": name}), *rest])

    text = sheets.csv_of_stops(told).decode("utf-8-sig")

    lines = text.splitlines()  # who does not see the quotes sees lines end in them, too
    found = [cell for row in csv.reader(lines, delimiter=separator) for cell in row]
    begun = [cell.strip().replace(",", ".") for cell in found]
    assert [one for one in begun if one.startswith(FORMULA_STARTS) and not is_number(one)] == []
    assert read_csv(told)[1][2].replace("'", "") == name.replace("'", "")


def test_what_is_not_known_is_empty_in_csv_beside_the_word_that_says_so() -> None:
    rows = read_csv(subject())
    missed, unknown = (dict(zip(rows[0], rows[place], strict=True)) for place in (5, 6))

    for row, word in ((missed, "missed"), (unknown, "unknown")):
        assert row["Status"] == word
        assert row["Arrival actual, UTC+5"] == row["Difference, min"] == row["Waiting, h:mm"] == ""


def test_late_and_early_are_judged_as_on_the_screen() -> None:
    facts = subject().report.stops
    found = counts(subject().report)

    assert [assess(one).kind for one in facts] == [
        "on_time",
        "late",
        "early",
        "on_time",
        None,
        None,
        "late",
        None,
    ]
    in_window = facts[1].model_copy(update={"window_status": "on_time"})
    unsure = facts[1].model_copy(update={"arrival_uncertainty_s": 751.0})
    unplanned = facts[1].model_copy(update={"planned_arrival": None})
    open_ = unplanned.model_copy(update={"window_status": "none"})
    assert [assess(one).kind for one in (in_window, unsure, unplanned, open_)] == [
        "in_window",
        "on_time",
        "late",
        None,
    ]
    assert (assess(in_window).minutes, assess(unplanned).minutes) == (12, 2)
    assert sum(found[status] for status in set(STATUSES)) == len(LATE_S)
    assert (found["on_time"], found["judged"]) == (1, 2)


def test_without_an_arrival_a_stop_with_a_window_is_not_said_to_have_none() -> None:
    rows = read_csv(subject())
    place = rows[0].index("Against window")
    windowed = rows[0].index("Window from, UTC+5")

    assert [row[place] for row in rows[1:] if row[windowed]] == ["late", "on time", "", ""]
    assert {row[place] for row in rows[1:] if not row[windowed]} == {"no window"}


def test_a_halt_lasts_no_longer_than_it_was_recorded() -> None:
    told = subject().report
    [before, first, second] = told.fact.segments
    cut_off: list[dict[str, datetime | None]] = [
        {"arrived_at": minutes(100), "departed_at": None},
        {"arrived_at": None, "departed_at": minutes(180)},
        {"arrived_at": minutes(150), "departed_at": None},
        {"arrived_at": None, "departed_at": None},
    ]

    stops = [
        stop.model_copy(update=times) for stop, times in zip(told.stops, cut_off, strict=False)
    ]

    assert list(halts(told.model_copy(update={"stops": stops}))) == [
        (minutes(100), first.to_at),
        (second.from_at, minutes(180)),
        (minutes(150), minutes(150)),
    ]
    assert before.to_at < minutes(100)


def test_only_a_silence_within_the_drive_makes_its_times_uncertain() -> None:
    told = subject().report
    silent = told.quality.model_copy(update={"coverage": 0.1})
    whole = told.fact.model_copy(update={"segments": told.fact.segments[:2]})
    noisy = told.quality.model_copy(update={"sigma_m": 31.0})

    assert is_poor(told)
    assert not is_poor(told.model_copy(update={"fact": whole, "quality": silent}))
    assert is_poor(told.model_copy(update={"fact": whole, "quality": noisy}))
    assert not is_poor(without_fact(subject()).report)


def test_a_text_stands_off_the_figure_before_it() -> None:
    cell = sheet(subject(), "stops")["C2"]

    assert (cell.alignment.horizontal, cell.alignment.indent) == ("left", 1)


@pytest.mark.parametrize("language", LANGUAGES)
def test_beside_an_unknown_stop_stands_why_and_beside_no_other(language: Locale) -> None:
    texts = TEXTS[language]

    found = column(sheet(subject(language), "stops"), texts["column"]["unknown_reason"])

    told = {"unknown": texts["unknown_reason"]["not_recorded"]}
    assert found[-len(STATUSES) :] == [told.get(status, NONE) for status in STATUSES]
