"""Writes a notice in its reader's language, with times in the company's time zone. Pure."""

import re
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from string import Formatter
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from server.accounts.model import Locale
from server.notice_kinds.kinds import Category, Form, NoticeKind, Value
from server.notice_kinds.table import KINDS
from server.notices.model import NoticeText

TEXTS: Final[Mapping[Locale, Mapping[str, Any]]] = MappingProxyType(
    {
        language: tomllib.loads(
            (Path(__file__).parent / "texts" / f"{language.value}.toml").read_text("utf-8")
        )
        for language in Locale
    }
)
PARAGRAPH: Final = "\n\n"
_BREAKS: Final = re.compile(r"\s+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Where and for whom a text is written."""

    language: Locale
    company: str
    time_zone: str
    names: Mapping[UUID, str]
    """Names of the members that the values point to; one who is gone is not among them."""


def write(kind: NoticeKind, facts: Mapping[str, str], setting: Setting) -> NoticeText:
    """Return the text; ``facts`` were checked when the notice was queued, and are opened."""
    told = {
        name: _shown(value, facts[name], setting)
        for name, value in KINDS[kind].values.items()
        if name in facts
    }
    told["company"] = one_line(setting.company)
    texts = TEXTS[setting.language][kind.value]
    lines = [line for line in texts["body"] if placeholders(line) <= told.keys()]
    return NoticeText(
        language=setting.language.value,
        title=one_line(texts["title"].format_map(told)),
        body=PARAGRAPH.join(line.format_map(told) for line in lines),
        short=one_line(texts["short"].format_map(told)),
    )


def footer(category: Category, language: str, company: str) -> str:
    """Return what ends an e-mail: why it came, and whether it can be switched off."""
    text: str = TEXTS[Locale(language)]["footer"][category.value]
    return text.format(company=one_line(company))


def placeholders(template: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(template) if name is not None}


def one_line(text: str) -> str:
    """Return the text on one line: a header takes no more, and breaks in it would begin another."""
    return _BREAKS.sub(" ", _printable(text)).strip()


def _printable(text: str) -> str:
    return "".join(
        " " if unicodedata.category(char) in {"Cc", "Zl", "Zp"} and char != "\n" else char
        for char in text
    )


def _shown(value: Value, fact: str, setting: Setting) -> str:
    texts = TEXTS[setting.language]
    match value.form:
        case Form.INSTANT:
            return _instant(datetime.fromisoformat(fact), setting)
        case Form.DAY:
            return _day(datetime.fromisoformat(fact).astimezone(_zone(setting)), setting)
        case Form.MEMBER:
            return one_line(setting.names.get(UUID(fact)) or texts["format"]["unknown"])
        case Form.WORD | Form.WORDS:
            words = texts["words"][value.words]
            return ", ".join(words[word] for word in fact.split(","))
        case Form.CODE | Form.SECRET | Form.ORGANISATION:
            return one_line(fact)
        case Form.PROSE:
            return _printable(fact)


def _instant(at: datetime, setting: Setting) -> str:
    local = at.astimezone(_zone(setting))
    template: str = TEXTS[setting.language]["format"]["instant"]
    return template.format(
        date=_day(local, setting), time=local.strftime("%H:%M"), zone=_offset(local)
    )


def _day(local: datetime, setting: Setting) -> str:
    words = TEXTS[setting.language]["format"]
    template: str = words["day"]
    return template.format(day=local.day, month=words["months"][local.month - 1], year=local.year)


def _offset(local: datetime) -> str:
    """Return the offset as people write it: ``UTC+5``, ``UTC-3:30``."""
    offset = local.utcoffset() or timedelta()
    minutes = int(abs(offset).total_seconds()) // 60
    if minutes == 0:
        return "UTC"
    sign = "-" if offset < timedelta() else "+"
    rest = f":{minutes % 60:02}" if minutes % 60 else ""
    return f"UTC{sign}{minutes // 60}{rest}"


def _zone(setting: Setting) -> ZoneInfo:
    return ZoneInfo(setting.time_zone)
