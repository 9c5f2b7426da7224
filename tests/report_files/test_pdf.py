"""The PDF, set for real: its words, that nothing in it runs, and what is drawn."""

import io
import re
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from pypdf import PdfReader

from server.accounts.model import Locale
from server.report_files import pdf, picture, tables
from server.report_files.model import PdfNotInstalled, Subject, counts
from server.report_files.tables import Kind
from server.report_files.words import NONE, TEXTS, Words
from tests.report_files.subjects import NAMES, changed, many, set_back, subject, without_fact

SVG = "{http://www.w3.org/2000/svg}"
SECRET = "no-reader-of-a-report-sees-this"  # noqa: S105 - a word to look for


async def text_of(told: Subject) -> str:
    """Return the words of the PDF, with one space between any two."""
    made = await pdf.pdf(pdf.content(told))
    pages = PdfReader(io.BytesIO(made)).pages
    return re.sub(r"\s+", " ", " ".join(page.extract_text() for page in pages))


def drawn(svg: str, colour: str) -> list[str]:
    """Return the lines of one colour."""
    return [
        str(one.get("d")) for one in ET.fromstring(svg).iter(f"{SVG}path")  # noqa: S314 - ours
        if one.get("stroke") == colour
    ]  # fmt: skip


@pytest.mark.parametrize("language", list(Locale))
async def test_the_pdf_says_in_every_language_what_the_report_says(language: Locale) -> None:
    told, words = subject(language), TEXTS[language]

    text = await text_of(told)

    for name in ("visited", "missed", "unknown", "pending"):
        assert words["status"][name] in text
    for table in ("stops", "legs", "deviations"):
        assert words["sheet"][table] in text
    assert "UTC+5" in text
    assert "08:42" in text
    assert "+12" in text
    assert words["note"]["not_known"] in text
    found = counts(told.report)
    assert words["short"]["of"].format(n=found["visited"], all=len(NAMES)) in text


async def test_on_paper_a_time_that_the_clock_shows_twice_says_which_it_was() -> None:
    told = set_back()
    words = Words(Locale.EN, told.zone)

    text = await text_of(told)

    assert "Europe/Berlin (UTC+2 / UTC+1)" in text
    assert "02:30 UTC+2" in text
    assert "02:30 UTC+1" in text
    under_the_axis = re.findall(r">(UTC[^<]*)<", picture.timeline(told, words))
    assert under_the_axis == ["UTC+2", "UTC+1"]


async def test_kazakh_letters_are_in_the_font_that_is_shipped() -> None:
    told = subject(Locale.KK)
    made = await pdf.pdf(pdf.content(told))

    reader = PdfReader(io.BytesIO(made))
    fonts = {name.split(b"+")[1] for name in re.findall(rb"/BaseFont/([A-Za-z0-9+-]+)", made)}
    assert fonts
    assert all(name.startswith(b"DejaVuSans") for name in fonts), fonts
    assert any("Әуе Ңөұүһі" in page.extract_text() for page in reader.pages)


async def test_what_people_wrote_neither_runs_nor_reads_a_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(SECRET)
    told = subject()
    name = f'#read("{file}") #eval("1+1") $x$ *b* @label <l> \\ // {{}}'
    stops = [one.model_copy(update={"name": name}) for one in told.report.stops]
    told = replace(changed(told, stops=stops), company=name, route=replace(told.route, name=name))

    text = await text_of(told)

    assert SECRET not in text
    assert '#eval("1+1")' in text
    assert "$x$" in text


@pytest.mark.parametrize("availability", ["not_shared", "no_positions", "no_driver"])
async def test_without_a_fact_the_paper_says_so_and_draws_none(availability: str) -> None:
    told = without_fact(subject(), availability)

    text = await text_of(told)
    map_ = picture.street(told, Words(Locale.EN, told.zone))

    assert TEXTS[Locale.EN]["availability"][availability] in text
    assert f"45.8 / {NONE}" in text
    assert drawn(map_, picture.BLUE) == []
    assert drawn(map_, picture.ORANGE) == []
    assert len(drawn(map_, picture.GREY)) >= 1


