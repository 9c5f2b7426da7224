"""What our own notices promise, read out of their text, and where the program does otherwise."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

from server.accounts.model import Locale
from server.consent.model import VALID_FOR, ConsentItem
from server.consent.record import AS_TRACKS, PROCESSING, UNTIL_ERASURE, Processing
from server.gate.model import CLOCK_AHEAD_MAX
from server.guardians.model import ADULT_AT
from server.links.model import KEPT as LINKS_KEPT
from server.policies.model import NOTICE_PERIOD, Document
from server.reads.retention import READS_KEPT
from server.stop_events.model import KEPT as STOP_EVENTS_KEPT
from server.tracking.model import LATEST_KEPT_S
from server.uploads.model import CLOCK_OFFSET_MAX_S

REMOVED_WITHIN: Final = timedelta(days=2)
"""After its time, what is too old is there for so long at most. A test adds it up."""
GRACE: Final = timedelta(days=7)
"""What a new company has; a test asks one."""
MONTH: Final = timedelta(days=31)
"""The longest one: a track has one key for each. A test asks how long old copies can be read."""
QUESTION_CELLS: Final = 5
"""Question, what it allows, who sees it, how long it is kept, what a no changes."""

_UNITS: Final[Mapping[Locale, Mapping[str, str]]] = {
    Locale.RU: {
        "S": r"секунд\w*",
        "M": r"минут\w*",
        "H": r"час\w*",
        "D": r"дн\w+|день",
        "Y": r"лет|год\w*",
        "months": r"месяц\w*",
    },
    Locale.KK: {
        "S": r"секунд\w*",
        "M": r"минут\w*",
        "H": r"сағат\w*",
        "D": r"күн\w*",
        "Y": r"жыл\w*|жас",
        "months": r"ай\w*",
    },
    Locale.EN: {
        "S": r"seconds?",
        "M": r"minutes?",
        "H": r"hours?",
        "D": r"days?",
        "Y": r"years?",
        "months": r"months?",
    },
}
_UNTIL_ERASURE: Final = {
    Locale.RU: "до удаления учётной записи",
    Locale.KK: "есептік жазба жойылғанға дейін",
    Locale.EN: "until the account is erased",
}
_LABELS: Final = {
    Locale.RU: ("Срок согласия", "Передача третьим лицам", "Трансграничная передача"),
    Locale.KK: ("Келісім мерзімі", "Үшінші тұлғаларға беру", "Шекара арқылы беру"),  # noqa: RUF001 - Kazakh
    Locale.EN: ("Term of the consent", "Transfer to third parties", "Cross-border transfer"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What the program does, as far as the notices speak of it."""

    processing: Mapping[ConsentItem, Processing] = field(default_factory=lambda: PROCESSING)
    valid_for: timedelta = VALID_FOR
    reads_kept: timedelta = READS_KEPT
    latest_kept: timedelta = timedelta(seconds=LATEST_KEPT_S)
    links_kept: timedelta = LINKS_KEPT
    stop_events_kept: timedelta = STOP_EVENTS_KEPT
    notice_period: timedelta = NOTICE_PERIOD

    def with_processing(self, item: ConsentItem, changed: Processing) -> "Program":
        return replace(self, processing={**self.processing, item: changed})


def iso(time: timedelta) -> str:
    """Return a time as the notices tell it: in the largest unit that fits."""
    seconds = int(time.total_seconds())
    if seconds % 86_400 == 0:
        return f"P{seconds // 86_400}D"
    return f"PT{seconds // 60}M" if seconds % 60 == 0 else f"PT{seconds}S"


def terms(text: str, language: Locale) -> set[str]:
    """Return the times that a text names: ISO 8601, the tracks', or that it ends with the account.

    Those of the tracks are not filled in yet: a company chooses them.
    """
    found = {UNTIL_ERASURE} if _UNTIL_ERASURE[language] in text.casefold() else set()
    if "{track_days}" in text:
        found.add(AS_TRACKS)
    for unit, word in _UNITS[language].items():
        for number in re.findall(rf"(\d+)\s+(?:{word})\b", text.casefold()):
            found.add(f"PT{number}{unit}" if unit in "SMH" else f"P{number}{unit}")
    return found


def tables(text: str) -> list[list[list[str]]]:
    """Return the tables, each with the cells of its rows; without the line under the heading."""
    found: list[list[list[str]]] = []
    inside = False
    for line in text.splitlines():
        if not line.startswith("|"):
            inside = False
        elif not line.startswith("|---"):
            if not inside:
                found.append([])
            inside = True
            found[-1].append([cell.strip() for cell in line.strip("|").split("|")])
    return found


