from datetime import timedelta
from itertools import product

import pytest

from server.credentials.model import Role
from server.holds.model import (
    UNPROVEN_MAX,
    UNTIL_MAX,
    Ground,
    HoldAct,
    HoldActRefused,
    HoldIncomplete,
    HoldState,
    Reason,
    next_state,
    refuse_reason,
)
from tests.world import NOW

STATES: tuple[HoldState | None, ...] = (None, *HoldState)
ROLES: tuple[Role | None, ...] = (None, *Role)
ALLOWED = {
    (None, "ask", "driver"): "wished",
    (None, "ask", "dispatcher"): "proposed",
    (None, "place", "main_user"): "placed",
    (None, "refuse", "dispatcher"): "placed",
    (None, "refuse", "main_user"): "placed",
    ("wished", "place", "main_user"): "placed",
    ("wished", "release", "main_user"): "declined",
    ("proposed", "place", "main_user"): "placed",
    ("proposed", "release", "main_user"): "declined",
    ("placed", "place", "main_user"): "placed",
    ("placed", "release", "main_user"): "ended",
    ("placed", "end", None): "ended",
}
MOMENT = timedelta(seconds=1)


@pytest.mark.parametrize(("state", "act", "role"), list(product(STATES, HoldAct, ROLES)))
def test_a_hold_changes_as_the_table_says_and_not_otherwise(
    state: HoldState | None, act: HoldAct, role: Role | None
) -> None:
    expected = ALLOWED.get((state and state.value, act.value, role and role.value))
    if expected is None:
        with pytest.raises(HoldActRefused):
            next_state(state, act, role)
    else:
        assert next_state(state, act, role) == expected


@pytest.mark.parametrize("ground", Ground)
def test_a_hold_has_a_date_ahead_that_is_not_too_far(ground: Ground) -> None:
    longest = UNPROVEN_MAX if ground is Ground.IDENTITY_NOT_PROVEN else UNTIL_MAX
    for until in (NOW + MOMENT, NOW + longest):
        refuse_reason(Reason(ground=ground, until=until), NOW)
    for until in (NOW, NOW - MOMENT, NOW + longest + MOMENT):
        with pytest.raises(HoldIncomplete):
            refuse_reason(Reason(ground=ground, until=until), NOW)
