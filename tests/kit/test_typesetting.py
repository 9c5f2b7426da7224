"""Documents are set by a process that sees and may do next to nothing."""

import asyncio
import io
import os
from functools import partial
from pathlib import Path

import psutil
import pytest
from pypdf import PdfReader

from server.kit import typesetting
from server.kit.typesetting import SettingFailed

FONTS = Path(typesetting.__file__).parents[1] / "report_files" / "paper"
SHOW = '#set text(font: "DejaVu Sans")\n#let data = json(bytes(sys.inputs.data))\n#data.text'
FOREVER = "#for a in range(100000) { for b in range(100000) { let c = a + b } }"
GREEDY = '#let a = ("x" * 1000000,)\n#for n in range(8) { a = a + a }\n#a.join().len()'
"""A text of 256 MB."""
SMALL_BYTES = 300 * 1024 * 1024


async def said(source: str, text: str = "") -> str:
    made = await typesetting.pdf(source, {"text": text}, fonts=FONTS)
    return PdfReader(io.BytesIO(made)).pages[0].extract_text()


def children() -> set[int]:
    return {one.pid for one in psutil.Process().children(recursive=True)}


async def test_what_is_given_is_set_as_it_is() -> None:
    hostile = '#read("/etc/passwd") Қазақ $1$'

    assert await said(SHOW, hostile) == hostile


@pytest.mark.parametrize(
    "source",
    [
        '#read("/etc/passwd")',
        '#read("../../../../etc/passwd")',
        '#import "@preview/cetz:0.3.4"',
        "#panic()",
        "#(",
    ],
)
async def test_it_reads_no_file_and_loads_no_package(source: str) -> None:
    with pytest.raises(SettingFailed) as refused:
        await said(source)

    assert str(refused.value) == ""


async def test_whatever_takes_too_long_is_ended_and_leaves_no_process() -> None:
    before = children()

    with pytest.raises(SettingFailed):
        await typesetting.pdf(FOREVER, {}, fonts=FONTS, s_max=2)

    assert children() <= before


async def test_whatever_takes_too_much_memory_is_ended_and_nothing_else_is() -> None:
    small = partial(typesetting.pdf, data={}, fonts=FONTS, memory_bytes_max=SMALL_BYTES)

    with pytest.raises(SettingFailed):
        await small(GREEDY)

    assert (await small("Small")).startswith(b"%PDF-")
    assert await said(GREEDY) == "256000000"


async def test_who_goes_away_leaves_no_process() -> None:
    before = children()
    setting = asyncio.create_task(typesetting.pdf(FOREVER, {}, fonts=FONTS))
    await asyncio.sleep(1.0)
    begun = children() - before

    setting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await setting

    assert len(begun) == 1
    assert children() & begun == set()


async def test_the_process_is_told_nothing_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOLDA_SECRET_OF_THIS_TEST", "x")
    before = children()
    setting = asyncio.create_task(typesetting.pdf(FOREVER, {}, fonts=FONTS))
    await asyncio.sleep(1.0)

    [begun] = children() - before
    seen = psutil.Process(begun).environ()
    setting.cancel()
    await asyncio.wait([setting])

    assert "JOLDA_SECRET_OF_THIS_TEST" in os.environ
    assert seen.keys() <= {"RAYON_NUM_THREADS", "HOME", "LC_CTYPE"}
