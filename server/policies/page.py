"""The policies for people to read: pages without script, styled by one file of ours."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Final
from uuid import UUID

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererProtocol
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from server.accounts.model import Locale
from server.policies.model import Controller, DocumentStanding, Edition, Shown
from server.policies.particulars import filled

# No HTML and no images: a text can neither run nor fetch anything. Links to other than web and
# mail addresses stay text.
MARKDOWN_RULES: Final = (
    "heading",
    "list",
    "table",
    "hr",
    "emphasis",
    "backticks",
    "link",
    "escape",
    "newline",
)
TEXTS: Final = Path(__file__).parent / "texts"


def _words(language: Locale) -> Mapping[str, str]:
    found: Mapping[str, str] = json.loads(
        (TEXTS / f"page.{language.value}.json").read_text("utf-8")
    )
    return found


WORDS: Final = {language: _words(language) for language in Locale}
"""What the pages say around a text, by language."""
STYLE: Final = """\
:root {
  color-scheme: light dark;
  --ink: #1c2024; --paper: #ffffff; --faint: #f2f4f6; --line: #c9ced4; --link: #0b57a4;
}
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8eaed; --paper: #16191c; --faint: #22272b; --line: #454c54; --link: #8ab8f0; }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 0 1rem 3rem; max-width: 46rem;
  color: var(--ink); background: var(--paper); font: 1.0625rem/1.6 system-ui, sans-serif;
}
a { color: var(--link); }
a:focus-visible, .wide:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
header { padding: 1rem 0; border-bottom: 1px solid var(--line); }
header > p, footer p { margin: 0; }
h1, h2, h3 { line-height: 1.25; text-wrap: balance; }
h1 { font-size: 1.75rem; margin: 1.5rem 0 1rem; }
h2 { font-size: 1.25rem; margin: 2.25rem 0 0.5rem; }
nav ul { display: flex; flex-wrap: wrap; gap: 0.25rem 1.25rem; margin: 0.5rem 0 0; padding: 0; }
nav li { list-style: none; }
nav a { display: inline-block; padding: 0.25rem 0; }
nav [aria-current] { color: inherit; font-weight: 600; text-decoration: none; }
dl { margin: 0.75rem 0 0; font-size: 0.9375rem; }
dl div { display: flex; flex-wrap: wrap; gap: 0 0.5rem; }
dt { font-weight: 600; }
dd { margin: 0; min-width: 0; overflow-wrap: anywhere; }
code { font-family: ui-monospace, monospace; font-size: 0.9em; }
.told {
  margin: 1rem 0 0; padding: 0.6rem 0.9rem;
  background: var(--faint); border-left: 4px solid var(--link);
}
.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; width: 100%; font-size: 0.9375rem; }
table:has(th:nth-child(3)) { min-width: 34rem; }
th, td { text-align: left; vertical-align: top; padding: 0.45rem 0.75rem 0.45rem 0; }
th { border-bottom: 2px solid var(--line); }
td { border-bottom: 1px solid var(--line); }
li { margin: 0.3rem 0; }
footer { margin-top: 3rem; padding-top: 1rem; border-top: 1px solid var(--line); }
.skip { position: absolute; left: -100vw; }
.skip:focus { left: 0.5rem; top: 0.5rem; padding: 0.5rem; background: var(--paper); }
@media print { nav, .skip { display: none; } table:has(th:nth-child(3)) { min-width: 0; } }
"""


def index(
    company_id: UUID,
    controller: Controller,
    standings: Sequence[DocumentStanding],
    language: Locale,
) -> str:
    """Return the list of a company's documents."""
    words = WORDS[language]
    here = f"/policies/{company_id}"
    items = "".join(
        f'<li><a href="{here}/{one.document.value}?language={language.value}">'
        f"{words[one.document.value]}</a></li>"
        for one in standings
    )
    listed = f"<ul>{items}</ul>" if items else f"<p>{words['none']}</p>"
    return _whole(
        language,
        title=f"{words['documents']}: {controller.company_name}",
        header=f"<p>{escape(controller.company_name)}</p>{_languages(here, language)}",
        main=f"<h1>{words['documents']}</h1>{listed}",
    )


def document(
    company_id: UUID, controller: Controller, standing: DocumentStanding, shown: Shown
) -> str:
    """Return one edition of a document with what a reader has to know of it."""
    language = shown.asked_language
    words = WORDS[language]
    edition = shown.edition
    here = f"/policies/{company_id}/{edition.document.value}"
    shown_edition = f"&amp;edition={edition.edition}"
    back = f"/policies/{company_id}?language={language.value}"
    header = (
        f'<p><a href="{back}">{escape(controller.company_name)}</a></p>'
        f"{_languages(here, language, shown_edition)}"
        f"{_particulars(shown, words)}"
        f"{''.join(_told(standing, shown, words))}"
    )
    text = filled(_rendered(shown.text, words["table"]), _escaped(controller), shown.language)
    return _whole(
        language,
        title=f"{words[edition.document.value]}: {controller.company_name}",
        header=header,
        main=f'<article lang="{shown.language.value}">{text}</article>',
        footer=_editions(here, standing, edition, language),
    )