def codes(text: str) -> set[str]:
    return set(re.findall(r"`(\w+)`", text))


def faults(texts: Mapping[Document, str], language: Locale, program: Program) -> list[str]:
    """Return the promises of both notices that the program does not keep, or leaves out."""
    driver, privacy = texts[Document.DRIVER_NOTICE], texts[Document.PRIVACY_NOTICE]
    return [
        *_of_questions(driver, language, program),
        *_of_particulars(driver, language, program),
        *_of_keeping(privacy, language, program),
        *_of_purposes(privacy),
        *_of_notice(texts, language, program),
        *_of_times(texts, language, program),
    ]


def _of_questions(text: str, language: Locale, program: Program) -> Iterator[str]:
    rows = {tuple(codes(row[0])): row for row in tables(text)[0][1:]}
    if sorted(rows) != sorted((item.value,) for item in ConsentItem):
        yield "not every question is asked by itself"
    for item, done in program.processing.items():
        row = rows.get((item.value,), [])
        if len(row) != QUESTION_CELLS or not all(row):
            yield f"{item.value}: what is allowed, seen, kept or changed by a no is not told"
        elif terms(row[3], language) != {done.kept_for}:
            yield f"{item.value}: kept for {terms(row[3], language)}, in truth {done.kept_for}"


def _of_particulars(text: str, language: Locale, program: Program) -> Iterator[str]:
    told = dict(row for row in tables(text)[1] if row[0])
    term, recipients, border = (told.get(label, "") for label in _LABELS[language])
    if terms(term, language) - {UNTIL_ERASURE} != {iso(program.valid_for)}:
        yield f"a consent holds for {terms(term, language)}, in truth {iso(program.valid_for)}"
    passed_on = {item.value for item, done in program.processing.items() if done.recipients}
    if codes(recipients) != passed_on:
        yield f"passed on because of {codes(recipients)}, in truth {passed_on}"
    if border != "{cross_border}":
        yield "it says by itself whether data cross the border"


def _of_keeping(text: str, language: Locale, program: Program) -> Iterator[str]:
    track = program.processing[ConsentItem.PLAN_FACT].kept_for
    kept = [
        {iso(program.latest_kept)},
        {track},
        {UNTIL_ERASURE},
        set(),  # reports: as the company keeps them
        {iso(program.stop_events_kept)},
        {track},  # alerts, which come of it
        set(),  # routes: without limit
        {UNTIL_ERASURE},
        {iso(program.reads_kept)},
        {iso(program.links_kept)},
        set(),  # the ledger: without limit
        {UNTIL_ERASURE},
    ]
    told = [row[1] for row in tables(text)[2][1:]]
    if not all(told) or [terms(one.split(";")[0], language) for one in told] != kept:
        yield f"kept for {told}, in truth {kept}"


def _of_notice(texts: Mapping[Document, str], language: Locale, program: Program) -> Iterator[str]:
    """Hold the last section, on how the text changes, to the notice that it really takes."""
    for document in (Document.DRIVER_NOTICE, Document.PRIVACY_NOTICE):
        told = terms(texts[document].rpartition("\n## ")[2], language)
        if told != {iso(program.notice_period)}:
            yield f"{document.value}: noticed {told}, in truth {iso(program.notice_period)}"


def _of_purposes(text: str) -> Iterator[str]:
    told = [code for row in tables(text)[1][1:] for code in codes(row[0])]
    if sorted(told) != sorted(item.value for item in ConsentItem):
        yield f"purposes: {told}"


def _of_times(texts: Mapping[Document, str], language: Locale, program: Program) -> Iterator[str]:
    """Hold every time that is named anywhere to being one of the program's."""
    known = {
        UNTIL_ERASURE,
        AS_TRACKS,
        f"P{ADULT_AT}Y",
        iso(GRACE),
        iso(MONTH),
        iso(REMOVED_WITHIN),
        iso(CLOCK_AHEAD_MAX),
        iso(timedelta(seconds=CLOCK_OFFSET_MAX_S)),
        iso(program.valid_for),
        iso(program.reads_kept),
        iso(program.latest_kept),
        iso(program.links_kept),
        iso(program.stop_events_kept),
        iso(program.notice_period),
    }
    for document, text in texts.items():
        for term in terms(text, language) - known:
            yield f"{document.value}: {term} is no time of the program's"
