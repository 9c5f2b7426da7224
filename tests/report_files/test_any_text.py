"""Whatever a stop, a route or a company is called, every file opens and says it."""

import csv
import io
import json
import zipfile
from dataclasses import replace
from xml.etree import ElementTree as ET

import gpxpy
import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.accounts.model import Locale
from server.report_files import lines, pdf, sheets
from server.report_files.model import FileFormat, Subject
from tests.report_files.subjects import changed, subject

BASE = subject(Locale.EN)
names = st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Co", "Zl", "Zp"]), min_size=1, max_size=60
).filter(lambda text: text.strip() != "")
ODD = "\ufffe\uffff _x0041_ _xFFFE_ \u202f\u00a0\u0301 'x \U0001f69a 中文 العربية ქართული &amp; ]]>"
"""What XML has no way to write, what Excel takes for an escape, and what fonts have not."""


def called(name: str) -> Subject:
    first = BASE.report.stops[0].model_copy(update={"name": name})
    told = changed(BASE, stops=[first, *BASE.report.stops[1:]])
    return replace(told, company=name, route=replace(told.route, name=name))


def written(name: str) -> str:
    """Return it as files of XML hold it: that has no way to write two of all characters."""
    return name.replace("\ufffe", "\ufffd").replace("\uffff", "\ufffd")


@given(names)
@settings(max_examples=60, deadline=None)
def test_every_file_opens_and_says_any_name(name: str) -> None:
    told = called(name)

    [first, *_] = [
        one["properties"]
        for one in json.loads(lines.geojson(told))["features"]
        if one["properties"]["kind"] == "stop"
    ]
    assert first["name"] == name
    gpx = lines.gpx(told).decode()
    assert ET.fromstring(gpx) is not None  # noqa: S314 - ours
    assert gpxpy.parse(gpx).waypoints[0].name is not None
    text = sheets.csv_of_stops(told).decode("utf-8-sig")
    row = list(csv.reader(io.StringIO(text, newline="")))[1]
    assert row[2].replace("'", "") == name.replace("'", "")
    raw = sheets.xlsx(told)
    with zipfile.ZipFile(io.BytesIO(raw)) as parts:
        for part in parts.namelist():
            if part.endswith((".xml", ".rels")):
                assert b"<f>" not in parts.read(part)
                ET.fromstring(parts.read(part))  # noqa: S314 - ours
    cell = openpyxl.load_workbook(io.BytesIO(raw)).worksheets[1]["C2"]
    assert (cell.value, cell.data_type) == (written(name), "s")
    assert told.file_name(FileFormat.CSV).endswith("_UTC+5.csv")


@pytest.mark.parametrize("name", [ODD, *ODD.split(" ")])
async def test_odd_names_are_written_and_set(name: str) -> None:
    told = called(name)
    found = openpyxl.load_workbook(io.BytesIO(sheets.xlsx(told))).worksheets[1]["C2"].value

    assert found == written(name)
    assert gpxpy.parse(lines.gpx(told).decode()).waypoints[0].name == f"1. {written(name)}"


async def test_the_paper_takes_every_odd_name() -> None:
    assert (await pdf.pdf(pdf.content(called(ODD)))).startswith(b"%PDF-")
