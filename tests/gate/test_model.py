from datetime import datetime, timedelta

import pytest

from server.gate.model import Gate, Purpose, Window
from server.kit.ids import uuid7
from tests.world import CONSENTED, NOW

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


def gate(**changes: object) -> Gate:
    values: dict[str, object] = {
        "company_id": uuid7(),
        "driver_id": uuid7(),
        "account_active": True,
        "location_since": CONSENTED,
        "dispatch_since": CONSENTED,
        "plan_fact_since": CONSENTED,
        "epoch": 4,
        "rev": 1,
        "credential_epoch": 0,
        "key_epoch": 0,
        "closing": False,
    }
    return Gate(**(values | changes))  # type: ignore[arg-type]  # names are the point here


@pytest.mark.parametrize(
    ("changes", "is_open"),
    [
        ({}, True),
        ({"dispatch_since": None}, True),
        ({"plan_fact_since": None}, True),
        ({"dispatch_since": None, "plan_fact_since": None}, False),
        ({"location_since": None}, False),
        ({"account_active": False}, False),
        ({"closing": True}, False),
    ],
)
def test_the_gate_is_open_only_with_account_location_and_a_purpose(
    changes: dict[str, object], *, is_open: bool
) -> None:
    assert gate(**changes).is_open is is_open


def test_a_purpose_covers_what_came_after_both_its_consents() -> None:
    later = CONSENTED + timedelta(minutes=5)

    assert gate(location_since=later).since(Purpose.PLAN_FACT, NOW) == later
    assert gate(plan_fact_since=later).since(Purpose.PLAN_FACT, NOW) == later
    assert gate(plan_fact_since=later).since(Purpose.DISPATCH_TRACKING, NOW) == CONSENTED
    assert gate(dispatch_since=None).since(Purpose.DISPATCH_TRACKING, NOW) is None
    assert gate(location_since=None).since(Purpose.PLAN_FACT, NOW) is None
    assert gate(account_active=False).since(Purpose.PLAN_FACT, NOW) is None


@pytest.mark.parametrize(
    ("location", "dispatch", "plan_fact", "expected"),
    [
        (None, 1, 1, 1),
        (3, 1, 2, 2),
        (1, 2, 3, 1),
        (3, None, 2, 3),
        (None, None, None, None),
    ],
)
def test_the_gate_closes_by_itself_with_location_or_the_last_purpose(
    location: int | None, dispatch: int | None, plan_fact: int | None, expected: int | None
) -> None:
    """By the days after which each runs out; None: it does not."""

    def day(number: int | None) -> datetime | None:
        return None if number is None else NOW + timedelta(days=number)

    ends = {
        "location_until": day(location),
        "dispatch_until": day(dispatch),
        "plan_fact_until": day(plan_fact),
    }

    assert gate(**ends).consented_until == day(expected)
    assert gate(**ends, location_since=None).consented_until is None
    assert gate(**ends, dispatch_since=None).consented_until == gate(**ends).until(
        Purpose.PLAN_FACT
    )


def test_each_purpose_ends_with_its_own_consent_or_with_that_to_location() -> None:
    found = gate(location_until=NOW + 2 * DAY, plan_fact_until=NOW + DAY)

    assert found.since(Purpose.PLAN_FACT, NOW + DAY - SECOND) == CONSENTED
    assert found.since(Purpose.PLAN_FACT, NOW + DAY) is None
    assert found.since(Purpose.DISPATCH_TRACKING, NOW + 2 * DAY - SECOND) == CONSENTED
    assert found.since(Purpose.DISPATCH_TRACKING, NOW + 2 * DAY) is None


def test_a_window_ends_just_before_its_end() -> None:
    window = Window(opened_at=CONSENTED, end=NOW)

    assert window.contains(CONSENTED)
    assert window.contains(NOW - timedelta(microseconds=1))
    assert not window.contains(NOW)
    assert not window.contains(CONSENTED - timedelta(microseconds=1))
