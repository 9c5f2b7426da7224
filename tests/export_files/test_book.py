"""What people open in a spreadsheet: their own words stay words, and nothing is cut in silence."""

from datetime import date
from zoneinfo import ZoneInfo

import pytest

from server.accounts.model import Locale
from server.export_files.model import TABLES, Part
from server.export_files.sheets import ROWS_MAX, Book
from server.export_files.words import CODED, TEXTS, Words
from tests.exports.made import files, package, tables
from tests.exports.rich import rich
from tests.exports.sheets import book_of, cells_of
from tests.world import NOW, World

ZONE = ZoneInfo("Asia/Almaty")
FORMULAS = (
    "=1+1",
    "+7",
    "-2",
    "@SUM(A1)",
    "{=1}",
    "http://evil.example",
    "internal:x",
    "=cmd|'/c'",
)


def book(language: Locale = Locale.EN) -> Book:
    return Book(Words(language, ZONE), NOW)


@pytest.mark.proves("qoldau:13")
async def test_the_workbook_of_a_package_opens_and_counts_what_there_is(world: World) -> None:
    person = (await rich(world)).person

    opened = files(await package(world, person.driver_id))

    found = book_of(opened["my-data.xlsx"])
    # The driver's language is Kazakh.
    assert found.sheetnames == [TEXTS[Locale.KK]["sheet"][part] for part in Part]
    notices = found[TEXTS[Locale.KK]["sheet"]["notices"]]
    heading = TEXTS[Locale.KK]["column"]["text.body"]
    column = [cell.value for cell in notices["C"]]
    begin = column.index(heading) + 1
    told = tables(opened)["notice"]
    assert len(told) > 3
    assert all(column[begin + place] for place in range(len(told)))
    assert all(cell.data_type != "f" for sheet in found for row in sheet.rows for cell in row)


@pytest.mark.parametrize("text", FORMULAS)
def test_what_somebody_wrote_is_no_formula_and_no_link(text: str) -> None:
    row = dict.fromkeys(TABLES["clarification"].shown, text)
    made = book()

    made.add(Part.MESSAGES, {"clarification": [row]})

    sheet = book_of(made.end()).worksheets[0]
    cells = [cell for line in sheet.rows for cell in line if cell.value == text]
    assert len(cells) == len(row)
    assert {(cell.data_type, cell.hyperlink) for cell in cells} == {("s", None)}


def test_more_rows_than_it_shows_are_told_of() -> None:
    made = book()
    rows = [{"day": date(2026, 11, 1), "reason": "too_old", "count": 1}] * (ROWS_MAX + 1)

    made.add(Part.TRACK, {"refusal_count": rows})

    said = cells_of(made.end())
    assert said.count("it was too old") == ROWS_MAX
    assert TEXTS[Locale.EN]["format"]["more"].format(file="data/track.json") in said


def test_a_code_is_told_in_words_and_what_somebody_wrote_is_not() -> None:
    made = book(Locale.RU)

    made.add(Part.MESSAGES, {"stop_event": [_said("done"), _said("comment")]})

    said = cells_of(made.end())
    assert "выполнено" in said  # the kind
    assert "done" in said  # the text


def _said(text: str) -> dict[str, object]:
    return {"event.at": NOW, "event.kind": "done", "event.text": text, "received_at": NOW}


def test_a_list_with_nothing_in_it_is_told_as_nothing() -> None:
    words = Words(Locale.RU, ZONE)

    assert words.cell("lapsed", []) == words.cell("lapsed", None) == words["format.none"]
    assert words.cell("lapsed", ["location"]) == "местоположение"


def test_times_are_of_the_companys_clock() -> None:
    made = book()
    made.add(Part.WORK, {"shift": [dict.fromkeys(TABLES["shift"].shown, NOW)]})

    said = cells_of(made.end())

    assert "2026-11-22 17:00:00" in said  # 12:00 UTC
    assert "Times are of Asia/Almaty (UTC+5)." in said


@pytest.mark.parametrize("language", list(Locale))
def test_every_sheet_table_and_column_has_its_word(language: Locale) -> None:
    words = TEXTS[language]

    assert words["sheet"].keys() == words["about"].keys() == set(Part)
    assert words["table"].keys() == {name for name, table in TABLES.items() if table.shown}
    shown = [(name, column) for name, table in TABLES.items() for column in table.shown]
    told = {name if name in words["column"] else column for name, column in _paths(shown)}
    assert words["column"].keys() == told
    assert {column for _, column in shown} >= CODED
    assert words["value"].keys() == TEXTS[Locale.EN]["value"].keys()
    assert all(len(name) <= 31 for name in words["sheet"].values())  # Excel takes no more


def _paths(shown: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return beside each column how a word for it in its own table would be called."""
    return [(f"{table}.{column}", column) for table, column in shown]
