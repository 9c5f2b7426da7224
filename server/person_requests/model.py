"""What persons asked for by letter, e-mail or phone, and until when it is answered. Pure."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from server.kit import errors

ANSWER_WORKING_DAYS: Final = 3
ANSWER_DAYS_MAX: Final = 30
REMIND_BEFORE: Final = timedelta(days=1)
RECORDED_LATE_MAX: Final = timedelta(days=366)
_FRIDAY: Final = 4


class Kind(StrEnum):
    ACCESS = "access"
    CORRECTION = "correction"
    ERASURE = "erasure"
    RESTRICTION = "restriction"
    COMPLAINT = "complaint"
    PRESERVATION = "preservation"


class CameBy(StrEnum):
    """How it reached the company."""

    EMAIL = "email"
    LETTER = "letter"
    PHONE = "phone"
    IN_PERSON = "in_person"


class State(StrEnum):
    OPEN = "open"
    ANSWERED = "answered"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRequest:
    """As the staff state it."""

    driver_id: UUID
    kind: Kind
    came_by: CameBy
    received_at: datetime
    said: str = field(repr=False)
    evidence: str | None = field(default=None, repr=False)
    """Where the letter or the e-mail lies."""
    answer_by: datetime | None = None
    """None: three working days after it came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonRequest:
    """As it is stored."""

    person_request_id: UUID
    driver_id: UUID
    kind: Kind
    came_by: CameBy
    received_at: datetime
    recorded_at: datetime
    recorded_by: UUID
    said_sealed: bytes = field(repr=False)
    evidence_sealed: bytes | None = field(repr=False)
    answer_by: datetime
    state: State
    answer_sealed: bytes | None = field(default=None, repr=False)
    answered_at: datetime | None = None
    answered_by: UUID | None = None
    reminded_at: datetime | None = None
    escalated_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownRequest:
    """Readable; texts are None where the person's keys are destroyed."""

    request: PersonRequest
    said: str | None = field(repr=False)
    evidence: str | None = field(repr=False)
    answer: str | None = field(repr=False)
    recorded_by_name: str | None = field(repr=False)
    answered_by_name: str | None = field(repr=False)


def due_at(new: NewRequest, time_zone: str, now: datetime) -> datetime:
    """Return by when it has to be answered.

    Raises
    ------
    RequestTimesInvalid
    """
    if not now - RECORDED_LATE_MAX <= new.received_at <= now:
        raise RequestTimesInvalid
    if new.answer_by is None:
        return after_working_days(new.received_at, ANSWER_WORKING_DAYS, time_zone)
    if not new.received_at < new.answer_by <= new.received_at + timedelta(days=ANSWER_DAYS_MAX):
        raise RequestTimesInvalid
    return new.answer_by


def after_working_days(at: datetime, days: int, time_zone: str) -> datetime:
    """Return the same time of day so many working days later, Monday to Friday at that place."""
    local = at.astimezone(ZoneInfo(time_zone))
    while days:
        local += timedelta(days=1)
        days -= local.weekday() <= _FRIDAY
    return local.astimezone(at.tzinfo)


class PersonRequestMissing(errors.NotFound):
    slug = "person-request-not-found"
    title = "No such request of a person"


class PersonRequestClosed(errors.Conflict):
    slug = "person-request-answered"
    title = "This request was answered already"


class RequestTimesInvalid(errors.Invalid):
    slug = "person-request-times-invalid"
    title = "These are no times of a request"

    def __init__(self) -> None:
        super().__init__(
            "It came by now, at most a year ago, and is to be answered after that, within "
            f"{ANSWER_DAYS_MAX} days."
        )
