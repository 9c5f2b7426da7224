from datetime import timedelta

import pytest

from server.kit.ids import uuid7
from server.rekeying.model import SETTLES, Rekeying, Waiting, is_due, is_settled
from tests.world import NOW

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("destroyed", "since", "due"),
    [
        (0, timedelta(0), False),
        (1, HOUR - MINUTE, False),
        (1, HOUR, True),
        (0, HOUR, False),
        (0, 24 * HOUR - MINUTE, False),
        (0, 24 * HOUR, True),
    ],
)
def test_it_begins_when_somebody_was_erased_but_not_too_often_and_daily_in_any_case(
    destroyed: int,
    since: timedelta,
    due: bool,  # noqa: FBT001 - what is expected
) -> None:
    last = Rekeying(rekeying_id=uuid7(), begun_at=NOW - since)
    waiting = Waiting(destroyed=destroyed, last=last, opened_at=NOW - 1_000 * HOUR)

    assert is_due(waiting, every=HOUR, now=NOW) is due


@pytest.mark.parametrize(
    ("destroyed", "since", "due"),
    [(1, MINUTE, True), (0, 24 * HOUR - MINUTE, False), (0, 24 * HOUR, True)],
)
def test_the_first_begins_when_somebody_was_erased_or_a_day_after_the_keys_were_made(
    destroyed: int,
    since: timedelta,
    due: bool,  # noqa: FBT001 - what is expected
) -> None:
    waiting = Waiting(destroyed=destroyed, last=None, opened_at=NOW - since)

    assert is_due(waiting, every=HOUR, now=NOW) is due


def test_a_clock_that_was_set_back_does_not_put_it_off() -> None:
    last = Rekeying(rekeying_id=uuid7(), begun_at=NOW + 1_000 * HOUR)
    waiting = Waiting(destroyed=0, last=last, opened_at=NOW)

    assert is_due(waiting, every=HOUR, now=NOW)


@pytest.mark.parametrize(
    ("since", "settled"),
    [(timedelta(0), False), (MINUTE, False), (SETTLES, True), (-MINUTE, False), (-HOUR, True)],
)
def test_a_new_pepper_is_known_after_two_minutes_and_a_clock_set_back_is_not_waited_for(
    since: timedelta,
    settled: bool,  # noqa: FBT001 - what is expected
) -> None:
    current = Rekeying(rekeying_id=uuid7(), begun_at=NOW - since)

    assert is_settled(current, NOW) is settled
