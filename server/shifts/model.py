"""A driver's shift. Pure: its table, and when positions may be recorded because of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from server.gate.model import Gate
from server.kit.errors import Conflict


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
    CONSENT_ENDED = "consent_ended"
    """By itself or by others: it ran out, say, or an edition or another controller ended it."""
    BLOCK = "block"
    ERASURE = "erasure"
    OPERATOR = "operator"
    """A backup was restored: whether the shift went on after it, nobody knows."""


# After these nothing may be recorded, whatever the driver consented to before.
STOPPING_ENDS: Final = frozenset(
    {
        ShiftEnd.WITHDRAWAL,
        ShiftEnd.CONSENT_ENDED,
        ShiftEnd.BLOCK,
        ShiftEnd.ERASURE,
        ShiftEnd.OPERATOR,
    }
)

# A pair that is absent is refused. One that leads nowhere is done already: a stop that is sent
# again, because its answer was lost, must not look failed; nothing more is recorded.
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


def recording_until(gate: Gate, shift: Shift | None, now: datetime) -> datetime | None:
    """Return until when positions may be recorded if nothing else happens; None: not now.

    On shift it is the shift's end, with the scope ``always`` the end of the consents; what the
    driver, their phone or a block stopped holds in both.
    """
    state = shift_state(shift, now)
    if not gate.account_active or not gate.is_consented or state is ShiftState.PAUSED:
        return None
    if gate.stopped:
        return None
    if gate.always:
        return gate.consented_until
    if shift is None or state is ShiftState.OFF:
        return None
    return min(shift.ends_by, gate.consented_until or shift.ends_by)


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
