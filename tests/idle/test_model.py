from datetime import timedelta

import pytest

from server.credentials.model import MemberState
from server.idle.model import Step, Unused
from server.kit.ids import uuid7
from tests.world import NOW

DAY = timedelta(days=1)


def unused(days: float, *, warned_days: float | None = None, state: str = "active") -> Unused:
    return Unused(
        member_id=uuid7(),
        state=MemberState(state),
        used_at=NOW - days * DAY,
        warned_at=None if warned_days is None else NOW - warned_days * DAY,
    )


@pytest.mark.parametrize(
    ("account", "step"),
    [
        (unused(0), None),
        (unused(334.9), None),
        (unused(335), Step.WARN_EARLY),
        (unused(357.9), Step.WARN_EARLY),
        (unused(358), Step.WARN_LAST),
        (unused(364.9, warned_days=6.9), None),
        (unused(365, warned_days=7), Step.SWITCH_OFF),
        # Warned late, because the job did not run: the week is theirs all the same.
        (unused(4_000), Step.WARN_LAST),
        (unused(4_000, warned_days=6.9), None),
        (unused(4_000, warned_days=7), Step.SWITCH_OFF),
        # A warning from before the last use counts for nothing.
        (unused(20, warned_days=30), None),
        (unused(360, warned_days=400), Step.WARN_LAST),
        (unused(22.9, state="invited"), None),
        (unused(23, state="invited"), Step.WARN_LAST),
        (unused(30, warned_days=7, state="invited"), Step.SWITCH_OFF),
    ],
)
def test_what_is_due_of_an_account(account: Unused, step: Step | None) -> None:
    assert account.step(365, NOW) is step
