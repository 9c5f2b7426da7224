"""Incidents with personal data: their states, their clocks, and whom they affect. Pure."""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from server.credentials.model import Role
from server.disclosures.model import Category
from server.kit import errors

KEPT: Final = timedelta(days=5 * 365)
"""So long the register keeps what was recorded."""
WITHIN: Final = timedelta(hours=72)
"""No clock here is longer: article 33 of the GDPR."""
SATURDAY: Final = 5
AGAIN: Final = timedelta(days=1)
"""How long after it a clock that ran out is told of once more, until somebody acts."""
_LIST: Final = b"jolda incident list v1\0"
WRITTEN_DOWN: Final = frozenset({Category.TRACK, Category.REPORT})
"""Of these each look is in the register of reads. Of others any member of staff may have looked."""


class State(StrEnum):
    OPEN = "open"
    ASSESSED = "assessed"
    CLOSED = "closed"
    DISMISSED = "dismissed"
    """It was none."""


class Act(StrEnum):
    REPORT = "report"
    ASSESS = "assess"
    NOTIFY = "notify"
    """The authority, which is what the law's clock is for."""
    CLOSE = "close"
    DISMISS = "dismiss"


# Anybody of the company reports; a main user answers for the rest. A triple that is absent is
# refused.
TRANSITIONS: Final[Mapping[tuple[State | None, Act, Role], State]] = {
    (None, Act.REPORT, Role.DRIVER): State.OPEN,
    (None, Act.REPORT, Role.DISPATCHER): State.OPEN,
    (None, Act.REPORT, Role.MAIN_USER): State.OPEN,
    (State.OPEN, Act.ASSESS, Role.MAIN_USER): State.ASSESSED,
    (State.ASSESSED, Act.ASSESS, Role.MAIN_USER): State.ASSESSED,
    (State.OPEN, Act.NOTIFY, Role.MAIN_USER): State.OPEN,
    (State.ASSESSED, Act.NOTIFY, Role.MAIN_USER): State.ASSESSED,
    (State.ASSESSED, Act.CLOSE, Role.MAIN_USER): State.CLOSED,
    (State.OPEN, Act.DISMISS, Role.MAIN_USER): State.DISMISSED,
}


class Cause(StrEnum):
    """What happened, as those who are affected are told."""

    STOLEN_ACCESS = "stolen_access"
    LEAKED_TOKEN = "leaked_token"  # noqa: S105 - a cause, no secret
    LOST_DEVICE = "lost_device"
    MISUSE = "misuse"
    WRONG_RECIPIENT = "wrong_recipient"
    OTHER = "other"


class Source(StrEnum):
    """By what those who are affected are found."""

    ACCOUNT = "account"
    """Whatever a member's account saw, gave out or acted on."""
    API_TOKEN = "api_token"  # noqa: S105 - a kind of source, no secret
    """Whatever an integration saw."""
    TRACKS = "tracks"
    """Everybody of whom positions of the span are kept."""
    COMPANY = "company"
    """Every member."""


class Consequence(StrEnum):
    LOCATION_KNOWN = "location_known"
    CONTACT_MISUSED = "contact_misused"
    IDENTITY_MISUSED = "identity_misused"
    ACCOUNT_MISUSED = "account_misused"
    NONE_EXPECTED = "none_expected"


class Advice(StrEnum):
    CHANGE_PASSWORD = "change_password"  # noqa: S105 - an advice, no secret
    CHECK_DEVICES = "check_devices"
    BEWARE_OF_CALLS = "beware_of_calls"
    TELL_POLICE = "tell_police"
    NOTHING_NEEDED = "nothing_needed"


