"""What a driver agreed to, and their shift. Pure: two tables and the values they work on."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from server.gate.model import GateItem
from server.kit.errors import Conflict


class ConsentState(StrEnum):
    NOT_ASKED = "not_asked"
    GIVEN = "given"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"


class ConsentAct(StrEnum):
    GIVE = "give"
    DECLINE = "decline"
    WITHDRAW = "withdraw"


class ConsentActor(StrEnum):
    """Only the driver decides; a request for erasure is a withdrawal as well."""

    DRIVER = "driver"
    ERASURE = "erasure"


# A pair that is absent is refused. One that leads nowhere is done already: a stop that is sent
# again, because its answer was lost, must not look failed; nothing more is recorded.
CONSENT_TRANSITIONS: Final[Mapping[tuple[ConsentState, ConsentAct], ConsentState]] = {
    (ConsentState.NOT_ASKED, ConsentAct.GIVE): ConsentState.GIVEN,
    (ConsentState.NOT_ASKED, ConsentAct.DECLINE): ConsentState.DECLINED,
    (ConsentState.DECLINED, ConsentAct.GIVE): ConsentState.GIVEN,
    (ConsentState.GIVEN, ConsentAct.WITHDRAW): ConsentState.WITHDRAWN,
    (ConsentState.WITHDRAWN, ConsentAct.WITHDRAW): ConsentState.WITHDRAWN,
    (ConsentState.WITHDRAWN, ConsentAct.GIVE): ConsentState.GIVEN,
}


class ShiftState(StrEnum):
    OFF = "off"
    ON = "on"
    PAUSED = "paused"


class ShiftAct(StrEnum):
    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    END = "end"


class ShiftEnd(StrEnum):
    """Who or what ended a shift."""

    DRIVER = "driver"
    DISPATCHER = "dispatcher"
    MAIN_USER = "main_user"
    FORGOTTEN = "forgotten"
    WITHDRAWAL = "withdrawal"
    BLOCK = "block"
    ERASURE = "erasure"


# As above: absent is refused, and what leads nowhere is a stop that is done already.
SHIFT_TRANSITIONS: Final[Mapping[tuple[ShiftState, ShiftAct], ShiftState]] = {
    (ShiftState.OFF, ShiftAct.START): ShiftState.ON,
    (ShiftState.OFF, ShiftAct.END): ShiftState.OFF,
    (ShiftState.ON, ShiftAct.PAUSE): ShiftState.PAUSED,
    (ShiftState.ON, ShiftAct.END): ShiftState.OFF,
    (ShiftState.PAUSED, ShiftAct.PAUSE): ShiftState.PAUSED,
    (ShiftState.PAUSED, ShiftAct.RESUME): ShiftState.ON,
    (ShiftState.PAUSED, ShiftAct.END): ShiftState.OFF,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """One decision, as recorded; the highest version of an item is in force."""

    driver_id: UUID
    item: GateItem
    version: int
    state: ConsentState
    actor: ConsentActor
    epoch: int
    recorded_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentCell:
    """What is in force for one item."""

    item: GateItem
    decision: Consent | None

    @property
    def state(self) -> ConsentState:
        return ConsentState.NOT_ASKED if self.decision is None else self.decision.state

    @property
    def changed_at(self) -> datetime | None:
        return None if self.decision is None else self.decision.recorded_at

    @property
    def given_at(self) -> datetime | None:
        """Since when it is given; None when it is not given now."""
        return self.changed_at if self.state is ConsentState.GIVEN else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Consents:
    """A driver's three cells and what comes of them."""

    items: tuple[ConsentCell, ...]
    epoch: int
    gate_open: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """A shift that nobody has ended. Past ``ends_by`` it is over all the same."""

    driver_id: UUID
    shift_id: UUID
    started_at: datetime
    ends_by: datetime
    paused_at: datetime | None

    def state(self, now: datetime) -> ShiftState:
        if self.ends_by <= now:
            return ShiftState.OFF
        return ShiftState.ON if self.paused_at is None else ShiftState.PAUSED


def shift_state(shift: Shift | None, now: datetime) -> ShiftState:
    return ShiftState.OFF if shift is None else shift.state(now)


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverStates:
    """What others see of a driver's consents and shift."""

    consents: Mapping[GateItem, ConsentState]
    shift: Shift | None

    def shift_state(self, now: datetime) -> ShiftState:
        return shift_state(self.shift, now)


class ConsentActionRefused(Conflict):
    slug = "consent-action-refused"
    title = "Consent cannot change that way"

    def __init__(self, state: ConsentState, act: ConsentAct) -> None:
        super().__init__(f"Cannot {act} a consent that is {_words(state)}.")


class ConsentChangedMeanwhile(Conflict):
    slug = "consent-changed-meanwhile"
    title = "The consent was changed by another request just now"


class ConsentNeeded(Conflict):
    slug = "consent-needed"
    title = "The driver's consent is needed first"

    def __init__(self) -> None:
        super().__init__(
            "A shift records positions: give location and at least one of dispatch_tracking "
            "and plan_fact first."
        )


class AccountNotActive(Conflict):
    slug = "account-not-active"
    title = "The account is not active"

    def __init__(self) -> None:
        super().__init__("It is blocked, or its erasure was asked for.")


class ShiftActRefused(Conflict):
    slug = "shift-act-refused"
    title = "The shift cannot change that way"

    def __init__(self, state: ShiftState, act: ShiftAct) -> None:
        super().__init__(f"Cannot {act} a shift that is {state}.")


class ShiftRunning(Conflict):
    slug = "shift-running"
    title = "A shift is running already"


def next_consent(state: ConsentState, act: ConsentAct) -> ConsentState:
    """Return what the consent becomes.

    Raises
    ------
    ConsentActionRefused
    """
    try:
        return CONSENT_TRANSITIONS[state, act]
    except KeyError:
        raise ConsentActionRefused(state, act) from None


def next_shift(state: ShiftState, act: ShiftAct) -> ShiftState:
    """Return what the shift becomes.

    Raises
    ------
    ShiftActRefused
    """
    try:
        return SHIFT_TRANSITIONS[state, act]
    except KeyError:
        raise ShiftActRefused(state, act) from None


def _words(state: ConsentState) -> str:
    return state.value.replace("_", " ")
