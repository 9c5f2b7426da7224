"""A language's words, and figures and times as its readers write them. Pure."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from math import floor
from pathlib import Path
from types import MappingProxyType
from typing import Final
from zoneinfo import ZoneInfo

from server.accounts.model import Locale
from server.report_files.model import MINUTE_S, offset_text

TEXTS: Final[Mapping[Locale, Mapping[str, Mapping[str, str]]]] = MappingProxyType(
    {
        language: tomllib.loads(
            (Path(__file__).parent / "texts" / f"{language.value}.toml").read_text("utf-8")
        )
        for language in Locale
    }
)
NONE: Final = "\u2013"
"""Not known. Never 0, and never left to be guessed: each file says what it means."""
MINUS: Final = "\u2212"
KM_M: Final = 1000.0


@dataclass(frozen=True, slots=True)
class Words:
    """The words of one language and the clock of one zone."""

    language: Locale
    zone: ZoneInfo

    def __getitem__(self, key: str) -> str:
        """Return the text ``table.name``."""
        table, _, name = key.partition(".")
        return TEXTS[self.language][table][name]

    def table(self, name: str) -> Mapping[str, str]:
        return TEXTS[self.language][name]

    def named(self, table: str, code: str | None) -> str:
        """Return the word for a code; one that has no word yet stands for itself."""
        return NONE if code is None else TEXTS[self.language][table].get(code, code)

    def number(self, value: float | None, decimals: int = 0) -> str:
        """Return a figure, its halves rounded up as on the screen."""
        if value is None:
            return NONE
        shift = 10**decimals
        text = f"{floor(value * shift + 0.5) / shift:,.{decimals}f}"
        marks = {",": self["format.thousands"], ".": self["format.decimal"], "-": MINUS}
        return "".join(marks.get(char, char) for char in text)

    def round_distance(self, metres: float) -> str:
        """Return a distance that is round: ``2 km``."""
        if metres < KM_M:
            return f"{self.number(metres)} {self['unit.m']}"
        return f"{self.number(metres / KM_M)} {self['unit.km']}"

    def duration(self, seconds: float | None) -> str:
        """Return hours and minutes, ``2:05``; a minute that is not over is not counted."""
        if seconds is None:
            return NONE
        minutes = int(seconds) // MINUTE_S
        return f"{minutes // 60}:{minutes % 60:02}"

    def signed(self, minutes: int) -> str:
        """Return the minutes with their sign, and ``0``: the sign is part of the meaning."""
        return f"+{minutes}" if minutes > 0 else f"{MINUS}{-minutes}" if minutes < 0 else "0"

    def local(self, at: datetime) -> datetime:
        return at.astimezone(self.zone)

    def clock(self, at: datetime | None, day: date | None = None) -> str:
        """Return ``14:03``; on another day than ``day`` with the date before it."""
        if at is None:
            return NONE
        local = self.local(at)
        shown = f"{local:%H:%M}" if day in (None, local.date()) else f"{local:%d.%m. %H:%M}"
        return shown + self.beside(at)

    def moment(self, at: datetime) -> str:
        return f"{self.local(at):%d.%m.%Y %H:%M}{self.beside(at)}"

    def beside(self, at: datetime) -> str:
        """Return what stands beside a time that the clock shows twice, being set back: `` UTC+1``.

        Beside any other it is nothing.
        """
        local = self.local(at)
        is_shown_twice = local.utcoffset() != local.replace(fold=1 - local.fold).utcoffset()
        return f" {self.offsets([at])[0]}" if is_shown_twice else ""

    def offsets(self, moments: Iterable[datetime]) -> tuple[str, ...]:
        """Return what the clock of the zone differs by at these times: ``UTC+5``.

        On a day when it is changed these are two.
        """
        found = {offset_text(self.local(at).utcoffset()): None for at in sorted(moments)}
        return tuple(one.replace("-", MINUS) for one in found)
