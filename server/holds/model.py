"""What is kept of a driver although it would be erased: who may say so, why, and how long. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from server.credentials.model import Role
from server.kit.errors import Conflict, Invalid, NotFound


class HeldCategory(StrEnum):
    """What can be held, by the classes of the data map."""

    IDENTITY = "identity"
    CONTACT = "contact"
    TRACK = "track"
    REPORT = "report"
    WORK = "work"
    CONSENT = "consent"


class Ground(StrEnum):
    """Why an erasure may be refused, or something held. The list is closed."""

    LEGAL_OBLIGATION = "legal_obligation"
    LEGAL_CLAIM = "legal_claim"
    UNFULFILLED_OBLIGATION = "unfulfilled_obligation"
    IDENTITY_NOT_PROVEN = "identity_not_proven"


class HoldState(StrEnum):
    WISHED = "wished"
    PROPOSED = "proposed"
    PLACED = "placed"
    DECLINED = "declined"
    ENDED = "ended"


class HoldAct(StrEnum):
    ASK = "ask"
    PLACE = "place"
    REFUSE = "refuse"
    """It is part of the refusal of an erasure."""
    RELEASE = "release"
    END = "end"


# (None, ...) is what nobody has asked to hold; (..., None) is the clock. A triple that is absent is
# refused. A date alone ends a hold, whether or not the clock wrote that down yet.
TRANSITIONS: Final[Mapping[tuple[HoldState | None, HoldAct, Role | None], HoldState]] = {
    (None, HoldAct.ASK, Role.DRIVER): HoldState.WISHED,
    (None, HoldAct.ASK, Role.DISPATCHER): HoldState.PROPOSED,
    (None, HoldAct.PLACE, Role.MAIN_USER): HoldState.PLACED,
    (None, HoldAct.REFUSE, Role.DISPATCHER): HoldState.PLACED,
    (None, HoldAct.REFUSE, Role.MAIN_USER): HoldState.PLACED,
    (HoldState.WISHED, HoldAct.PLACE, Role.MAIN_USER): HoldState.PLACED,
    (HoldState.WISHED, HoldAct.RELEASE, Role.MAIN_USER): HoldState.DECLINED,
    (HoldState.PROPOSED, HoldAct.PLACE, Role.MAIN_USER): HoldState.PLACED,
    (HoldState.PROPOSED, HoldAct.RELEASE, Role.MAIN_USER): HoldState.DECLINED,
    (HoldState.PLACED, HoldAct.PLACE, Role.MAIN_USER): HoldState.PLACED,
    (HoldState.PLACED, HoldAct.RELEASE, Role.MAIN_USER): HoldState.ENDED,
    (HoldState.PLACED, HoldAct.END, None): HoldState.ENDED,
}
UNTIL_MAX: Final = timedelta(days=5 * 365)
"""A hold is looked at again by then at the latest."""
UNPROVEN_MAX: Final = timedelta(days=30)
"""Who somebody is can be shown soon, or not at all."""
EVIDENCE_CHARS_MAX: Final = 200
TEXT_CHARS_MAX: Final = 2_000
HOLDS_MAX: Final = 50
"""Of one driver, whatever became of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why something is held, and how long."""

    ground: Ground
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    hold_id: UUID
    driver_id: UUID
    request_id: UUID | None
    """Of the request whose refusal it is part of."""
    category: HeldCategory
    state: HoldState
    ground: Ground | None
    until: datetime | None
    asked_by: Role
    asked_at: datetime
    evidence_sealed: bytes | None = field(default=None, repr=False)
    placed_at: datetime | None = None
    ended_at: datetime | None = None
    ended_by: Role | None = None
    """None, of what has ended: its date."""

    def keeps(self, now: datetime) -> bool:
        """Tell whether it keeps its category just now."""
        return self.state is HoldState.PLACED and self.until is not None and self.until > now


class HoldMissing(NotFound):
    slug = "hold-not-found"
    title = "No such hold"


class HoldActRefused(Conflict):
    slug = "hold-act-refused"
    title = "The hold cannot change that way"

    def __init__(self, state: HoldState | None, act: HoldAct, role: Role | None) -> None:
        who = "the clock" if role is None else f"a {role.replace('_', ' ')}"
        what = "not asked for" if state is None else state.value
        super().__init__(f"A hold that is {what} does not let {who} {act}.")


class HoldIncomplete(Invalid):
    slug = "hold-incomplete"
    title = "A hold needs a ground and a date"

    def __init__(self) -> None:
        super().__init__(
            f"A main user names a ground and until when: at most {UNTIL_MAX.days} days ahead, of "
            f"an identity not proven at most {UNPROVEN_MAX.days}. Who only asks names neither."
        )


class HoldsTooMany(Conflict):
    slug = "holds-too-many"
    title = "There are too many holds of this driver"


class HoldTooLate(Conflict):
    slug = "hold-too-late"
    title = "It is being erased already"


def next_state(state: HoldState | None, act: HoldAct, role: Role | None) -> HoldState:
    """Return what the hold becomes.

    Raises
    ------
    HoldActRefused
    """
    try:
        return TRANSITIONS[state, act, role]
    except KeyError:
        raise HoldActRefused(state, act, role) from None


def refuse_reason(reason: Reason, now: datetime) -> None:
    """Hold a reason to a date ahead that is not too far.

    Raises
    ------
    HoldIncomplete
    """
    longest = UNPROVEN_MAX if reason.ground is Ground.IDENTITY_NOT_PROVEN else UNTIL_MAX
    if not now < reason.until <= now + longest:
        raise HoldIncomplete
