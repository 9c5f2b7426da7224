"""Notices, and where their deliveries can stand. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final
from uuid import UUID

from server.kit import errors
from server.notice_kinds.kinds import (
    ORGANISATION_CHARS_MAX,
    PROSE_CHARS_MAX,
    Category,
    Channel,
    Form,
    NoticeKind,
    Value,
)
from server.notice_kinds.table import KINDS
from server.notice_kinds.words import WORDS

_CHARS_MAX: Final = {Form.ORGANISATION: ORGANISATION_CHARS_MAX, Form.PROSE: PROSE_CHARS_MAX}
_SECRET: Final = re.compile(r"[0-9a-f]{80,400}", re.ASCII)
"""What is sealed is never as short as a code: one in clear does not pass."""
_CODE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,39}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """An address that is not yet, or not any more, the reader's own."""

    channel: Channel
    address_sealed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeText:
    """What a reader is shown, in their language."""

    language: str
    title: str = field(repr=False)
    body: str = field(repr=False)
    short: str = field(repr=False)
    """For a text message or a phone's lock screen: names nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldText:
    """What a notice says, and where it goes if that is not to its reader's own address."""

    text: NoticeText | None
    elsewhere: Channel | None = None
    address: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A notice as stored. ``facts`` are empty once it was prepared: until then codes, times, ids.

    And what is sealed already, because nobody but the reader may see it.
    """

    notice_id: UUID
    member_id: UUID
    kind: NoticeKind
    facts: Mapping[str, str] = field(repr=False)
    queued_at: datetime
    language: str | None
    text_sealed: bytes | None = field(repr=False)
    seen_at: datetime | None = None
    elsewhere: Elsewhere | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownNotice:
    notice: Notice
    text: NoticeText | None
    """None where the reader's keys are already destroyed."""


class DeliveryState(StrEnum):
    QUEUED = "queued"
    HANDED_OVER = "handed_over"
    SEEN = "seen"
    FAILED = "failed"
    """The dead letter: refused for good, or tried too often."""
    WITHHELD = "withheld"
    """Never sent: not wanted or not agreed to by its reader, or not shared by whom it names."""


class Event(StrEnum):
    QUEUED = "queued"
    HANDED_OVER = "handed_over"
    SEEN = "seen"
    ATTEMPT_FAILED = "attempt_failed"
    FAILED = "failed"
    WITHHELD = "withheld"


# A pair that is absent is refused: the statement that writes finds no row in the state it needs.
TRANSITIONS: Final[Mapping[tuple[DeliveryState, Event], DeliveryState]] = MappingProxyType(
    {
        (DeliveryState.QUEUED, Event.HANDED_OVER): DeliveryState.HANDED_OVER,
        (DeliveryState.QUEUED, Event.ATTEMPT_FAILED): DeliveryState.QUEUED,
        (DeliveryState.QUEUED, Event.FAILED): DeliveryState.FAILED,
        (DeliveryState.QUEUED, Event.WITHHELD): DeliveryState.WITHHELD,
        (DeliveryState.HANDED_OVER, Event.SEEN): DeliveryState.SEEN,
    }
)


class Reason(StrEnum):
    """Why a message was not handed over. The other side's own words are never kept."""

    UNREACHABLE = "unreachable"
    TOO_SLOW = "too_slow"
    DEFERRED = "deferred"
    """The other side asks to try again later."""
    REFUSED = "refused"
    """The other side will not take this message, now or later."""
    NOT_ACCEPTED_HERE = "not_accepted_here"
    """The other side does not know us: a setting is wrong, here or there."""
    NO_ADDRESS = "no_address"
    NOT_CONFIGURED = "not_configured"
    NOT_WANTED = "not_wanted"
    NOT_CONSENTED = "not_consented"
    """A driver's consent to such messages is not given, or not any more."""
    NOT_SHARED = "not_shared"
    """Whom it names does not share any more what it tells of them."""
    BROKEN = "broken"
    """A fault of our own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One notice on one channel."""

    notice_id: UUID
    channel: Channel
    member_id: UUID
    kind: NoticeKind
    state: DeliveryState
    attempts: int
    next_attempt_at: datetime | None
    queued_at: datetime
    changed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryEvent:
    channel: Channel
    event: Event
    reason: Reason | None
    at: datetime


