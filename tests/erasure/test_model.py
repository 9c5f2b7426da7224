from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest

from server.credentials.model import Role
from server.erasure.model import (
    TRANSITIONS,
    Act,
    ErasureActRefused,
    ErasureNotYours,
    Request,
    State,
    Step,
    StepDone,
    next_state,
    refuse_cancel,
    waiting_for,
)
from server.kit.ids import uuid7
from tests.world import NOW

STATES: tuple[State | None, ...] = (None, *State)
ROLES: tuple[Role | None, ...] = (None, *Role)

ALLOWED = {
    (None, "ask", "driver"): "open",
    (None, "ask", "dispatcher"): "grace",
    (None, "ask", "main_user"): "grace",
    ("open", "approve", "dispatcher"): "grace",
    ("open", "approve", "main_user"): "grace",
    ("open", "refuse", "dispatcher"): "refused",
    ("open", "refuse", "main_user"): "refused",
    ("open", "cancel", "driver"): "cancelled",
    (None, "propose", "dispatcher"): "open",
    (None, "propose", "main_user"): "open",
    ("open", "refuse_in_part", "dispatcher"): "grace",
    ("open", "refuse_in_part", "main_user"): "grace",
    ("refused", "refuse_in_part", "main_user"): "grace",
    ("refused", "cancel", "driver"): "cancelled",
    ("refused", "rerun", None): "grace",
    ("open", "lapse", None): "grace",
    (None, "close", None): "grace",
    ("open", "drop", None): "cancelled",
    ("refused", "approve", "main_user"): "grace",
    ("grace", "refuse", "main_user"): "refused",
    ("grace", "cancel", "driver"): "cancelled",
    ("grace", "cancel", "dispatcher"): "cancelled",
    ("grace", "cancel", "main_user"): "cancelled",
    ("grace", "waive", "driver"): "erasing",
    ("grace", "begin", None): "erasing",
    ("erasing", "hold", None): "held",
    ("held", "begin", None): "erasing",
    ("erasing", "finish", None): "erased",
}


@pytest.mark.parametrize(("state", "act", "role"), list(product(STATES, Act, ROLES)))
def test_an_erasure_changes_as_the_table_says_and_not_otherwise(
    state: State | None, act: Act, role: Role | None
) -> None:
    expected = ALLOWED.get((state and state.value, act.value, role and role.value))
    if expected is None:
        with pytest.raises(ErasureActRefused):
            next_state(state, act, role)
    else:
        assert next_state(state, act, role) == expected


def test_nobody_begins_or_finishes_but_the_job_and_what_is_erased_stays_so() -> None:
    alone = {Act.BEGIN, Act.HOLD, Act.FINISH, Act.LAPSE, Act.DROP, Act.RERUN, Act.CLOSE}
    assert {role for (_, act, role) in TRANSITIONS if act in alone} == {None}
    assert {act for (_, act, role) in TRANSITIONS if role is None} == alone
    assert not any(state in {State.ERASED, State.CANCELLED} for (state, _, _) in TRANSITIONS)
    assert {act for (state, act, _) in TRANSITIONS if state is State.ERASING} == {
        Act.HOLD,
        Act.FINISH,
    }
    assert {act for (state, act, _) in TRANSITIONS if state is State.HELD} == {Act.BEGIN}


@pytest.mark.parametrize(("by", "requested_by"), list(product(Role, Role)))
def test_only_who_asked_calls_off_and_the_main_user_whatever_was_asked(
    by: Role, requested_by: Role
) -> None:
    if by is requested_by or by is Role.MAIN_USER:
        refuse_cancel(by, requested_by)
    else:
        with pytest.raises(ErasureNotYours):
            refuse_cancel(by, requested_by)


ERASING = Request(
    request_id=uuid7(),
    driver_id=uuid7(),
    state=State.ERASING,
    requested_by=Role.DISPATCHER,
    reason=None,
    requested_at=NOW - timedelta(days=7),
    grace_until=NOW,
)
STUCK = NOW + timedelta(hours=1, seconds=1)


@pytest.mark.parametrize(
    ("done", "to_be_repeated", "told"),
    [
        ([], [], Step.CLOSE_GATE),
        ([Step.CLOSE_GATE], [], Step.END_SESSIONS),
        # A search that finds rows opens the steps that erase: it is the search that is stuck.
        (list(Step)[:3], list(Step)[3:-3], Step.SEARCH),
        ([*list(Step)[:3], *list(Step)[-3:-1]], list(Step)[3:-3], Step.VERIFY),
    ],
)
def test_a_stuck_erasure_waits_for_the_step_that_was_never_done(
    done: list[Step], to_be_repeated: list[Step], told: Step
) -> None:
    steps = [
        *(StepDone(request_id=uuid7(), step=one, rows=0, done_at=NOW) for one in done),
        *(StepDone(request_id=uuid7(), step=one, rows=0, done_at=None) for one in to_be_repeated),
    ]

    assert waiting_for(ERASING, steps, STUCK) is told
    assert waiting_for(ERASING, steps, NOW + timedelta(hours=1)) is None


@pytest.mark.parametrize("state", [one for one in State if one is not State.ERASING])
def test_what_is_not_being_erased_is_not_stuck(state: State) -> None:
    assert waiting_for(replace(ERASING, state=state), [], STUCK) is None
