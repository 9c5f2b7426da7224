from datetime import timedelta

import pytest

from server.gate.model import Gate, Purpose, Window
from server.kit.ids import uuid7
from tests.world import CONSENTED, NOW


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

    assert gate(location_since=later).since(Purpose.PLAN_FACT) == later
    assert gate(plan_fact_since=later).since(Purpose.PLAN_FACT) == later
    assert gate(plan_fact_since=later).since(Purpose.DISPATCH_TRACKING) == CONSENTED
    assert gate(dispatch_since=None).since(Purpose.DISPATCH_TRACKING) is None
    assert gate(location_since=None).since(Purpose.PLAN_FACT) is None
    assert gate(account_active=False).since(Purpose.PLAN_FACT) is None


def test_a_window_ends_just_before_its_end() -> None:
    window = Window(opened_at=CONSENTED, end=NOW)

    assert window.contains(CONSENTED)
    assert window.contains(NOW - timedelta(microseconds=1))
    assert not window.contains(NOW)
    assert not window.contains(CONSENTED - timedelta(microseconds=1))