class MessageConsent(StrEnum):
    """What a driver is asked before messages go out; who is no driver is not asked."""

    NOTIFICATIONS = "notifications"
    """Messages on the phone itself. The app and e-mail tell the same without it."""
    MARKETING = "marketing"


def consents_needed(kind: NoticeKind, channel: Channel) -> frozenset[MessageConsent]:
    """Return what a driver has to have given for a message of this kind to go out there."""
    needed = set()
    if channel is Channel.PUSH:
        needed.add(MessageConsent.NOTIFICATIONS)
    if KINDS[kind].category is Category.MARKETING:
        needed.add(MessageConsent.MARKETING)
    return frozenset(needed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """On which channels a member asked for marketing. Whoever never answered did not."""

    wanted: Mapping[Channel, bool]
    changed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """What a member was told and what they want, for themself."""

    notices: Sequence[ShownNotice]
    preference: Preference


class NoticeMissing(errors.NotFound):
    slug = "notice-not-found"
    title = "No such notice"


class ServiceNoticeNotRefusable(errors.Conflict):
    slug = "service-notice-not-refusable"
    title = "Notices about your rights and your account cannot be switched off"

    def __init__(self) -> None:
        super().__init__("Only marketing can be switched off.")


class MarketingConsentNeeded(errors.Conflict):
    slug = "marketing-consent-needed"
    title = "News need your consent first"

    def __init__(self) -> None:
        super().__init__("Give the consent to marketing, then choose where it goes.")


def refuse_misfit(kind: NoticeKind, values: Mapping[str, str]) -> None:
    """Refuse values that the kind's text cannot show.

    A mistake of the code that queues, never of a caller on the wire: so an ordinary error, whose
    text names the value's place and not the value.

    Raises
    ------
    ValueError
    """
    expected = KINDS[kind].values
    missing = {name for name, one in expected.items() if not one.optional} - values.keys()
    unknown = values.keys() - expected.keys()
    if missing or unknown:
        raise ValueError(f"{kind}: missing {sorted(missing)}, unknown {sorted(unknown)}")
    for name, text in values.items():
        if not _fits(expected[name], text):
            raise ValueError(f"{kind}: {name} is no {expected[name].form}")


def _fits(value: Value, text: str) -> bool:  # noqa: PLR0911 - one line a form
    match value.form:
        case Form.INSTANT | Form.DAY:
            return _instant(text) is not None
        case Form.MEMBER:
            return _uuid(text) is not None
        case Form.WORD:
            return text in WORDS[value.words or ""]
        case Form.WORDS:
            words = text.split(",")
            return len(set(words)) == len(words) and WORDS[value.words or ""].issuperset(words)
        case Form.CODE:
            return is_code(text)
        case Form.SECRET:
            return _SECRET.fullmatch(text) is not None
        case Form.ORGANISATION | Form.PROSE:
            return 0 < len(text) <= _CHARS_MAX[value.form] and "\x00" not in text


def is_code(text: str) -> bool:
    """Tell whether a notice can show the text as a code."""
    return _CODE.fullmatch(text) is not None


def _instant(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if at.tzinfo is None else at


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def persons_named(kind: NoticeKind, values: Mapping[str, str], reader: UUID) -> set[UUID]:
    """Return whom the text will name besides its reader."""
    members = (
        UUID(values[name])
        for name, one in KINDS[kind].values.items()
        if one.form is Form.MEMBER and name in values
    )
    return set(members) - {reader}
