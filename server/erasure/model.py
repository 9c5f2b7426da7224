"""The erasure of a driver: who may do what when, as a table. Pure."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
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
    NOTE_PERSON = "note_person"
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
    SEARCH = "search"
    DESTROY_KEYS = "destroy_keys"
    VERIFY = "verify"


NATIONAL_DIGITS: Final = 10
ALIKE_CHARS_MIN: Final = 4
"""A shorter text stands in many words."""
PLAIN_CHARS_MIN: Final = 8
"""A shorter one may stand in a hash by chance."""
STUCK_AFTER: Final = timedelta(hours=1)
"""So long after it was due an erasure that is not done needs people."""
_BETWEEN: Final = re.compile("[ ()-]")
_LIKE: Final = re.compile(r"([\\%_])")
_ESCAPED: Final = r"\\\1"

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
class Sought:
    """What is looked for: what the server wrote, and what people know the driver by."""

    driver_id: UUID
    key_ids: tuple[UUID, ...]
    texts: tuple[str, ...] = field(repr=False)
    """The driver's name, phone and e-mail."""

    @property
    def ids(self) -> list[UUID]:
        return [self.driver_id, *self.key_ids]

    @property
    def spelled(self) -> list[str]:
        """Return patterns of the ways in which a text spells the driver's id."""
        return [f"%{self.driver_id}%", f"%{self.driver_id.hex}%"]

    @property
    def alike(self) -> list[str]:
        """Return patterns of texts and id, as they read without blanks, brackets and dashes."""
        read = [self.driver_id.hex, *(_joined(text) for text in self.texts)]
        return [f"%{_LIKE.sub(_ESCAPED, text)}%" for text in read]

    @property
    def plain(self) -> list[bytes]:
        """Return what stands in no bytes but those that somebody forgot to seal."""
        written = [self.driver_id.bytes, str(self.driver_id).encode()]
        return written + [text.encode() for text in self.texts if len(text) >= PLAIN_CHARS_MIN]

    @property
    def headers(self) -> list[bytes]:
        """Return by what a sealed value names one of the keys."""
        return [key_id.bytes for key_id in self.key_ids]


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


def refuse_ground(outcome: Outcome, ground: Ground | None) -> None:
    """Hold a decision to having a ground exactly when it refuses.

    Raises
    ------
    GroundMisplaced
    """
    if (outcome is Outcome.REFUSE) is (ground is None):
        raise GroundMisplaced


def sought_of(driver_id: UUID, key_ids: Collection[UUID], texts: Collection[str | None]) -> Sought:
    """Return what to look for, of a driver's texts as far as they are known.

    Of a phone its last ten digits: people write the others in several ways.
    """
    kept = [
        text[-NATIONAL_DIGITS:] if text.startswith("+") else text
        for text in texts
        if text is not None and len(_joined(text)) >= ALIKE_CHARS_MIN
    ]
    known = tuple(dict.fromkeys(kept))
    return Sought(driver_id=driver_id, key_ids=tuple(key_ids), texts=known)


def _joined(text: str) -> str:
    return _BETWEEN.sub("", text)
