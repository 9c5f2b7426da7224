from itertools import product
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.clarifications.model import (
    FIRST,
    OPEN_MAX,
    TRANSITIONS,
    ClarificationAct,
    ClarificationActRefused,
    ClarificationBlank,
    ClarificationState,
    Place,
    free_slot,
    next_state,
    place_of,
    refuse_blank,
)
from server.kit.cursors import CursorInvalid, cursor_of


@pytest.mark.parametrize(("state", "act"), list(product(ClarificationState, ClarificationAct)))
def test_what_is_not_in_the_table_is_refused(
    state: ClarificationState, act: ClarificationAct
) -> None:
    if (state, act) in TRANSITIONS:
        assert next_state(state, act) is TRANSITIONS[state, act]
    else:
        with pytest.raises(ClarificationActRefused):
            next_state(state, act)


def test_nothing_leads_away_from_an_answer() -> None:
    assert not [state for state, _ in TRANSITIONS if state is ClarificationState.ANSWERED]


@given(st.sets(st.integers(1, OPEN_MAX)))
def test_a_free_slot_is_one_that_nobody_has_until_there_is_none(taken: set[int]) -> None:
    slot = free_slot(taken)

    if slot is None:
        assert len(taken) == OPEN_MAX
    else:
        assert slot not in taken
        assert 1 <= slot <= OPEN_MAX


@given(st.booleans(), st.uuids())
def test_a_cursor_leads_back_to_its_place(closed: bool, clarification_id: UUID) -> None:  # noqa: FBT001 - drawn
    place = Place(closed=closed, clarification_id=clarification_id)

    assert place_of(place.cursor()) == place


def test_without_a_cursor_it_begins_before_the_first_open_question() -> None:
    assert place_of(None) == FIRST


@pytest.mark.parametrize(
    "cursor", ["", "x", "?", cursor_of(UUID(int=7)), "A" * 24, "Ag" + "A" * 21]
)
def test_a_cursor_of_another_list_is_refused(cursor: str) -> None:
    with pytest.raises(CursorInvalid):
        place_of(cursor)


@pytest.mark.parametrize("text", ["", " ", "\n \n", "\u00a0"])
def test_spaces_alone_say_nothing(text: str) -> None:
    with pytest.raises(ClarificationBlank):
        refuse_blank(text)
