"""The words of a package in the driver's language, and times by the company's clock. Pure."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from zoneinfo import ZoneInfo

from server.accounts.model import Locale
from server.export_files.model import Part
from server.kit.wire import rfc3339
from server.report_files.model import offset_text

TEXTS: Final[Mapping[Locale, Mapping[str, Mapping[str, str]]]] = MappingProxyType(
    {
        language: tomllib.loads(
            (Path(__file__).parent / "texts" / f"{language.value}.toml").read_text("utf-8")
        )
        for language in Locale
    }
)
CODED: Final = frozenset(
    (
        *("role", "state", "locale", "relation", "how", "document"),
        *("documents", "item", "scope", "language", "kept", "lapsed"),
        *("channel", "event", "kind", "event.kind", "reason", "ended_by"),
        *(
            "viewer_kind",
            "purpose",
            "screen",
            "requested_by_role",
            "decided_by_role",
            "refusal_ground",
        ),
        *("actor_kind", "field", "source", "acted_by", "ground", "category"),
        *("categories", "cause", "consequences", "advice", "came_by", "asked_by_role"),
        "ended_by_role",
    )
)
"""Columns with a code, which the workbook tells in the reader's words. Else a text is a text."""
README: Final = "README.txt"
BOOK: Final = "my-data.xlsx"


def file_of(part: Part) -> str:
    return f"data/{part.value}.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Whom:
    """Who reads the package, of which company."""

    name: str
    company: str
    privacy_contact: str | None


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one language and the clock of one zone."""

    language: Locale
    zone: ZoneInfo

    def __getitem__(self, key: str) -> str:
        """Return the text ``section.name``."""
        section, _, name = key.partition(".")
        return TEXTS[self.language][section][name]

    def heading(self, table: str, column: str) -> str:
        """Return what a column is called: in that table, or else in every one."""
        words = TEXTS[self.language]["column"]
        return words.get(f"{table}.{column}") or words[column]

    def cell(  # noqa: PLR0911 - one line a kind
        self, column: str, value: Any
    ) -> str | int | float | datetime:
        """Return a value as a cell of the workbook has it; a code in the reader's words."""
        match value:
            case None | "":
                return self["format.none"]
            case bool():
                return self["format.yes" if value else "format.no"]
            case int() | float():
                return value
            case datetime():
                return value.astimezone(self.zone).replace(tzinfo=None)
            case str():
                words = TEXTS[self.language]["value"]
                if column not in CODED:
                    return value
                return words.get(f"{column}.{value}") or words.get(value, value)
            case [] | ():
                return self["format.none"]
            case Sequence():
                return ", ".join(str(self.cell(column, one)) for one in value)
        return str(value)

    def clock(self, now: datetime) -> str:
        """Say of which zone times are."""
        offset = offset_text(now.astimezone(self.zone).utcoffset())
        return self["format.moment"].format(zone=f"{self.zone.key} ({offset})")

    def moment(self, now: datetime) -> str:
        local = now.astimezone(self.zone)
        return f"{local:%d.%m.%Y %H:%M} ({offset_text(local.utcoffset())})"


def readme(words: Words, whom: Whom, *, now: datetime, kept_days: int) -> bytes:
    """Return what is to be read first: UTF-8 with the mark that Notepad knows it by."""
    listed = "\n".join(
        f"{words[f'sheet.{part}']} ({file_of(part)})\n    {words[f'about.{part}']}" for part in Part
    )
    contact = "contact" if whom.privacy_contact else "contact_unknown"
    particulars = {"company": whom.company, "privacy_contact": whom.privacy_contact}
    text = words["readme.text"].format(
        company=whom.company,
        name=whom.name,
        made_at=words.moment(now),
        list=listed,
        kept_days=kept_days,
        contact=words[f"readme.{contact}"].format_map(particulars),
    )
    return text.strip().replace("\n", "\r\n").encode("utf-8-sig") + b"\r\n"


def about(words: Words, whom: Whom, now: datetime) -> Mapping[str, str]:
    """Return what the manifest says of the package."""
    return {"company": whom.company, "language": words.language.value, "made_at": rfc3339(now)}
