"""The API page: all of the document, nothing that the policy would stop."""

import html
import os
import re
import shutil
from html.parser import HTMLParser

import pytest
from playwright.async_api import async_playwright

from server.kit.docs_page import page
from server.kit.http_server import listening
from tests.kit import toy

DOCUMENT = toy.described()
PAGE = page(DOCUMENT)


class Outline(HTMLParser):
    """What the page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.named_by: list[str] = []
        self.headings: list[int] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        given = {name: value or "" for name, value in attrs}
        self.attributes |= given.keys()
        if "id" in given:
            self.ids.append(given["id"])
        if "href" in given:
            self.links.append(given["href"])
        if "aria-labelledby" in given:
            self.named_by.append(given["aria-labelledby"])
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag not in ("meta", "link", "wbr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


OUTLINE = Outline(PAGE)


def test_it_is_well_formed_and_every_link_inside_leads_somewhere() -> None:
    inside = {link[1:] for link in OUTLINE.links if link.startswith("#")}

    assert OUTLINE.open == []
    assert len(OUTLINE.ids) == len(set(OUTLINE.ids))
    assert inside | set(OUTLINE.named_by) <= set(OUTLINE.ids)
    assert {link for link in OUTLINE.links if not link.startswith("#")} == {
        "/docs/style.css", "/openapi.json"
    }  # fmt: skip


def test_it_needs_neither_script_nor_style_inside() -> None:
    assert not OUTLINE.tags & {"script", "style", "iframe", "object", "img", "form", "base"}
    assert not {name for name in OUTLINE.attributes if name.startswith("on") or name == "style"}


def test_no_level_of_heading_is_left_out() -> None:
    assert OUTLINE.headings[0] == 1
    for before, after in zip(OUTLINE.headings, OUTLINE.headings[1:], strict=False):
        assert after <= before + 1


def test_everything_of_the_document_is_there() -> None:
    text = html.unescape(re.sub("<[^>]+>", "", PAGE))

    for methods in DOCUMENT["paths"].values():
        for operation in methods.values():
            assert operation["summary"] in text
            for status, answer in operation["responses"].items():
                assert status in text
                assert answer["description"] in text
    for name, schema in DOCUMENT["components"]["schemas"].items():
        assert f"schema-{name.replace('[', '-').replace(']', '-')}" in OUTLINE.ids
        assert all(member in text for member in schema.get("properties", {}))
    assert "Who may call: who has the toy token." in text
    assert "number (at least -90, at most 90)" in text
    assert "one of depot, shop" in text


def test_what_stands_in_a_document_is_text_not_markup() -> None:
    shown = page({**DOCUMENT, "info": {"title": "<script>1</script>", "version": '"&<'}})

    assert "<script" not in shown
    assert "&lt;script&gt;" in shown


CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: set CHROMIUM, or install it")
async def test_a_browser_shows_it_under_its_policy_without_a_complaint() -> None:
    said: list[str] = []
    async with (
        listening(toy.application(), host="127.0.0.1", port=0) as address,
        async_playwright() as playwright,
    ):
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        tab = await browser.new_page(viewport={"width": 390, "height": 800})
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        answer = await tab.goto(f"{address.url}/docs")

        assert answer is not None
        assert (await answer.all_headers())["content-security-policy"].startswith(
            "default-src 'none'"
        )
        assert await tab.evaluate("getComputedStyle(document.querySelector('.skip')).position") == (
            "absolute"
        )
        assert await tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        await tab.keyboard.press("Tab")
        assert await tab.evaluate("document.activeElement.className") == "skip"
        await tab.keyboard.press("Enter")
        assert tab.url.endswith("/docs#main")
        await browser.close()
    assert [one for one in said if "favicon" not in one and "404" not in one] == []
