"""The kinds of notices: what each is for, where it may go, and what its text needs to know."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final
from uuid import UUID


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
    BULK_READ = "bulk_read"
    UNKNOWN_IDS = "unknown_ids"
    DEVICE_ADDED = "device_added"
    ROUTE_ALERT = "route_alert"
    INDIRECT_SOURCE = "indirect_source"
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


_EMAIL, _SMS, _PUSH = MARKETING_CHANNELS
_INSTANT: Final = Value(Form.INSTANT)
_ORGANISATION: Final = Value(Form.ORGANISATION)
_MEMBER: Final = Value(Form.MEMBER)
_ITEMS: Final = Value(Form.WORDS, "consent_item")
_ROLE: Final = Value(Form.WORD, "role")
_ALERT: Final = {
    "by_role": _ROLE,
    "by": Value(Form.MEMBER, optional=True),
    "count": Value(Form.CODE),
    "at": _INSTANT,
}
# Which question, and never what it says.
_ASKED: Final = {
    "document": Value(Form.WORD, "document"),
    "edition": Value(Form.CODE),
    "asked_at": _INSTANT,
}


def _service(*channels: Channel, **values: Value) -> Kind:
    return Kind(Category.SERVICE, (Channel.IN_APP, *channels), values)


KINDS: Final[Mapping[NoticeKind, Kind]] = MappingProxyType(
    {
        # Who is invited cannot open the app yet.
        NoticeKind.ACCOUNT_INVITED: _service(_EMAIL, _SMS, by=_MEMBER, expires_at=_INSTANT),
        NoticeKind.ACCOUNT_BLOCKED: _service(
            _EMAIL, _SMS, _PUSH, by_role=_ROLE, reason=Value(Form.WORD, "block_reason")
        ),
        NoticeKind.ACCOUNT_UNBLOCKED: _service(_EMAIL, _PUSH, by_role=_ROLE),
        NoticeKind.SHIFT_REMINDER: _service(_PUSH, ends_at=_INSTANT),
        NoticeKind.SHIFT_ENDED_BY_OTHER: _service(
            _EMAIL,
            _PUSH,
            by_role=_ROLE,
            ended_at=_INSTANT,
            # Absent in what was queued before it was told.
            recording=Value(Form.WORD, "recording", optional=True),
        ),
        NoticeKind.CONSENT_WITHDRAWN_CONFIRMATION: _service(
            _EMAIL, items=_ITEMS, withdrawn_at=_INSTANT
        ),
        NoticeKind.CONSENT_REQUESTED: _service(
            _EMAIL,
            _PUSH,
            items=_ITEMS,
            # Of the edition that ended what was given; absent where a member of staff asks.
            document=Value(Form.WORD, "document", optional=True),
            edition=Value(Form.CODE, optional=True),
        ),
        NoticeKind.CONSENT_EXPIRING: _service(_EMAIL, _PUSH, items=_ITEMS, until=Value(Form.DAY)),
        NoticeKind.CONSENT_ENDED: _service(_EMAIL, _PUSH, items=_ITEMS),
        NoticeKind.EDITION_PUBLISHED: _service(
            _EMAIL,
            _PUSH,
            document=Value(Form.WORD, "document"),
            edition=Value(Form.CODE),
            change=Value(Form.WORD, "change"),
            effective_at=Value(Form.DAY),
        ),
        NoticeKind.CLARIFICATION_ASKED: _service(_EMAIL, **_ASKED),
        NoticeKind.CLARIFICATION_ANSWERED: _service(_EMAIL, _PUSH, **_ASKED),
        NoticeKind.CONTROLLER_CHANGE_ANNOUNCED: _service(
            _EMAIL,
            _PUSH,
            name=_ORGANISATION,
            bin=Value(Form.CODE),
            effective_at=Value(Form.DAY),
            contact=_ORGANISATION,
        ),
        NoticeKind.CONTROLLER_CHANGE_CANCELLED: _service(
            _EMAIL, _PUSH, name=_ORGANISATION, effective_at=Value(Form.DAY)
        ),
        NoticeKind.CONTROLLER_CHANGED: _service(
            _EMAIL,
            _PUSH,
            name=_ORGANISATION,
            bin=Value(Form.CODE),
            kept=Value(Form.WORDS, "consent_item", optional=True),
            lapsed=Value(Form.WORDS, "consent_item", optional=True),
        ),
        NoticeKind.ATTESTATION_MADE: _service(_EMAIL, by=_MEMBER, told_at=_INSTANT),
        NoticeKind.ATTESTATION_DISPUTED: _service(_EMAIL, driver=_MEMBER, disputed_at=_INSTANT),
        NoticeKind.BIRTH_YEAR_STATED: _service(_EMAIL, _PUSH, by=_MEMBER, stated_at=_INSTANT),
        NoticeKind.BIRTH_YEAR_DISPUTED: _service(_EMAIL, driver=_MEMBER, disputed_at=_INSTANT),
        NoticeKind.GUARDIAN_CONSENT_RECORDED: _service(_EMAIL, by=_MEMBER, told_at=_INSTANT),
        NoticeKind.GUARDIAN_CONSENT_REVOKED: _service(
            _EMAIL, _PUSH, by=_MEMBER, revoked_at=_INSTANT
        ),
        # Nobody did it: another company took over.
        NoticeKind.GUARDIAN_CONSENT_LAPSED: _service(_EMAIL, _PUSH, ended_at=_INSTANT),
        NoticeKind.ERASURE_REQUESTED: _service(
            _EMAIL,
            _SMS,
            _PUSH,
            by_role=_ROLE,
            requested_at=_INSTANT,
            grace_until=Value(Form.INSTANT, optional=True),
        ),
        NoticeKind.ERASURE_DECIDED: _service(
            _EMAIL,
            _SMS,
            _PUSH,
            outcome=Value(Form.WORD, "outcome"),
            ground=Value(Form.WORD, "ground", optional=True),
            until=Value(Form.DAY, optional=True),
            grace_until=Value(Form.INSTANT, optional=True),
        ),
        NoticeKind.BULK_READ: _service(_EMAIL, _PUSH, **_ALERT),
        NoticeKind.UNKNOWN_IDS: _service(_EMAIL, _PUSH, **_ALERT),
        NoticeKind.DEVICE_ADDED: _service(_EMAIL, _PUSH, added_at=_INSTANT),
        # No e-mail: one for each would bury those that matter.
        NoticeKind.ROUTE_ALERT: _service(
            _PUSH, alert=Value(Form.WORD, "alert"), driver=_MEMBER, raised_at=_INSTANT
        ),
        NoticeKind.INDIRECT_SOURCE: _service(
            _EMAIL, by=_MEMBER, fields=Value(Form.WORDS, "field"), entered_at=_INSTANT
        ),
        NoticeKind.MARKETING_NEWS: Kind(
            Category.MARKETING,
            MARKETING_CHANNELS,
            {"headline": Value(Form.PROSE), "message": Value(Form.PROSE)},
        ),
    }
)

OF_TRACKS: Final = frozenset({NoticeKind.ROUTE_ALERT})
"""Those that tell how somebody drove: they go with the consent which that rests on."""

# The closed lists behind WORD and WORDS; every language has a word for each.
WORDS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "role": frozenset(
            {"driver", "dispatcher", "main_user", "api_token", "forgotten", "operator"}
        ),
        "recording": frozenset({"stopped", "goes_on"}),
        "block_reason": frozenset({"left", "lost_phone", "misuse", "other"}),
        "consent_item": frozenset(
            {
                "location",
                "dispatch_tracking",
                "plan_fact",
                "customer_link",
                "notifications",
                "marketing",
            }
        ),
        "document": frozenset({"privacy_notice", "driver_notice", "device_notice"}),
        "change": frozenset({"first", "protective", "editorial", "material", "adds_purpose"}),
        "outcome": frozenset({"approve", "refuse", "silence"}),
        "ground": frozenset(
            {"legal_obligation", "legal_claim", "unfulfilled_obligation", "identity_not_proven"}
        ),
        "field": frozenset({"name", "phone", "email", "language"}),
        "alert": frozenset({"late", "off_route", "no_signal", "long_stop"}),
    }
)

ORGANISATION_CHARS_MAX: Final = 200
PROSE_CHARS_MAX: Final = 2_000
DEDUPE_CHARS_MAX: Final = 120
_CHARS_MAX: Final = {Form.ORGANISATION: ORGANISATION_CHARS_MAX, Form.PROSE: PROSE_CHARS_MAX}
_CODE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,39}", re.ASCII)


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


def _fits(value: Value, text: str) -> bool:
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
            return _CODE.fullmatch(text) is not None
        case Form.ORGANISATION | Form.PROSE:
            return 0 < len(text) <= _CHARS_MAX[value.form] and "\x00" not in text


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
