"""The workbook to fill in: in three languages, safe, and read back as it was written."""

import io
from collections.abc import AsyncIterator
from datetime import date, datetime
from http import HTTPStatus
from typing import Any

import pytest
from aiohttp import ClientSession
from openpyxl import load_workbook

from server.accounts.model import Locale
from server.route_imports.model import REQUIRED, Column, FaultKind
from server.route_imports.template import TEXTS, header, sentence, template
from server.route_imports.web import ENDPOINTS, XLSX
from tests.http import bearer, serve
from tests.world import World

TODAY = date(2026, 12, 1)


@pytest.fixture
async def client(world: World) -> AsyncIterator[ClientSession]:
    async with serve(world, ENDPOINTS) as opened:
        opened.headers.update(bearer(await world.session("dispatcher")))
        yield opened


def rows_of(raw: bytes, sheet: int = 0) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in load_workbook(io.BytesIO(raw)).worksheets[sheet].values]


def test_every_language_has_the_same_words() -> None:
    keys = {
        language: {(table, key) for table, words in texts.items() for key in words}
        for language, texts in TEXTS.items()
    }

    assert len({frozenset(found) for found in keys.values()}) == 1
    for language, texts in TEXTS.items():
        assert set(texts["columns"]) == set(texts["help"]) == set(Column), language
        assert set(texts["faults"]) == set(FaultKind), language
        assert len({header(column, language).casefold() for column in Column}) == len(Column)
        assert all(sentence(kind, language).endswith(".") for kind in FaultKind)


@pytest.mark.parametrize("language", list(Locale))
def test_a_template_has_headers_an_example_and_help(language: Locale) -> None:
    raw = template(language, zone="Asia/Almaty", today=TODAY)

    head, example = rows_of(raw)
    assert [str(text).removesuffix(" *") for text in head] == [
        header(column, language) for column in Column
    ]
    assert [str(text).endswith(" *") for text in head] == [one in REQUIRED for one in Column]
    assert example[0] == TEXTS[language]["example"]["route"]
    assert example[1] == datetime(2026, 12, 1)  # noqa: DTZ001 - a workbook knows no zone
    helped = [row[2] for row in rows_of(raw, sheet=1)]
    assert helped[1 : 1 + len(Column)] == [TEXTS[language]["help"][one] for one in Column]
    assert "Asia/Almaty" in str(helped[-1])


def test_nothing_in_a_template_is_a_formula_or_a_link() -> None:
    book = load_workbook(io.BytesIO(template(Locale.RU, zone="=1+1", today=TODAY)))

    cells = [cell for sheet in book.worksheets for row in sheet.iter_rows() for cell in row]
    assert {cell.data_type for cell in cells} <= {"s", "n", "d"}
    assert not any(cell.hyperlink for cell in cells)


async def send(client: ClientSession, raw: bytes) -> tuple[int, dict[str, Any]]:
    headers = {"Content-Type": XLSX}
    async with client.post("/v1/route-imports", data=raw, headers=headers) as answer:
        return answer.status, await answer.json()


@pytest.mark.parametrize("language", list(Locale))
async def test_a_template_filled_in_is_imported_without_its_example(
    client: ClientSession, language: Locale
) -> None:
    async with client.get(
        "/v1/route-imports/template.xlsx", params={"language": language}
    ) as answer:
        assert answer.status == HTTPStatus.OK
        assert answer.content_type == XLSX
        assert f'filename="routes_{language}.xlsx"' in answer.headers["Content-Disposition"]
        raw = await answer.read()
    empty = await send(client, raw)
    book = load_workbook(io.BytesIO(raw))
    sheet = book.worksheets[0]
    for place, cell in enumerate(sheet[2], start=1):
        if list(Column)[place - 1] not in {Column.DRIVER, Column.VEHICLE}:
            sheet.cell(row=3, column=place, value=cell.value)
    sheet["A3"] = "Morning"
    filled = io.BytesIO()
    book.save(filled)

    status, made = await send(client, filled.getvalue())

    assert empty[1]["faults"][0]["code"] == "no_rows"
    assert status == HTTPStatus.OK, made
    assert [one["name"] for one in made["routes"]] == ["Morning"]


async def test_the_template_is_in_the_callers_language_unless_asked_otherwise(
    client: ClientSession,
) -> None:
    async with client.get("/v1/route-imports/template.xlsx") as answer:
        head = rows_of(await answer.read())[0]

    assert head[0] == "Route *"
