"""The erasure of a driver: who may do what when, as a table. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from server.credentials.model import MemberState, Role
from server.holds.model import Ground, HeldCategory
from server.kit.errors import Conflict, NotFound, Refused
from server.vault.model import Category


class State(StrEnum):
    OPEN = "open"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    GRACE = "grace"
    ERASING = "erasing"
    HELD = "held"
    """All is erased but what holds keep, and what tells whose that is."""
    ERASED = "erased"


class Act(StrEnum):
    ASK = "ask"
    PROPOSE = "propose"
    """Ask while the driver disputes something: a second person has to agree."""
    CLOSE = "close"
    """The day has come on which the company closes."""
    APPROVE = "approve"
    REFUSE = "refuse"
    REFUSE_IN_PART = "refuse_in_part"
    RERUN = "rerun"
    """The time of a refusal is over."""
    CANCEL = "cancel"
    LAPSE = "lapse"
    """The time for an answer is over."""
    DROP = "drop"
    """It is over, and a second person has not agreed."""
    WAIVE = "waive"
    BEGIN = "begin"
    HOLD = "hold"
    FINISH = "finish"


class Outcome(StrEnum):
    APPROVE = "approve"
    REFUSE = "refuse"
    REFUSE_IN_PART = "refuse_in_part"


class Reason(StrEnum):
    LEFT_COMPANY = "left_company"
    OWN_WISH = "own_wish"
    OTHER = "other"
    COMPANY_CLOSED = "company_closed"
    """Nobody says so: it comes of the closing of their company."""


class Step(StrEnum):
    """What the erasing job does, in this order."""

    CLOSE_GATE = "close_gate"
    END_SESSIONS = "end_sessions"
    NOTE_PERSON = "note_person"
    ERASE_INCIDENTS = "erase_incidents"
    ERASE_DISCLOSURES = "erase_disclosures"
    ERASE_EXPORTS = "erase_exports"
    ERASE_LINKS = "erase_links"
    ERASE_ALERTS = "erase_alerts"
    ERASE_STOP_EVENTS = "erase_stop_events"
    ERASE_ATTESTATIONS = "erase_attestations"
    ERASE_REPORTS = "erase_reports"
    ERASE_ROUTES = "erase_routes"
    ERASE_UPLOADS = "erase_uploads"
    ERASE_TRACKING = "erase_tracking"
    ERASE_DEVICES = "erase_devices"
    ERASE_CONTROLLERS = "erase_controllers"
    ERASE_CONSENT = "erase_consent"
    ERASE_GUARDIANS = "erase_guardians"
    ERASE_CLARIFICATIONS = "erase_clarifications"
    ERASE_CORRECTIONS = "erase_corrections"
    ERASE_PERSON_REQUESTS = "erase_person_requests"
    ERASE_POLICIES = "erase_policies"
    ERASE_HOLDS = "erase_holds"
    ERASE_NOTICES = "erase_notices"
    ERASE_GATE = "erase_gate"
    ERASE_LEDGER = "erase_ledger"
    ERASE_ACCOUNT = "erase_account"
    SEARCH = "search"
    DESTROY_KEYS = "destroy_keys"
    VERIFY = "verify"


STUCK_AFTER: Final = timedelta(hours=1)
"""So long after it was due an erasure that is not done needs people."""

# (None, ...) is the driver nobody has asked to erase; (..., None) is the erasing job or the clock.
# A triple that is absent is refused. The main user overrides the dispatcher's decision both ways.
TRANSITIONS: Final[Mapping[tuple[State | None, Act, Role | None], State]] = {
    (None, Act.ASK, Role.DRIVER): State.OPEN,
    (None, Act.ASK, Role.DISPATCHER): State.GRACE,
    (None, Act.ASK, Role.MAIN_USER): State.GRACE,
    (None, Act.PROPOSE, Role.DISPATCHER): State.OPEN,
    (None, Act.PROPOSE, Role.MAIN_USER): State.OPEN,
    (None, Act.CLOSE, None): State.GRACE,
    (State.OPEN, Act.APPROVE, Role.DISPATCHER): State.GRACE,
    (State.OPEN, Act.APPROVE, Role.MAIN_USER): State.GRACE,
    (State.OPEN, Act.REFUSE, Role.DISPATCHER): State.REFUSED,
    (State.OPEN, Act.REFUSE, Role.MAIN_USER): State.REFUSED,
    (State.OPEN, Act.REFUSE_IN_PART, Role.DISPATCHER): State.GRACE,
    (State.OPEN, Act.REFUSE_IN_PART, Role.MAIN_USER): State.GRACE,
    (State.OPEN, Act.CANCEL, Role.DRIVER): State.CANCELLED,
    (State.OPEN, Act.LAPSE, None): State.GRACE,
    (State.OPEN, Act.DROP, None): State.CANCELLED,
    (State.REFUSED, Act.APPROVE, Role.MAIN_USER): State.GRACE,
    (State.REFUSED, Act.REFUSE_IN_PART, Role.MAIN_USER): State.GRACE,
    (State.REFUSED, Act.CANCEL, Role.DRIVER): State.CANCELLED,
    (State.REFUSED, Act.RERUN, None): State.GRACE,
    (State.GRACE, Act.REFUSE, Role.MAIN_USER): State.REFUSED,
    (State.GRACE, Act.CANCEL, Role.DRIVER): State.CANCELLED,
    (State.GRACE, Act.CANCEL, Role.DISPATCHER): State.CANCELLED,
    (State.GRACE, Act.CANCEL, Role.MAIN_USER): State.CANCELLED,
    (State.GRACE, Act.WAIVE, Role.DRIVER): State.ERASING,
    (State.GRACE, Act.BEGIN, None): State.ERASING,
    (State.ERASING, Act.HOLD, None): State.HELD,
    (State.HELD, Act.BEGIN, None): State.ERASING,
    (State.ERASING, Act.FINISH, None): State.ERASED,
}

# What the job leaves undone while a category is held: the steps that erase a column of its class,
# by the data map.
KEPT_BY: Final[Mapping[HeldCategory, frozenset[Step]]] = {
    HeldCategory.IDENTITY: frozenset({Step.ERASE_GUARDIANS, Step.ERASE_CORRECTIONS}),
    HeldCategory.CONTACT: frozenset(
        {
            Step.ERASE_DISCLOSURES,
            Step.ERASE_CLARIFICATIONS,
            Step.ERASE_CORRECTIONS,
            Step.ERASE_PERSON_REQUESTS,
        }
    ),
    HeldCategory.TRACK: frozenset({Step.ERASE_TRACKING, Step.ERASE_UPLOADS}),
    HeldCategory.REPORT: frozenset({Step.ERASE_REPORTS, Step.ERASE_ALERTS, Step.ERASE_STOP_EVENTS}),
    HeldCategory.WORK: frozenset(
        {
            Step.ERASE_INCIDENTS,
            Step.ERASE_LINKS,
            Step.ERASE_STOP_EVENTS,
            Step.ERASE_ROUTES,
            Step.ERASE_CONSENT,
            Step.ERASE_PERSON_REQUESTS,
        }
    ),
    HeldCategory.CONSENT: frozenset(
        {
            Step.ERASE_ATTESTATIONS,
            Step.ERASE_DEVICES,
            Step.ERASE_CONTROLLERS,
            Step.ERASE_CONSENT,
            Step.ERASE_GUARDIANS,
            Step.ERASE_CLARIFICATIONS,
            Step.ERASE_POLICIES,
        }
    ),
}
# And whatever is held: whose it is, how they are told, and what proves that nothing is left.
KEPT_ALWAYS: Final = frozenset(
    {
        Step.NOTE_PERSON,
        Step.ERASE_HOLDS,
        Step.ERASE_NOTICES,
        Step.ERASE_GATE,
        Step.ERASE_LEDGER,
        Step.ERASE_ACCOUNT,
        Step.SEARCH,
        Step.DESTROY_KEYS,
        Step.VERIFY,
    }
)
# The keys that nothing needs any more once these steps are done.
KEYS_OF: Final[Mapping[Category, frozenset[Step]]] = {
    Category.TRACK: frozenset({Step.ERASE_TRACKING}),
    Category.LIVE: frozenset({Step.ERASE_TRACKING}),
    Category.REPORT: frozenset({Step.ERASE_REPORTS, Step.ERASE_ALERTS, Step.ERASE_STOP_EVENTS}),
}

# Whose requests a role may call off.
CANCELS: Final[Mapping[Role, frozenset[Role]]] = {
    Role.DRIVER: frozenset({Role.DRIVER}),
    Role.DISPATCHER: frozenset({Role.DISPATCHER}),
    Role.MAIN_USER: frozenset(Role),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One wish to erase one driver. Nothing in it is personal."""

    request_id: UUID
    driver_id: UUID
    state: State
    requested_by: Role
    reason: Reason | None
    requested_at: datetime
    asked_by: UUID | None = None
    """The member of staff who asked, or wrote down that the driver did."""
    answer_by: datetime | None = None
    """When the clock decides what is open still."""
    decided_by: Role | None = None
    """None, of what is decided: the clock."""
    ground: Ground | None = None
    refused_until: datetime | None = None
    """When a refusal runs again by itself: the first of its dates."""
    decided_at: datetime | None = None
    grace_until: datetime | None = None
    account_before: MemberState | None = None
    cancelled_by: Role | None = None
    cancelled_at: datetime | None = None
    erased_at: datetime | None = None
    backups_unreadable_at: datetime | None = None
    """Since when no copy of the keys opens anything of the driver; set with the certificate."""
    after_restore: bool = False
    """Written anew after a backup was restored: who asked, when and why is lost. ``requested_by``
    and ``requested_at`` are then the role and the moment it goes on by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """The last look for a driver, before their keys are destroyed."""

    sought_sealed: bytes | None = field(repr=False)
    """The texts that are looked for, under the driver's own key."""
    key_ids: tuple[UUID, ...]
    """Every key the driver had when it was looked."""
    ledger_entries: int | None
    """How many entries about the driver stay, under a name of which nothing in use tells whose."""
    protocol: str | None
    """Canonical JSON of where was looked and what was found; None before. When the keys are gone
    ``again`` is added to it: when was looked once more, by ids alone, and what read alike then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What was erased before the rest, which holds kept."""

    done_at: datetime
    held: str
    """Canonical JSON: each category that was held, why and until when."""
    key_ids: tuple[UUID, ...]
    """The keys that were destroyed then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDone:
    """A step of the job: when it was done (None: it is to be done again) and what it removed."""

    request_id: UUID
    step: Step
    rows: int
    done_at: datetime | None


class ErasureMissing(NotFound):
    slug = "erasure-request-not-found"
    title = "No such erasure request"


class ErasureUnderWay(Conflict):
    slug = "erasure-under-way"
    title = "The erasure of this driver was asked for already"


class ErasureActRefused(Conflict):
    slug = "erasure-act-refused"
    title = "The erasure cannot change that way"

    def __init__(self, state: State | None, act: Act, role: Role | None) -> None:
        who = "the clock or the erasing job" if role is None else f"a {role.replace('_', ' ')}"
        what = "not asked for" if state is None else state.value
        super().__init__(f"An erasure that is {what} does not let {who} {act}.")


class ErasureNotYours(Refused):
    slug = "erasure-not-yours"
    title = "Only who asked for the erasure may call it off"


class NotErased(Exception):
    """Rows of the person were found after every step; the job runs once more."""

    def __init__(self, rows: int) -> None:
        super().__init__(f"{rows} rows are left")


class NotTold(Exception):
    """Messages to the person have not gone out yet; the job waits for them, but not for long."""

    def __init__(self, messages: int) -> None:
        super().__init__(f"{messages} messages wait")


def next_state(state: State | None, act: Act, role: Role | None) -> State:
    """Return what the request becomes.

    Raises
    ------
    ErasureActRefused
    """
    try:
        return TRANSITIONS[state, act, role]
    except KeyError:
        raise ErasureActRefused(state, act, role) from None


def kept_steps(held: Collection[HeldCategory]) -> frozenset[Step]:
    """Return what the job leaves undone while these categories are held."""
    if not held:
        return frozenset()
    return KEPT_ALWAYS.union(*(KEPT_BY[one] for one in held))


def keys_to_destroy(held: Collection[HeldCategory]) -> list[Category]:
    """Return the categories of keys that go although these categories are held."""
    kept = kept_steps(held)
    return [category for category, steps in KEYS_OF.items() if not steps & kept]


def waiting_for(request: Request, steps: Collection[StepDone], now: datetime) -> Step | None:
    """Return the step at which the erasing is stuck; None while it is not, or not for long.

    A search that finds something opens the steps that erase once more: it was not done itself, so
    it is told and not those.
    """
    since = request.grace_until or request.decided_at or request.requested_at
    if request.state is not State.ERASING or now - since <= STUCK_AFTER:
        return None
    begun = {one.step for one in steps}
    return next((step for step in Step if step not in begun), None)


def refuse_cancel(by: Role, requested_by: Role) -> None:
    """Let nobody but the main user call off what somebody else asked for.

    Raises
    ------
    ErasureNotYours
    """
    if requested_by not in CANCELS[by]:
        raise ErasureNotYours
