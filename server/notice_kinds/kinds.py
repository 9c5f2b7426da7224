"""The kinds of notices, and in what terms the table says what each is for."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Category(StrEnum):
    SERVICE = "service"
    MARKETING = "marketing"


class Channel(StrEnum):
    IN_APP = "in_app"
    EMAIL = "email"
    SMS = "sms"
    PUSH = "push"


MARKETING_CHANNELS: Final = (Channel.EMAIL, Channel.SMS, Channel.PUSH)
"""Where marketing can be asked for. It never stands between the service's own notices."""


class NoticeKind(StrEnum):
    ACCOUNT_INVITED = "account_invited"
    ACCOUNT_BLOCKED = "account_blocked"
    ACCOUNT_UNBLOCKED = "account_unblocked"
    ACCOUNT_OFFBOARDED = "account_offboarded"
    PHONE_LOST = "phone_lost"
    ACCOUNT_UNUSED = "account_unused"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - a kind of notice, no secret
    SHIFT_REMINDER = "shift_reminder"
    SHIFT_ENDED_BY_OTHER = "shift_ended_by_other"
    CONSENT_WITHDRAWN_CONFIRMATION = "consent_withdrawn_confirmation"
    CONSENT_REQUESTED = "consent_requested"
    CONSENT_EXPIRING = "consent_expiring"
    CONSENT_ENDED = "consent_ended"
    EDITION_PUBLISHED = "edition_published"
    CONTROLLER_CHANGE_ANNOUNCED = "controller_change_announced"
    CONTROLLER_CHANGE_CANCELLED = "controller_change_cancelled"
    CONTROLLER_CHANGED = "controller_changed"
    CLARIFICATION_ASKED = "clarification_asked"
    CLARIFICATION_ANSWERED = "clarification_answered"
    ATTESTATION_MADE = "attestation_made"
    ATTESTATION_DISPUTED = "attestation_disputed"
    BIRTH_YEAR_STATED = "birth_year_stated"
    BIRTH_YEAR_DISPUTED = "birth_year_disputed"
    GUARDIAN_CONSENT_RECORDED = "guardian_consent_recorded"
    GUARDIAN_CONSENT_REVOKED = "guardian_consent_revoked"
    GUARDIAN_CONSENT_LAPSED = "guardian_consent_lapsed"
    ERASURE_REQUESTED = "erasure_requested"
    ERASURE_DECIDED = "erasure_decided"
    DISCLOSURE_WAITING = "disclosure_waiting"
    DISCLOSURE_MADE = "disclosure_made"
    INCIDENT_OPENED = "incident_opened"
    INCIDENT_DUE = "incident_due"
    INCIDENT_OVERDUE = "incident_overdue"
    INCIDENT_AFFECTED = "incident_affected"
    EXPORT_READY = "export_ready"
    ERASURE_TO_DECIDE = "erasure_to_decide"
    ERASURE_HELD = "erasure_held"
    HOLD_CHANGED = "hold_changed"
    HOLD_ENDING = "hold_ending"
    BULK_READ = "bulk_read"
    UNKNOWN_IDS = "unknown_ids"
    DEVICE_ADDED = "device_added"
    SECOND_FACTOR_SET = "second_factor_set"
    SECOND_FACTOR_REMOVED = "second_factor_removed"
    CODES_GUESSED = "codes_guessed"
    LOG_INS_FAILED = "log_ins_failed"
    ROUTE_ALERT = "route_alert"
    INDIRECT_SOURCE = "indirect_source"
    DATA_CORRECTED = "data_corrected"
    CONTACT_CHANGE_ASKED = "contact_change_asked"
    CONTACT_CODE = "contact_code"
    PASSWORD_CODE = "password_code"  # noqa: S105 - a kind of notice, no secret
    PERSON_REQUEST_RECORDED = "person_request_recorded"
    PERSON_REQUEST_ANSWERED = "person_request_answered"
    PERSON_REQUEST_DUE = "person_request_due"
    PERSON_REQUEST_OVERDUE = "person_request_overdue"
    COMPANY_CLOSING = "company_closing"
    COMPANY_STAYS = "company_stays"
    COMPANY_CLOSED = "company_closed"
    MARKETING_NEWS = "marketing_news"


class Form(StrEnum):
    """How a value is written down and shown. None of the forms can hold a name or a phone."""

    INSTANT = "instant"
    """RFC 3339; shown as date and time in the company's time zone."""
    DAY = "day"
    """RFC 3339; shown as the date alone."""
    MEMBER = "member"
    """A member's id; shown as their name, which is read when the text is written."""
    WORD = "word"
    """One of a closed list, which the texts translate."""
    WORDS = "words"
    """Several of a closed list, separated by commas."""
    CODE = "code"
    """Letters, digits, dots and dashes, shown as they are."""
    SECRET = "secret"  # noqa: S105 - the name of a form
    """What only its reader may see: sealed from the start, and shown in the text alone."""
    ORGANISATION = "organisation"
    """A legal person's name, shown as it is."""
    PROSE = "prose"
    """Text by the company to many readers. Only marketing has it."""


@dataclass(frozen=True, slots=True)
class Value:
    """What a placeholder of a text takes. ``words`` names the list of a word."""

    form: Form
    words: str | None = None
    optional: bool = False
    """Lines of the text that need it are left out where it is absent."""


@dataclass(frozen=True, slots=True)
class Kind:
    category: Category
    channels: tuple[Channel, ...]
    values: Mapping[str, Value]


ORGANISATION_CHARS_MAX: Final = 200
PROSE_CHARS_MAX: Final = 2_000
DEDUPE_CHARS_MAX: Final = 120
