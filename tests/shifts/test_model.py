"""The shift as a table, and when a window is open because of it."""

from datetime import timedelta
from itertools import product

import pytest

from server.kit.ids import uuid7
from server.shifts.model import (
    SHIFT_TRANSITIONS,
    Shift,
    ShiftAct,
    ShiftActRefused,
    ShiftState,
    next_shift,
    shift_state,
)
from tests.world import NOW

SHIFT_TABLE = {
    ("off", "start"): "on",
    ("off", "end"): "off",
    ("on", "pause"): "paused",
    ("on", "end"): "off",
    ("paused", "pause"): "paused",
    ("paused", "resume"): "on",
    ("paused", "end"): "off",
}


@pytest.mark.parametrize(("state", "act"), list(product(ShiftState, ShiftAct)))
def test_a_shift_changes_as_the_table_says_and_not_otherwise(
    state: ShiftState, act: ShiftAct
) -> None:
    expected = SHIFT_TABLE.get((state.value, act.value))
    if expected is None:
        with pytest.raises(ShiftActRefused):
            next_shift(state, act)
    else:
        assert next_shift(state, act) == expected


def test_only_start_and_resume_lead_to_on() -> None:
    assert {act for (_, act), to in SHIFT_TRANSITIONS.items() if to is ShiftState.ON} == {
        ShiftAct.START,
        ShiftAct.RESUME,
    }


def test_a_running_shift_can_be_ended() -> None:
    assert all((state, ShiftAct.END) in SHIFT_TRANSITIONS for state in ShiftState)


def test_a_shift_is_over_at_its_end_though_nobody_ended_it() -> None:
    shift = Shift(
        driver_id=uuid7(),
        shift_id=uuid7(),
        started_at=NOW,
        ends_by=NOW + timedelta(hours=14),
        paused_at=None,
    )

    assert shift.state(NOW) is ShiftState.ON
    assert shift.state(NOW + timedelta(hours=13, minutes=59)) is ShiftState.ON
    assert shift.state(NOW + timedelta(hours=14)) is ShiftState.OFF
    assert shift_state(None, NOW) is ShiftState.OFF
