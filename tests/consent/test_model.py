"""The table of consents, and what is in force."""

from itertools import product

import pytest

from server.consent.model import (
    CONSENT_TRANSITIONS,
    WHO_MAY,
    ConsentAct,
    ConsentActionRefused,
    ConsentActor,
    ConsentState,
    next_consent,
)

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