class Clock(StrEnum):
    """What has to be done in time."""

    AUTHORITY = "authority"
    """The authority is notified."""
    MEMBERS = "members"
    """It is assessed, so that those who are affected are told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What an assessment is about, and what those who are affected are told."""

    cause: Cause
    source: Source
    member_id: UUID | None = None
    api_token_id: UUID | None = None
    since: datetime
    until: datetime
    categories: tuple[Category, ...]
    consequences: tuple[Consequence, ...]
    advice: tuple[Advice, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A clock of an incident."""

    due_at: datetime
    reminded_at: datetime | None = None
    escalated_at: datetime | None = None
    """When it was last told that it ran out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """As stored. The texts are sealed under the company's own key."""

    incident_id: UUID
    state: State
    reported_by: UUID | None
    """None once whoever reported it was erased."""
    reported_role: Role
    noticed_at: datetime
    recorded_at: datetime
    authority: Running
    members: Running
    notified_at: datetime | None = None
    """When the authority was notified."""
    ended_at: datetime | None = None
    what_sealed: bytes = field(repr=False)
    reference_sealed: bytes | None = field(default=None, repr=False)
    """Under which number the authority has it."""
    outcome_sealed: bytes | None = field(default=None, repr=False)

    def waits_for(self, clock: Clock) -> bool:
        """Tell whether the clock still runs."""
        if self.state in (State.CLOSED, State.DISMISSED):
            return False
        return self.notified_at is None if clock is Clock.AUTHORITY else self.state is State.OPEN

    def running(self, clock: Clock) -> Running:
        return self.authority if clock is Clock.AUTHORITY else self.members


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """A time at which it was computed who is affected. The list never loses anybody by another."""

    round: int
    scope: Scope
    assessed_at: datetime
    assessed_by: UUID | None
    found: int
    added: int
    erased: int
    """Of whom nothing but a pseudonym is left: they cannot be told."""
    list_hash: bytes
    """Over everybody who was in the list with this round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Whom a scope leads to."""

    members: Mapping[UUID, UUID]
    """By pseudonym, who is a member still."""
    erased: frozenset[UUID]
    """Pseudonyms that are nobody's any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How far the affected members are told."""

    affected: int
    erased: int
    """Among them: who was erased since they were in the list."""
    told: int
    """For whom a notice was queued."""
    sent: int
    """To whom it went out by e-mail, SMS or push."""
    seen: int
    """Who opened it in the app."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Affected:
    """Somebody in a list who is a member still, and what became of their notice."""

    member_id: UUID
    name: str | None = field(default=None, repr=False)
    round: int
    told_at: datetime | None
    notice_id: UUID | None
    stands: list[str]
    """Of each channel where it stands."""


def next_state(state: State | None, act: Act, role: Role) -> State:
    """Return what the incident becomes.

    Raises
    ------
    IncidentActRefused
    """
    try:
        return TRANSITIONS[state, act, role]
    except KeyError:
        raise IncidentActRefused(state, act) from None


def authority_due(noticed_at: datetime, zone: ZoneInfo) -> datetime:
    """Return until when the authority is to be notified: one working day, and never over 72 hours.

    The same time of the next working day; what was noticed on a weekend is due on Monday. Public
    holidays are counted as working days: so it is never later than the law has it.
    """
    due = noticed_at.astimezone(zone) + timedelta(days=1)
    while due.weekday() >= SATURDAY:
        due += timedelta(days=1)
    # Over the night on which the clocks change, three days may have an hour more.
    return min(due.astimezone(noticed_at.tzinfo), noticed_at + WITHIN)


def clocks_of(noticed_at: datetime, zone: ZoneInfo) -> tuple[Running, Running]:
    """Return the clocks of the authority and of the members."""
    return Running(due_at=authority_due(noticed_at, zone)), Running(due_at=noticed_at + WITHIN)


def is_overdue(incident: Incident, clock: Clock, now: datetime) -> bool:
    """Tell whether it is to be told that a clock ran out: at once, and every day after."""
    running = incident.running(clock)
    if not incident.waits_for(clock) or now < running.due_at:
        return False
    return running.escalated_at is None or now >= running.escalated_at + AGAIN


def is_to_remind(incident: Incident, clock: Clock, now: datetime) -> bool:
    """Tell whether half of the time is over and nobody was reminded."""
    running = incident.running(clock)
    half = incident.noticed_at + (running.due_at - incident.noticed_at) / 2
    return incident.waits_for(clock) and running.reminded_at is None and half <= now


def list_hash(company_id: UUID, incident_id: UUID, pseudonyms: Iterable[UUID]) -> bytes:
    """Return the hash that the ledger keeps of a list: it tells nobody, and fits only this list."""
    digest = hashlib.sha256(_LIST + company_id.bytes + incident_id.bytes)
    for one in sorted(pseudonyms):
        digest.update(one.bytes)
    return digest.digest()


def is_everybody(scope: Scope) -> bool:
    """Tell whether nothing written down narrows it: then every member counts as affected."""
    if scope.source is Source.COMPANY:
        return True
    return scope.source is not Source.TRACKS and not WRITTEN_DOWN.issuperset(scope.categories)


def refuse_unfit(scope: Scope, *, kept_since: datetime, now: datetime) -> None:
    """Refuse a scope that names no source, or of which the registers do not hold everything.

    Raises
    ------
    IncidentSourceInvalid, IncidentSpanInvalid
    """
    named = {
        Source.ACCOUNT: (True, False),
        Source.API_TOKEN: (False, True),
    }.get(scope.source, (False, False))
    if (scope.member_id is not None, scope.api_token_id is not None) != named:
        raise IncidentSourceInvalid
    if not kept_since <= scope.since < scope.until <= now:
        raise IncidentSpanInvalid


def refuse_noticed(noticed_at: datetime, now: datetime) -> None:
    """Refuse to have noticed what is still to come, or longer ago than reads are kept.

    Raises
    ------
    IncidentSpanInvalid
    """
    if not now - timedelta(days=365) <= noticed_at <= now:
        raise IncidentSpanInvalid


def refuse_unfinished(incident: Incident, counts: Counts) -> None:
    """Keep an incident open until everybody is told.

    Raises
    ------
    IncidentUnfinished
    """
    if incident.notified_at is None or counts.told + counts.erased < counts.affected:
        raise IncidentUnfinished


def added(found: Found, known: Collection[UUID]) -> dict[UUID, UUID]:
    """Return by pseudonym who was found and is not in the list yet."""
    return {one: member for one, member in found.members.items() if one not in known}


class IncidentMissing(errors.NotFound):
    slug = "incident-not-found"
    title = "No such incident"


class IncidentActRefused(errors.Conflict):
    slug = "incident-act-refused"
    title = "The incident cannot change that way"

    def __init__(self, state: State | None, act: Act) -> None:
        super().__init__(f"Cannot {act} an incident that is {state or 'not reported'}.")


class IncidentNotifiedAlready(errors.Conflict):
    slug = "incident-notified-already"
    title = "The authority was notified already"


class IncidentUnfinished(errors.Conflict):
    slug = "incident-unfinished"
    title = "The incident cannot be closed yet"

    def __init__(self) -> None:
        super().__init__("First the authority is notified, and everybody in the list is told.")


class IncidentSourceInvalid(errors.Invalid):
    slug = "incident-source-invalid"
    title = "The source does not fit"

    def __init__(self) -> None:
        super().__init__(
            "An account needs member_id, an API token api_token_id, and others neither; and it "
            "has to be of this company."
        )


class IncidentSpanInvalid(errors.Invalid):
    slug = "incident-span-invalid"
    title = "The time does not fit"

    def __init__(self) -> None:
        super().__init__(
            "Up to now, and from 365 days ago: who looked before is not known any more."
        )
