"""XLSX and CSV as those who open them find them."""

import csv
import io
import zipfile
from dataclasses import replace
from datetime import datetime, timedelta

import openpyxl
import pytest
from openpyxl.workbook import Workbook
from openpyxl.worksheet.worksheet import Worksheet

from server.accounts.model import Locale
from server.report_files import sheets
from server.report_files.model import Subject, assess, counts
from server.report_files.sheets import FORMULA_STARTS, harmless
from server.report_files.words import NONE, TEXTS
from tests.report_files.subjects import LATE_S, NAMES, STATUSES, many, subject, without_fact

LANGUAGES = list(Locale)


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
    assert found["Time covered by positions"] == pytest.approx(0.84)


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
    assert harmless(" \t=1") == "' \t=1"
    assert harmless("1-2") == "1-2"


def test_what_is_not_known_is_empty_in_csv_beside_the_word_that_says_so() -> None:
    rows = read_csv(subject())
    missed, unknown = (dict(zip(rows[0], rows[place], strict=True)) for place in (5, 6))

    for row, word in ((missed, "missed"), (unknown, "unknown")):
        assert row["Status"] == word
        assert row["Arrival actual, UTC+5"] == row["Difference, min"] == row["Waiting"] == ""


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
