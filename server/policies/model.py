"""Policies: documents, their editions and languages, what is in force when, what changed. Pure."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from server.accounts.model import Locale
from server.kit import errors
from server.kit.wire import rfc3339
from server.ledger.model import Json

NOTICE_PERIOD: Final = timedelta(days=30)
APPLIED_AFTER: Final = timedelta(minutes=1)
"""How long what an edition adds is looked for again: requests read their clock, then wait."""
PREVAILING: Final = Locale.RU
"""Where translations differ, this one holds."""
TEXT_CHARS_MAX: Final = 40_000
PARAGRAPHS_MAX: Final = 1_000
"""Comparing two texts takes time with the square of it."""


class Document(StrEnum):
    PRIVACY_NOTICE = "privacy_notice"
    DRIVER_NOTICE = "driver_notice"
    DEVICE_NOTICE = "device_notice"


class ChangeClass(StrEnum):
    """What an edition changes, by the word of whoever publishes it; members are told that word.

    No word shortens the notice: nobody here can tell what protects better from what does not.
    """

    FIRST = "first"
    PROTECTIVE = "protective"
    EDITORIAL = "editorial"
    MATERIAL = "material"
    ADDS_PURPOSE = "adds_purpose"


class AddedItem(StrEnum):
    """What an edition may add: items of consent, uses and capabilities; spelt as the cells are."""

    LOCATION = "location"
    DISPATCH_TRACKING = "dispatch_tracking"
    PLAN_FACT = "plan_fact"
    CUSTOMER_LINK = "customer_link"
    NOTIFICATIONS = "notifications"
    MARKETING = "marketing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """A published edition; its texts stand beside it, by language."""

    document: Document
    edition: int
    change_class: ChangeClass
    adds_purpose: AddedItem | None
    published_at: datetime
    noticed_at: datetime
    effective_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """What an edition says in one language: Markdown, with the company's particulars left open."""

    language: Locale
    text: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A text as somebody is shown it."""

    edition: Edition
    language: Locale
    """The language of the text, which may be another than was asked for."""
    asked_language: Locale
    text: str = field(repr=False)
    """As it was hashed: the company's particulars are still placeholders."""
    sha256: str
    authoritative_sha256: str
    """Of the prevailing text, which holds where this one differs from it."""

    @property
    def fell_back(self) -> bool:
        return self.language is not self.asked_language


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An edition to publish."""

    document: Document
    change_class: ChangeClass
    adds_purpose: AddedItem | None = None
    effective_at: datetime | None = None
    """None: as soon as its class allows."""
    texts: Mapping[Locale, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Controller:
    """The company as the texts name it."""

    company_name: str
    bin: str | None = None
    """Business identification number."""
    privacy_contact: str | None = None
    storage_country: str
    """In which the databases stand, ISO 3166-1: what every consent record says too."""
    track_days: int | None
    """How many days tracks are kept: what the record of a consent to them says too. None: until
    the driver is erased.
    """
    report_days: int | None = None
    """How many days final reports are kept. None: none is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A question of a member about an edition that was answered."""

    clarification_id: UUID
    answered_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Clarified:
    """What had become of a member's questions about one edition when they agreed to something."""

    answered: tuple[Answered, ...] = ()
    open: int = 0
    """How many waited for an answer."""

    def said(self) -> dict[str, Json]:
        """Return it as it stands in evidence: ids and times, no text."""
        return {
            "answered": [
                {
                    "clarification_id": str(one.clarification_id),
                    "answered_at": rfc3339(one.answered_at),
                }
                for one in self.answered
            ],
            "open": self.open,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """A member read a text and said so."""

    member_id: UUID
    document: Document
    edition: int
    language: Locale
    sha256: str
    accepted_at: datetime
    clarified: Clarified = Clarified()


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptances:
    items: tuple[Acceptance, ...]
    outstanding: tuple[Document, ...]
    """Documents whose edition in force the member has not accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentStanding:
    """How a document stands at a moment."""

    document: Document
    in_force: Edition | None
    upcoming: tuple[Edition, ...]
    """Published, but not in force yet."""
    editions: tuple[Edition, ...]


class ChangeKind(StrEnum):
    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One paragraph that differs. ``before`` is None where it was added, ``after`` removed."""

    kind: ChangeKind
    heading: str | None
    """The heading it stands under."""
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What changed between two editions, in a language that both have."""

    document: Document
    since: int | None
    """None: compared with nothing, because none was accepted before."""
    edition: int
    language: Locale
    asked_language: Locale
    changes: tuple[Change, ...]


class DocumentMissing(errors.NotFound):
    slug = "policy-not-found"
    title = "No such document is in force"


class EditionMissing(errors.NotFound):
    slug = "policy-edition-not-found"
    title = "No such edition"


class TextDiffers(errors.Conflict):
    slug = "policy-text-differs"
    title = "This is not the text of that edition"

    def __init__(self) -> None:
        super().__init__("Show the edition again, in the language that is really shown.")


class EditionOutdated(errors.Conflict):
    slug = "policy-edition-outdated"
    title = "Another edition is in force"

    def __init__(self, in_force: int) -> None:
        super().__init__(f"Edition {in_force} is: accept that, or one to come.")


class EditionTaken(errors.Conflict):
    slug = "policy-edition-taken"
    title = "Another edition was published just now"


class EditionOrder(errors.Conflict):
    slug = "policy-edition-order"
    title = "An edition comes into force after the one before it"


class NoticeTooShort(errors.Invalid):
    slug = "policy-notice-too-short"
    title = "Members are told too late"

    def __init__(self) -> None:
        super().__init__(
            f"It can be in force {NOTICE_PERIOD.days} days after the notice at the earliest, "
            "whatever its class is."
        )


class ChangeClassMisplaced(errors.Invalid):
    slug = "policy-change-class-misplaced"
    title = "The class does not fit the edition"

    def __init__(self) -> None:
        super().__init__(
            "The first edition, and no other, is `first`; `adds_purpose`, and no other, names a "
            "purpose."
        )


class TextUnfit(errors.Invalid):
    slug = "policy-text-unfit"
    title = "The text cannot be published"


def sha256_of(text: str) -> str:
    """Return the hash of a text as it is stored, in hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def earliest_effective(change_class: ChangeClass, noticed_at: datetime) -> datetime:
    """Return when an edition can be in force: 30 times 24 hours after the notice; a first at once.

    A first one changes nothing that anybody was promised.
    """
    # In UTC: adding days in another zone would move with its clocks.
    noticed = noticed_at.astimezone(UTC)
    return noticed if change_class is ChangeClass.FIRST else noticed + NOTICE_PERIOD


def edition_in_force(editions: Iterable[Edition], at: datetime) -> Edition | None:
    """Return the edition in force at an instant: the latest of those that are effective by then."""
    # In UTC: Python compares two times of one zone by their wall clocks, whatever the offset.
    moment = at.astimezone(UTC)
    begun = (one for one in editions if one.effective_at.astimezone(UTC) <= moment)
    return max(begun, key=lambda one: one.edition, default=None)


def standing(document: Document, editions: Iterable[Edition], at: datetime) -> DocumentStanding:
    """Return how a document stands: the edition in force, and what is to come."""
    ordered = tuple(sorted(editions, key=lambda one: one.edition))
    moment = at.astimezone(UTC)
    return DocumentStanding(
        document=document,
        in_force=edition_in_force(ordered, at),
        upcoming=tuple(one for one in ordered if one.effective_at.astimezone(UTC) > moment),
        editions=ordered,
    )


def next_edition(previous: Edition | None, draft: Draft, now: datetime) -> Edition:
    """Return the edition that publishing the draft makes; members are told at the same moment.

    Raises
    ------
    ChangeClassMisplaced, NoticeTooShort, EditionOrder, TextUnfit
    """
    if (draft.change_class is ChangeClass.FIRST) is not (previous is None):
        raise ChangeClassMisplaced
    if (draft.change_class is ChangeClass.ADDS_PURPOSE) is not (draft.adds_purpose is not None):
        raise ChangeClassMisplaced
    refuse_unfit(draft.texts)
    earliest = earliest_effective(draft.change_class, now)
    effective_at = earliest if draft.effective_at is None else draft.effective_at.astimezone(UTC)
    if effective_at < earliest:
        raise NoticeTooShort
    if previous is not None and effective_at <= previous.effective_at:
        # Else the older edition would come into force after the newer one, and undo it.
        raise EditionOrder
    return Edition(
        document=draft.document,
        edition=1 if previous is None else previous.edition + 1,
        change_class=draft.change_class,
        adds_purpose=draft.adds_purpose,
        published_at=now,
        noticed_at=now,
        effective_at=effective_at,
    )


def refuse_unfit(texts: Mapping[Locale, str]) -> None:
    """Refuse texts without the prevailing language, or too long to compare.

    Raises
    ------
    TextUnfit
    """
    if PREVAILING not in texts:
        raise TextUnfit(f"The text in {PREVAILING.value} prevails, so it has to be there.")
    for language, text in texts.items():
        if not text.strip():
            raise TextUnfit(f"The text in {language.value} is empty.")
        if len(text) > TEXT_CHARS_MAX or len(paragraphs(text)) > PARAGRAPHS_MAX:
            raise TextUnfit(
                f"The text in {language.value} is longer than {TEXT_CHARS_MAX} characters or "
                f"{PARAGRAPHS_MAX} paragraphs."
            )


def shown(edition: Edition, texts: Mapping[Locale, Text], language: Locale) -> Shown:
    """Return the text in ``language``, or the prevailing one where there is no translation."""
    prevailing = texts[PREVAILING]
    found = texts.get(language, prevailing)
    return Shown(
        edition=edition,
        language=found.language,
        asked_language=language,
        text=found.text,
        sha256=found.sha256,
        authoritative_sha256=prevailing.sha256,
    )


# A blank line, or a line that begins an item of a list, a row of a table or a heading.
_BREAK: Final = re.compile(r"\n[ \t]*\n|\n(?=[ \t]*(?:[-*+] |[0-9]{1,3}[.)] |\||#{1,6} ))")


def paragraphs(text: str) -> Sequence[str]:
    """Return the text's paragraphs, headings, items and rows, without what surrounds them."""
    return [part for one in _BREAK.split(text) if (part := one.strip())]
