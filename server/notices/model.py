"""Notices, and where their deliveries can stand. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final
from uuid import UUID

from server.kit import errors
from server.notices.kinds import KINDS, Category, Channel, NoticeKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A notice as stored. ``facts`` are codes, times and ids, and empty once it was prepared."""

    notice_id: UUID
    member_id: UUID
    kind: NoticeKind
    facts: Mapping[str, str] = field(repr=False)
    queued_at: datetime
    language: str | None
    text_sealed: bytes | None = field(repr=False)
    seen_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeText:
    """What a reader is shown, in their language."""

    language: str
    title: str = field(repr=False)
    body: str = field(repr=False)
    short: str = field(repr=False)
    """For a text message or a phone's lock screen: names nobody."""


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
