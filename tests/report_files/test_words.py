"""The words: complete in every language, and figures as their readers write them."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from string import Formatter
from typing import get_args
from zoneinfo import ZoneInfo

import pytest

from geo.report import Evidence, Method, StopStatus, UnknownReason, WindowStatus
from server.accounts.model import Locale
from server.report_files import words as words_of
from server.report_files.model import FileFormat, offset_text
from server.report_files.words import NONE, TEXTS, Words
from server.reports.model import Availability, State
from tests.report_files.subjects import subject

ALMATY = ZoneInfo("Asia/Almaty")
NOON = datetime(2026, 11, 22, 7, 0, tzinfo=UTC)


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("language", list(Locale))
def test_every_language_has_every_text_with_the_same_places_in_it(language: Locale) -> None:
    for table, texts in TEXTS[Locale.EN].items():
        assert TEXTS[language][table].keys() == texts.keys()
        for name, text in texts.items():
            assert placeholders(TEXTS[language][table][name]) == placeholders(text), name
            assert TEXTS[language][table][name], name
    assert TEXTS[language].keys() == TEXTS[Locale.EN].keys()


@pytest.mark.parametrize("language", list(Locale))
def test_every_code_of_a_report_has_a_word(language: Locale) -> None:
    texts = TEXTS[language]
    for table, codes in {
        "status": get_args(StopStatus),
        "window": get_args(WindowStatus),
        "evidence": get_args(Evidence),
        "unknown_reason": get_args(UnknownReason),
        "method": get_args(Method),
        "availability": tuple(one.value for one in Availability),
        "state": tuple(one.value for one in State),
    }.items():
        assert set(codes) <= texts[table].keys()


def test_kazakh_and_russian_are_languages_of_their_own() -> None:
    assert re.search("[әғқңөұүһі]", str(TEXTS[Locale.KK]["status"]))
    for language in (Locale.RU, Locale.KK):
        for table in ("status", "sheet", "column", "figure", "note"):
            same = {
                name
                for name, text in TEXTS[Locale.EN][table].items()
                if TEXTS[language][table][name] == text
            }
            assert same == set()


@pytest.mark.parametrize(
    ("language", "figure"),
    [(Locale.EN, "1,234.5"), (Locale.RU, "1\u202f234,5"), (Locale.KK, "1\u202f234,5")],
)
def test_figures_are_written_as_their_readers_do(language: Locale, figure: str) -> None:
    words = Words(language, ALMATY)

    assert words.number(1234.45, 1) == figure
    assert words.number(-0.04, 1) == words.number(0.0, 1)
    assert words.number(-9.0) == "\u22129"
    assert words.number(None) == NONE


def test_durations_and_differences_are_cut_and_never_rounded_up() -> None:
    words = Words(Locale.EN, ALMATY)

    assert words.duration(12 * 60 + 59.9) == "0:12"
    assert words.duration(26 * 3600) == "26:00"
    assert words.duration(None) == NONE
    assert [words.signed(one) for one in (12, -9, 0)] == ["+12", "\u22129", "0"]
    assert [words.round_distance(one) for one in (500.0, 2000.0)] == ["500 m", "2 km"]


def test_times_are_of_the_zone_and_another_day_has_its_date() -> None:
    words = Words(Locale.EN, ALMATY)

    assert words.clock(NOON) == "12:00"
    assert words.clock(NOON + timedelta(hours=13), NOON.date()) == "23.11. 01:00"
    assert words.offsets([NOON]) == ("UTC+5",)


def test_on_a_day_when_the_clock_is_changed_both_offsets_are_named() -> None:
    words = Words(Locale.EN, ZoneInfo("Europe/Berlin"))
    night = datetime(2026, 10, 25, 0, 0, tzinfo=UTC)

    assert words.offsets([night, night + timedelta(hours=6)]) == ("UTC+2", "UTC+1")
    assert offset_text(timedelta(hours=-3, minutes=-30)) == "UTC-3:30"


def test_a_time_that_the_clock_shows_twice_has_its_offset_beside_it() -> None:
    words = Words(Locale.EN, ZoneInfo("Europe/Berlin"))
    midnight = datetime(2026, 10, 25, tzinfo=UTC)
    shown = [words.clock(midnight + timedelta(minutes=minutes)) for minutes in (-1, 30, 90, 120)]

    assert shown == ["01:59", "02:30 UTC+2", "02:30 UTC+1", "03:00"]
    assert words.moment(midnight) == "25.10.2026 02:00 UTC+2"
    spring = datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
    assert words.clock(spring) == "03:00"
    assert words.clock(spring - timedelta(minutes=1)) == "01:59"


def test_the_name_of_a_file_tells_day_route_and_zone_and_keeps_its_ending() -> None:
    told = subject()
    assert told.file_name(FileFormat.XLSX) == "plan-fact_2026-11-22_R-1042_UTC+5.xlsx"

    longest = replace(told, route=replace(told.route, name="../Ал/" + "ы" * 200))
    name = longest.file_name(FileFormat.PDF)

    assert name.endswith("ы_UTC+5.pdf")
    assert "/" not in name
    assert len(name) < 120


def test_no_text_is_there_for_nothing() -> None:
    sources = "".join(path.read_text() for path in Path(words_of.__file__).parent.glob("*.py"))
    by_code = {"status", "window", "difference", "assessment", "evidence", "method", "kind",
               "dropped", "availability", "state", "unknown_reason"}  # fmt: skip
    unused = [
        f"{table}.{name}"
        for table, texts in TEXTS[Locale.EN].items()
        if table not in by_code
        for name in texts
        if not re.search(f"[\"']({table}\\.)?{name}[\"']", sources)
    ]

    assert unused == []
