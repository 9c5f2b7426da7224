from datetime import datetime, timedelta

import pytest

from server.controllers.model import (
    ChangeState,
    ControllerChange,
    ControllerChangeEarly,
    ControllerNoticeTooShort,
    refuse_early,
    refuse_short_notice,
)
from server.kit.ids import uuid7
from tests.controllers.acts import DUE, JUST_BEFORE, TO
from tests.world import NOW

SECOND = timedelta(seconds=1)


def change(**more: datetime) -> ControllerChange:
    fixed = {"noticed_at": NOW, "effective_at": DUE}
    return ControllerChange(change_id=uuid7(), to=TO, **{**fixed, **more})


def test_thirty_days_are_720_hours_and_not_a_minute_less() -> None:
    refuse_short_notice(DUE, NOW)
    refuse_short_notice(NOW + timedelta(hours=720), NOW)
    for early in (JUST_BEFORE, DUE - timedelta(microseconds=1), NOW, NOW - timedelta(days=1)):
        with pytest.raises(ControllerNoticeTooShort):
            refuse_short_notice(early, NOW)


@pytest.mark.parametrize(
    ("told_at", "now"),
    [
        (NOW, JUST_BEFORE),
        (NOW, NOW),
        (None, DUE),
        (NOW + SECOND, DUE),
        (DUE, DUE + timedelta(days=29)),
    ],
)
def test_it_is_not_carried_out_before_its_day_or_without_thirty_days_of_notice(
    told_at: datetime | None, now: datetime
) -> None:
    with pytest.raises(ControllerChangeEarly):
        refuse_early(change(), told_at, now)


def test_it_is_carried_out_on_its_day_and_after_it() -> None:
    refuse_early(change(), NOW, DUE)
    refuse_early(change(), NOW, DUE + timedelta(days=400))


def test_it_is_open_until_it_is_cancelled_or_its_time_has_come() -> None:
    assert change().is_open(JUST_BEFORE)
    assert not change().is_open(DUE)
    assert not change(cancelled_at=NOW).is_open(NOW)
    assert change(cancelled_at=NOW).state is ChangeState.CANCELLED
    assert change().state is ChangeState.ANNOUNCED
    assert change(applied_at=DUE).state is ChangeState.IN_EFFECT
