"""The erasure of a driver: who may do what when, as a table. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from server.credentials.model import MemberState, Role
from server.kit.errors import Conflict, Invalid, NotFound, Refused


class State(StrEnum):
    OPEN = "open"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    GRACE = "grace"
    ERASING = "erasing"
    ERASED = "erased"


class Act(StrEnum):
    ASK = "ask"
    APPROVE = "approve"
    REFUSE = "refuse"
    CANCEL = "cancel"
    BEGIN = "begin"
    FINISH = "finish"


class Outcome(StrEnum):
    APPROVE = "approve"
    REFUSE = "refuse"


class Reason(StrEnum):
    LEFT_COMPANY = "left_company"
    OWN_WISH = "own_wish"
    OTHER = "other"


class Ground(StrEnum):
    """Why an erasure may be refused. The list is closed."""

    LEGAL_OBLIGATION = "legal_obligation"
    LEGAL_CLAIM = "legal_claim"
    UNFULFILLED_OBLIGATION = "unfulfilled_obligation"
    IDENTITY_NOT_PROVEN = "identity_not_proven"


class Step(StrEnum):
    """What the erasing job does, in this order."""

    CLOSE_GATE = "close_gate"
    END_SESSIONS = "end_sessions"
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
    ERASE_POLICIES = "erase_policies"
    ERASE_NOTICES = "erase_notices"
    ERASE_GATE = "erase_gate"
    ERASE_LEDGER = "erase_ledger"
    ERASE_ACCOUNT = "erase_account"
    DESTROY_KEYS = "destroy_keys"
    VERIFY = "verify"


# (None, ...) is the driver nobody has asked to erase; (..., None) is the erasing job. A triple that
# is absent is refused. The main user overrides the dispatcher's decision both ways.
TRANSITIONS: Final[Mapping[tuple[State | None, Act, Role | None], State]] = {
    (None, Act.ASK, Role.DRIVER): State.OPEN,
    (None, Act.ASK, Role.DISPATCHER): State.GRACE,
    (None, Act.ASK, Role.MAIN_USER): State.GRACE,
    (State.OPEN, Act.APPROVE, Role.DISPATCHER): State.GRACE,
    (State.OPEN, Act.APPROVE, Role.MAIN_USER): State.GRACE,
    (State.OPEN, Act.REFUSE, Role.DISPATCHER): State.REFUSED,
    (State.OPEN, Act.REFUSE, Role.MAIN_USER): State.REFUSED,
    (State.OPEN, Act.CANCEL, Role.DRIVER): State.CANCELLED,
    (State.REFUSED, Act.APPROVE, Role.MAIN_USER): State.GRACE,
    (State.GRACE, Act.REFUSE, Role.MAIN_USER): State.REFUSED,
    (State.GRACE, Act.CANCEL, Role.DRIVER): State.CANCELLED,
    (State.GRACE, Act.CANCEL, Role.DISPATCHER): State.CANCELLED,
    (State.GRACE, Act.CANCEL, Role.MAIN_USER): State.CANCELLED,
    (State.GRACE, Act.BEGIN, None): State.ERASING,
    (State.ERASING, Act.FINISH, None): State.ERASED,
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
    decided_by: Role | None = None
    ground: Ground | None = None
    decided_at: datetime | None = None
    grace_until: datetime | None = None
    account_before: MemberState | None = None
    cancelled_by: Role | None = None
    cancelled_at: datetime | None = None
    erased_at: datetime | None = None


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
        who = "the erasing job" if role is None else f"a {role.replace('_', ' ')}"
        what = "not asked for" if state is None else state.value
        super().__init__(f"An erasure that is {what} does not let {who} {act}.")


class ErasureNotYours(Refused):
    slug = "erasure-not-yours"
    title = "Only who asked for the erasure may call it off"


class GroundMisplaced(Invalid):
    slug = "erasure-ground-misplaced"
    title = "A refusal needs a ground, an approval has none"


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


def refuse_cancel(by: Role, requested_by: Role) -> None:
    """Let nobody but the main user call off what somebody else asked for.

    Raises
    ------
    ErasureNotYours
    """
    if requested_by not in CANCELS[by]:
        raise ErasureNotYours


def refuse_ground(outcome: Outcome, ground: Ground | None) -> None:
    """Hold a decision to having a ground exactly when it refuses.

    Raises
    ------
    GroundMisplaced
    """
    if (outcome is Outcome.REFUSE) is (ground is None):
        raise GroundMisplaced