def test_no_line_is_drawn_across_a_gap() -> None:
    told = subject()
    words = Words(Locale.EN, told.zone)

    whole = drawn(picture.street(told, words), picture.BLUE)
    nothing = changed(told, fact=told.report.fact.model_copy(update={"segments": []}))

    assert len(whole) == len(told.report.fact.segments)
    assert drawn(picture.street(nothing, words), picture.BLUE) == []
    times = picture.timeline(told, words)
    assert times.count("#BBD6EE") == len(told.report.fact.segments)
    assert times.count("#F1F3F5") >= 2


def test_a_halt_that_a_gap_ends_is_drawn_up_to_the_gap_and_not_over_what_comes_later() -> None:
    told = subject()
    left, *others = told.report.stops
    recorded = told.report.fact.segments[0].to_at
    forever = changed(told, stops=[left.model_copy(update={"departed_at": None}), *others])
    until_the_gap = changed(
        told, stops=[left.model_copy(update={"departed_at": recorded}), *others]
    )
    words = Words(Locale.EN, told.zone)

    assert picture.timeline(forever, words) == picture.timeline(until_the_gap, words)


def test_on_paper_less_than_a_minute_is_not_none() -> None:
    words = Words(Locale.EN, subject().zone)

    shown = [tables.shown(Kind.DURATION, seconds, words) for seconds in (0.0, 20.0, 60.0, None)]

    assert shown == ["0:00", "<0:01", "0:01", NONE]


@pytest.mark.parametrize("name", ["R-1042", "North of Aral, Қойма «Әуе» " * 7, "W" * 200])
async def test_the_first_page_is_one_page_whatever_the_route_is_called(name: str) -> None:
    told = many(60)
    told = replace(told, route=replace(told.route, name=name))
    stops = [one.model_copy(update={"name": name}) for one in told.report.stops]

    made = await pdf.pdf(pdf.content(changed(told, stops=stops)))

    first, second, *_ = (page.extract_text() for page in PdfReader(io.BytesIO(made)).pages)
    legend = TEXTS[Locale.EN]["timeline"]
    assert f"{legend['gap']} {legend['window']}" in re.sub(r"\s+", " ", first)
    assert second.startswith(TEXTS[Locale.EN]["sheet"]["stops"])


@pytest.mark.parametrize("count", [1, 2, 60, 61, 121, 500])
async def test_any_number_of_stops_fits_on_paper(count: int) -> None:
    told = many(count)

    made = await pdf.pdf(pdf.content(told))

    assert len(PdfReader(io.BytesIO(made)).pages) >= 2


@pytest.mark.parametrize("lat", [0.0, 70.0, -89.9])
def test_the_map_is_drawn_wherever_it_is(lat: float) -> None:
    told = subject()
    plan = told.route.plan
    line = ((179.9, lat), (-179.9, lat))
    stops = tuple(replace(one, lat=lat, lon=179.95) for one in plan.stops)
    told = replace(told, route=replace(told.route, plan=replace(plan, stops=stops, line=line)))
    nothing = changed(
        told, fact=told.report.fact.model_copy(update={"segments": []}), unplanned=[], deviations=[]
    )

    found = picture.street(nothing, Words(Locale.KK, told.zone))

    xs = [float(x) for x in re.findall(r"[ML](-?[\d.]+) ", " ".join(drawn(found, picture.GREY)))]
    assert min(xs) >= 0
    assert max(xs) <= picture.MAP_SIZE[0]
    assert max(xs) - min(xs) > 100


async def test_where_nothing_sets_pdfs_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    pdf.refuse_where_not_installed()
    monkeypatch.setitem(sys.modules, "typst", None)

    with pytest.raises(PdfNotInstalled):
        pdf.refuse_where_not_installed()
