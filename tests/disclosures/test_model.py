"""Grounds, evidence and states of disclosures."""

from dataclasses import replace
from datetime import date, timedelta
from itertools import product
from typing import Any

import pytest

from server.credentials.model import Role
from server.disclosures.model import (
    REQUIRED,
    SEAL_DAYS_MAX,
    TRANSITIONS,
    TWO_PERSONS,
    Act,
    Category,
    Claim,
    Disclosure,
    DisclosureAbroad,
    DisclosureActRefused,
    DisclosureEvidenceMissing,
    DisclosureNobodyElse,
    DisclosureReleaserUnfit,
    DisclosureSealInvalid,
    DisclosureSecondPerson,
    DisclosureSpanMissing,
    Evidence,
    Ground,
    NewDisclosure,
    Span,
    State,
    hidden,
    next_state,
    refuse_releaser,
    refuse_unfit,
)
from server.kit.ids import uuid7
from tests.world import NOW

WHOLE = Evidence(
    recipient="Police",
    country="KZ",
    document_number="1",
    document_date=date(2026, 11, 20),
    legal_article="65",
    service="Fuel",
    purpose="Delivery",
    claim=Claim.INVESTIGATION,
    case_id="A-17",
)
NEEDED = frozenset(name for names in REQUIRED.values() for name in names)
SPAN = Span(since=NOW - timedelta(hours=1), until=NOW)
ANY = NewDisclosure(
    driver_id=uuid7(),
    ground=Ground.AUTHORITY,
    categories=(Category.TRACK,),
    span=SPAN,
    sealed_until=None,
    evidence=WHOLE,
    given="The track",
)


ALLOWED = {
    (None, "record", "dispatcher"): "recorded",
    (None, "record", "main_user"): "recorded",
    ("recorded", "release", "dispatcher"): "released",
    ("recorded", "release", "main_user"): "released",
    ("recorded", "refuse", "dispatcher"): "refused",
    ("recorded", "refuse", "main_user"): "refused",
    ("recorded", "cancel", "dispatcher"): "cancelled",
    ("recorded", "cancel", "main_user"): "cancelled",
}


@pytest.mark.parametrize(("state", "act", "role"), list(product((None, *State), Act, Role)))
def test_a_disclosure_changes_as_the_table_says_and_not_otherwise(
    state: State | None, act: Act, role: Role
) -> None:
    expected = ALLOWED.get((state and state.value, act.value, role.value))
    if expected is None:
        with pytest.raises(DisclosureActRefused):
            next_state(state, act, role)
    else:
        assert next_state(state, act, role) == expected


def test_the_table_says_nothing_else() -> None:
    assert {(one and one.value, act.value, role.value) for one, act, role in TRANSITIONS} == set(
        ALLOWED
    )


@pytest.mark.proves("cargotechservice:4.1")
@pytest.mark.parametrize("ground", list(Ground))
def test_each_of_the_six_grounds_requires_its_evidence(ground: Ground) -> None:
    refuse_unfit(replace(ANY, ground=ground), NOW)

    assert len(Ground) == 6
    assert REQUIRED[ground]
    for name in REQUIRED[ground]:
        none: dict[str, Any] = {name: None}
        lacking = replace(WHOLE, **none)
        with pytest.raises(DisclosureEvidenceMissing):
            refuse_unfit(replace(ANY, ground=ground, evidence=lacking), NOW)
    others: dict[str, Any] = dict.fromkeys(NEEDED - REQUIRED[ground])
    refuse_unfit(replace(ANY, ground=ground, evidence=replace(WHOLE, **others)), NOW)


@pytest.mark.proves("gocargo:disclosure-1")
def test_no_ground_is_marketing() -> None:
    assert {one.value for one in Ground} == {
        "consent",
        "functionality",
        "purpose",
        "controller_change",
        "authority",
        "defence_of_rights",
    }


def test_a_track_needs_a_span_and_nothing_else_does() -> None:
    refuse_unfit(replace(ANY, span=None, categories=(Category.IDENTITY,)), NOW)

    with pytest.raises(DisclosureSpanMissing):
        refuse_unfit(replace(ANY, span=None), NOW)


@pytest.mark.proves("relog-driver-manager-apps:1.4-cross-border")
@pytest.mark.parametrize("ground", list(Ground))
def test_a_recipient_abroad_needs_the_persons_consent(ground: Ground) -> None:
    abroad = replace(ANY, ground=ground, evidence=replace(WHOLE, country="DE"))
    if ground is Ground.CONSENT:
        refuse_unfit(abroad, NOW)
    else:
        with pytest.raises(DisclosureAbroad):
            refuse_unfit(abroad, NOW)


def test_only_what_an_authority_demands_is_sealed_and_not_for_longer_than_a_year() -> None:
    longest = NOW + timedelta(days=SEAL_DAYS_MAX)
    refuse_unfit(replace(ANY, sealed_until=longest), NOW)

    for until in (NOW, NOW - timedelta(days=1), longest + timedelta(seconds=1)):
        with pytest.raises(DisclosureSealInvalid):
            refuse_unfit(replace(ANY, sealed_until=until), NOW)
    for ground in set(Ground) - {Ground.AUTHORITY}:
        with pytest.raises(DisclosureSealInvalid):
            refuse_unfit(replace(ANY, ground=ground, sealed_until=longest), NOW)


@pytest.mark.proves("gocargo:disclosure-interests")
@pytest.mark.parametrize("ground", list(Ground))
def test_where_the_person_is_not_asked_two_persons_decide(ground: Ground) -> None:
    first, second = uuid7(), uuid7()
    found = Disclosure(
        disclosure_id=uuid7(),
        driver_id=uuid7(),
        ground=ground,
        state=State.RECORDED,
        categories=(Category.TRACK,),
        span=SPAN,
        sealed_until=None,
        recorded_at=NOW,
        recorded_by=first,
        evidence_sealed=b"",
        given_sealed=b"",
    )
    refuse_releaser(found, second, Role.MAIN_USER, [])
    if ground in TWO_PERSONS:
        with pytest.raises(DisclosureSecondPerson):
            refuse_releaser(found, first, Role.MAIN_USER, [second])
        with pytest.raises(DisclosureNobodyElse):
            refuse_releaser(found, first, Role.MAIN_USER, [])
    else:
        refuse_releaser(found, first, Role.MAIN_USER, [])
    if ground is Ground.DEFENCE_OF_RIGHTS:
        with pytest.raises(DisclosureReleaserUnfit):
            refuse_releaser(found, second, Role.DISPATCHER, [first])
    else:
        refuse_releaser(found, second, Role.DISPATCHER, [])


def test_evidence_reads_as_it_was_written() -> None:
    bare = Evidence(recipient="Полиция", country="KZ")

    assert Evidence.of_text(WHOLE.text()) == WHOLE
    assert Evidence.of_text(bare.text()) == bare


def test_a_sealed_read_is_told_of_only_together_with_an_open_one() -> None:
    by, other = uuid7(), uuid7()
    soon, later = NOW + timedelta(minutes=4), NOW + timedelta(minutes=5)
    sealed = [(NOW, by), (later, by)]

    assert hidden(sealed, []) == [NOW, later]
    assert hidden(sealed, [(soon, by)]) == [later]
    assert hidden(sealed, [(soon, other)]) == [NOW, later]
