"""The table of consents, and what is in force."""

from datetime import datetime, timedelta
from itertools import product

import pytest

from server.consent.model import (
    CONSENT_TRANSITIONS,
    WHO_MAY,
    Consent,
    ConsentAct,
    ConsentActionRefused,
    ConsentActor,
    ConsentCell,
    ConsentItem,
    ConsentState,
    consented_until,
    next_consent,
)
from server.kit.ids import uuid7
from tests.world import NOW

# Written by hand: what the product promises, not what the code says.
TABLE = {
    "not_asked": {"request": "requested", "give": "given", "decline": "declined"},
    "requested": {"request": "requested", "give": "given", "decline": "declined"},
    "given": {
        "withdraw": "withdrawn",
        "expire": "expired",
        "supersede": "superseded",
        "invalidate": "invalidated",
    },
    "declined": {"give": "given"},
    "withdrawn": {"withdraw": "withdrawn", "give": "given"},
    "expired": {"request": "requested", "give": "given", "decline": "declined"},
    "superseded": {"request": "requested", "give": "given", "decline": "declined"},
    "invalidated": {"request": "requested", "give": "given", "decline": "declined"},
}
WHO = {
    "request": {"dispatcher", "main_user", "system"},
    "give": {"driver"},
    "decline": {"driver"},
    "withdraw": {"driver", "erasure"},
    "expire": {"system"},
    "supersede": {"driver", "system"},
    "invalidate": {"driver", "system"},
}


@pytest.mark.parametrize(
    ("state", "act", "actor"), list(product(ConsentState, ConsentAct, ConsentActor))
)
def test_a_consent_changes_as_the_table_says_and_not_otherwise(
    state: ConsentState, act: ConsentAct, actor: ConsentActor
) -> None:
    expected = TABLE[state.value].get(act.value)
    if expected is None or actor.value not in WHO[act.value]:
        with pytest.raises(ConsentActionRefused):
            next_consent(state, act, actor)
    else:
        assert next_consent(state, act, actor) == expected


def test_only_the_driver_leads_to_given() -> None:
    acts = {act for (_, act), to in CONSENT_TRANSITIONS.items() if to is ConsentState.GIVEN}

    assert acts == {ConsentAct.GIVE}
    assert WHO_MAY[ConsentAct.GIVE] == {ConsentActor.DRIVER}


def test_whoever_said_no_is_not_asked_again() -> None:
    for state in (ConsentState.DECLINED, ConsentState.WITHDRAWN):
        assert (state, ConsentAct.REQUEST) not in CONSENT_TRANSITIONS


def test_what_was_given_can_be_withdrawn() -> None:
    assert (ConsentState.GIVEN, ConsentAct.WITHDRAW) in CONSENT_TRANSITIONS


def cell(item: ConsentItem, until: datetime | None) -> ConsentCell:
    """Return a given consent that runs out then, or one that is not given."""
    if until is None:
        return ConsentCell(item=item, decision=None)
    decision = Consent(
        driver_id=uuid7(),
        item=item,
        version=1,
        record_id=uuid7(),
        state=ConsentState.GIVEN,
        actor=ConsentActor.DRIVER,
        epoch=1,
        recorded_at=NOW,
        valid_until=until,
    )
    return ConsentCell(item=item, decision=decision)


@pytest.mark.parametrize(
    ("location", "dispatch", "plan_fact", "expected"),
    [
        (None, 1, 1, None),
        (1, None, None, None),
        (3, 1, 2, 2),
        (1, 2, 3, 1),
        (3, 1, None, 1),
    ],
)
def test_the_gate_closes_by_itself_with_location_or_the_last_purpose(
    location: int | None, dispatch: int | None, plan_fact: int | None, expected: int | None
) -> None:
    def day(number: int | None) -> datetime | None:
        return None if number is None else NOW + timedelta(days=number)

    ends = {
        ConsentItem.LOCATION: day(location),
        ConsentItem.DISPATCH_TRACKING: day(dispatch),
        ConsentItem.PLAN_FACT: day(plan_fact),
        ConsentItem.CUSTOMER_LINK: day(9),
    }
    cells = {item: cell(item, ends.get(item)) for item in ConsentItem}

    assert consented_until(cells) == day(expected)
