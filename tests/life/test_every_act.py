"""Each act of each role on an account in each state, through the door that there is for it."""

from collections.abc import AsyncIterator
from itertools import product
from typing import Final

import pytest

from server.credentials.model import MemberState
from server.erasure.web import ENDPOINTS as ERASURE
from server.erasure_decisions.web import ENDPOINTS as ERASURE_DECISIONS
from server.life.web import ENDPOINTS as LIFE
from server.log_in.web import logging_in
from server.standing.model import (
    ERASABLE,
    MOVES,
    TRANSITIONS,
    Act,
    BlockReason,
    By,
    next_state,
)
from tests.endpoints import ACCOUNTS, ATTESTATIONS, CONSENT
from tests.http import serve
from tests.life.doors import DOORS, Stage
from tests.world import World

# These doors need something first, a code say, and compare by themselves; or, after a restore,
# write down what they leave as it is.
COMPARED_BY_DOOR: Final = {(Act.JOIN, By.PERSON), (Act.OFFBOARD, By.OPERATOR)}
STATES: Final[tuple[MemberState | None, ...]] = (None, *MemberState)


@pytest.fixture
async def stage(world: World) -> AsyncIterator[Stage]:
    async with serve(
        world,
        ACCOUNTS,
        ATTESTATIONS,
        CONSENT,
        ERASURE,
        ERASURE_DECISIONS,
        LIFE,
        prepare=lambda app: app.cleanup_ctx.append(logging_in),
    ) as client:
        yield await Stage.make(world, client)


def test_what_the_table_lets_has_a_door_and_nobody_else_has_one() -> None:
    """What has no door, nobody can try: the table must not say that they may."""
    assert {(act, by) for _, act, by in TRANSITIONS} <= DOORS.keys()


@pytest.mark.proves("relog-driver-manager-apps:1.4-operations")
@pytest.mark.parametrize(("act", "by"), list(DOORS), ids="-".join)
async def test_an_act_leads_where_the_table_says_and_is_refused_otherwise(
    stage: Stage, act: Act, by: By
) -> None:
    for state in STATES:
        await stage.put(state, act, by)
        before = await stage.digest()
        allowed = (state, act, by) in TRANSITIONS

        let = await DOORS[act, by](stage)

        assert let is allowed, state
        after = TRANSITIONS.get((state, act, by), state)
        if act is Act.INVITE and allowed:
            newest = "SELECT state FROM member ORDER BY member_id DESC LIMIT 1"
            assert await stage.world.owner.fetchval(newest) == after
        elif allowed:
            assert await stage.state() == (after or "active"), state
        elif by is not By.SERVER and (act, by) not in COMPARED_BY_DOOR:
            assert await stage.digest() == before, state


def test_only_those_who_act_for_themselves_come_out_of_what_others_did() -> None:
    """Read the table as sentences of the design."""
    assert {by for _, act, by in TRANSITIONS if act is Act.BEGIN_ERASING} == {By.SERVER}
    assert {by for _, act, by in TRANSITIONS if act is Act.JOIN} == {By.PERSON}
    erases = {Act.ASK_ERASURE, Act.APPROVE_ERASURE, Act.BEGIN_ERASING}
    assert By.OPERATOR not in {by for _, act, by in TRANSITIONS if act in erases}
    assert By.API_TOKEN not in {by for _, act, by in TRANSITIONS if act in erases}
    assert not any(state is MemberState.ERASING for state, _, _ in TRANSITIONS)
    asks = {state for state, act, by in TRANSITIONS if (act, by) == (Act.ASK_ERASURE, By.PERSON)}
    assert asks == ERASABLE


def test_the_moves_are_those_of_the_table() -> None:
    expected = set()
    for state, act, by in product(MemberState, Act, By):
        after = TRANSITIONS.get((state, act, by), state)
        expected |= {(state, one) for one in (ERASABLE if after is None else {after})}
    assert {pair for pair in MOVES if pair[0] is not pair[1]} == {
        pair for pair in expected if pair[0] is not pair[1]
    }


def test_an_act_of_the_account_itself_never_reads_as_undone() -> None:
    for state, act, by in TRANSITIONS:
        if state is not None and act is not Act.CALL_OFF_ERASURE:
            assert next_state(state, act, by) == TRANSITIONS[state, act, by]
    assert {one.value for one in BlockReason} >= {"own_wish", "idle", "legal_order"}