def _whole(language: Locale, *, title: str, header: str, main: str, footer: str = "") -> str:
    return "".join(
        (
            f'<!doctype html><html lang="{language.value}"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<title>{escape(title)}</title><link rel="stylesheet" href="/policies/style.css">',
            f'</head><body><a class="skip" href="#text">{WORDS[language]["skip"]}</a>',
            f'<header>{header}</header><main id="text">{main}</main>{footer}</body></html>',
        )
    )


def _languages(here: str, language: Locale, more: str = "") -> str:
    items = "".join(
        f'<li><a href="{here}?language={one.value}{more}" hreflang="{one.value}"'
        f' lang="{one.value}"{_current(at=one is language)}>{WORDS[one]["name"]}</a></li>'
        for one in Locale
    )
    return f'<nav aria-label="{WORDS[language]["languages"]}"><ul>{items}</ul></nav>'


def _particulars(shown: Shown, words: Mapping[str, str]) -> str:
    edition, language = shown.edition, shown.asked_language
    rows = (
        (words["edition"], edition.edition),
        (words["published"], _time(edition.published_at, language)),
        (words["effective"], _time(edition.effective_at, language)),
        (words["hash"], f"<code>{shown.sha256}</code>"),
    )
    listed = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in rows)
    return f"<dl>{listed}</dl><p>{words['prevails']}.</p>"


def _told(standing: DocumentStanding, shown: Shown, words: Mapping[str, str]) -> Iterable[str]:
    edition, language = shown.edition, shown.asked_language
    told = [words["fell_back"]] if shown.fell_back else []
    current = standing.in_force
    if edition in standing.upcoming:
        told.append(words["not_yet"].format(_time(edition.effective_at, language)))
    elif current is not None and current.edition != edition.edition:
        told.append(words["older"].format(current.edition))
    else:
        told += [
            words["coming"].format(one.edition, _time(one.effective_at, language))
            for one in standing.upcoming
        ]
    return (f'<p class="told">{one}</p>' for one in told)


def _editions(here: str, standing: DocumentStanding, chosen: Edition, language: Locale) -> str:
    words = WORDS[language]
    items = []
    for one in reversed(standing.editions):
        since = words["edition_since"].format(one.edition, _time(one.effective_at, language))
        now = f" ({words['in_force']})" if one == standing.in_force else ""
        items.append(
            f'<li><a href="{here}?language={language.value}&amp;edition={one.edition}"'
            f"{_current(at=one == chosen)}>{since}</a>{now}</li>"
        )
    return (
        f'<footer><nav aria-label="{words["editions"]}"><p>{words["editions"]}</p>'
        f"<ul>{''.join(items)}</ul></nav></footer>"
    )


def _current(*, at: bool) -> str:
    return ' aria-current="true"' if at else ""


def _time(at: datetime, language: Locale) -> str:
    # In UTC and to the minute, because that is what decides; the notice itself says the day.
    moment = at.astimezone(UTC)
    form = "%Y-%m-%d" if language is Locale.EN else "%d.%m.%Y"
    return f'<time datetime="{moment:%Y-%m-%dT%H:%MZ}">{moment:{form}} {moment:%H:%M} UTC</time>'


def _escaped(controller: Controller) -> Controller:
    def safe(text: str | None) -> str | None:
        return None if text is None else escape(text)

    return replace(
        controller,
        company_name=escape(controller.company_name),
        bin=safe(controller.bin),
        privacy_contact=safe(controller.privacy_contact),
    )


@lru_cache(maxsize=64)
def _rendered(text: str, table: str) -> str:
    rendered: str = _MARKDOWN.render(text, {"table": table})
    return rendered


def _open_table(
    renderer: RendererProtocol,  # noqa: ARG001 - what markdown-it calls a rule with
    tokens: Sequence[Token],  # noqa: ARG001
    at: int,  # noqa: ARG001
    options: OptionsDict,  # noqa: ARG001
    env: EnvType,
) -> str:
    # Wide tables scroll by themselves: focusable, so that the keyboard can do it too.
    return f'<div class="wide" role="group" tabindex="0" aria-label="{env["table"]}"><table>\n'


def _close_table(
    renderer: RendererProtocol,  # noqa: ARG001 - as above
    tokens: Sequence[Token],  # noqa: ARG001
    at: int,  # noqa: ARG001
    options: OptionsDict,  # noqa: ARG001
    env: EnvType,  # noqa: ARG001
) -> str:
    return "</table></div>\n"


def _markdown() -> MarkdownIt:
    reader = MarkdownIt("zero", {"html": False}).enable(list(MARKDOWN_RULES))
    reader.add_render_rule("table_open", _open_table)
    reader.add_render_rule("table_close", _close_table)
    return reader


_MARKDOWN: Final = _markdown()
