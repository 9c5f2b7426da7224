"""The pages for people: no log-in, no script, nothing that a text could smuggle in."""

import re
from html.parser import HTMLParser
from uuid import UUID

import pytest
from aiohttp import ClientSession
from hypothesis import given
from hypothesis import strategies as st

from server.accounts.model import Locale
from server.policies import page, service
from server.policies.model import (
    ChangeClass,
    Controller,
    Document,
    Edition,
    Text,
    sha256_of,
    shown,
    standing,
)
from tests.http import Clock
from tests.policies.acts import TEXTS, publish
from tests.world import NOW, World

COMPANY = UUID("00000000-0000-7000-8000-000000000001")
VOID = {"meta", "link", "br", "hr"}
KNOWN = VOID | {
    *("html", "head", "title", "body", "a", "header", "main", "footer", "nav", "article", "div"),
    *("ul", "ol", "li", "p", "dl", "dt", "dd", "code", "strong", "em", "time"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"),
}


class Tags(HTMLParser):
    """Collects what is open, what was ever opened, and every address."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.addresses: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.addresses |= {value or "" for name, value in attrs if name in {"href", "src"}}
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def page_of(text: str, company_name: str = "Aral Freight") -> str:
    edition = Edition(
        document=Document.PRIVACY_NOTICE,
        edition=1,
        change_class=ChangeClass.FIRST,
        adds_purpose=None,
        published_at=NOW,
        noticed_at=NOW,
        effective_at=NOW,
    )
    texts = {Locale.RU: Text(language=Locale.RU, text=text, sha256=sha256_of(text))}
    return page.document(
        COMPANY,
        Controller(company_name=company_name, storage_country="KZ", track_days=60),
        standing(Document.PRIVACY_NOTICE, [edition], NOW),
        shown(edition, texts, Locale.RU),
    )


@pytest.mark.parametrize("document", list(Document))
@pytest.mark.parametrize("language", list(Locale))
async def test_every_document_has_a_page_in_every_language(
    client: ClientSession, shipped: World, document: Document, language: Locale
) -> None:
    answer = await client.get(
        f"/policies/{shipped.company_id}/{document.value}?language={language.value}"
    )
    text = await answer.text()
    tags = Tags(text)

    assert answer.status == 200
    assert answer.content_type == "text/html"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "script" not in answer.headers["Content-Security-Policy"]
    assert "Set-Cookie" not in answer.headers
    assert tags.open == []
    assert tags.seen <= KNOWN
    assert f'<html lang="{language.value}">' in text
    assert "Aral Freight" in text
    assert "{" not in text
    heading = service.shipped(document)[language].splitlines()[0].removeprefix("# ")
    assert f"<h1>{heading}</h1>" in text
    assert re.search(r"<code>[0-9a-f]{64}</code>", text)


@pytest.mark.proves("relog-driver-manager-apps:7.2")
async def test_the_date_of_the_last_change_stands_on_top(
    client: ClientSession, shipped: World
) -> None:
    answer = await client.get(f"/policies/{shipped.company_id}/privacy_notice")
    top = (await answer.text()).partition("<main")[0]

    assert top.count('<time datetime="2026-11-22T09:00Z">22.11.2026 09:00 UTC</time>') == 2


async def test_every_link_of_a_page_leads_somewhere(client: ClientSession, shipped: World) -> None:
    await publish(shipped)
    waiting, seen = {f"/policies/{shipped.company_id}"}, set()
    while waiting:
        path = waiting.pop()
        seen.add(path)
        answer = await client.get(path)
        assert answer.status == 200, path
        if answer.content_type == "text/html":
            found = Tags(await answer.text()).addresses
            waiting |= {one for one in found if one.startswith("/")} - seen

    assert len(seen) == 1 + 1 + 3 + 3 * 3 + 4 * 3  # style, index by language, and the editions


async def test_a_reader_is_told_which_edition_this_is(
    client: ClientSession, shipped: World, clock: Clock
) -> None:
    made = await publish(shipped, texts={Locale.RU: TEXTS[Locale.RU]})
    here = f"/policies/{shipped.company_id}/driver_notice?language=kk"
    words = page.WORDS[Locale.KK]

    coming = await (await client.get(here)).text()
    not_yet = await (await client.get(f"{here}&edition=2")).text()
    clock.at = made.effective_at
    older = await (await client.get(f"{here}&edition=1")).text()

    assert words["coming"].partition("{1}")[0].format(2) in coming
    assert words["not_yet"].partition("{0}")[0] in not_yet
    assert words["fell_back"] in not_yet
    assert '<article lang="ru">' in not_yet
    assert words["older"].format(2) in older


@pytest.mark.parametrize("edition", ["0", "x", "3", "1e9", ""])
async def test_an_edition_that_is_not_there_has_no_page(
    client: ClientSession, shipped: World, edition: str
) -> None:
    answer = await client.get(f"/policies/{shipped.company_id}/driver_notice?edition={edition}")

    assert answer.status == 404


NASTY = (
    "<script>alert(1)</script>",
    '<img src="https://evil.example/x">',
    "![x](https://evil.example/x.png)",
    "[x](javascript:alert(1))",
    "[x](data:text/html,x)",
    '[x](https://ok.example/?a=1&b=2 "a\'b")',
    '"><h1 onclick="x">',
    "&lt;b&gt; &#60;",
    "<!-- -->",
    "[a]: https://evil.example/b",
    "| a | b |\n|---|---|\n| <i> | {bin} |",
    "{company_name}",
    "```\n<x>\n```",
    "`<x>`",
    "    <x>",
)


@given(parts=st.lists(st.sampled_from(NASTY) | st.text(max_size=20), max_size=6))
def test_no_text_gets_markup_of_its_own_into_the_page(parts: list[str]) -> None:
    text = page_of("\n\n".join(parts), company_name="\"><script>a('b')</script> {bin}")

    tags = Tags(text)
    assert tags.open == []
    assert tags.seen <= KNOWN
    assert not {name for name in tags.attributes if name.startswith("on") or name == "style"}
    for address in tags.addresses:
        assert re.match(r"/policies/|#text$|https?://|mailto:", address) or ":" not in address


def test_a_text_made_to_be_slow_is_rendered_all_the_same() -> None:
    for unit in ("*a _b ", "[", "[a](", "| ", "- ", "`", "![", "\\*", "> "):
        assert page_of(unit * (40_000 // len(unit)))
