"""How the time of the schemathesis proof is shared out."""

from time import monotonic

import pytest

from tests.api.pace import EXAMPLES_MIN, PLANNED_S, Pace

TURNS = 100
EXAMPLES = 150


def after(seconds: float, *, turns_done: int, case_s: float) -> Pace:
    """Return a run that is so old, in which each generated case took so long, and covering 1 s."""
    pace = Pace(turns=TURNS, examples_max=EXAMPLES)
    pace._began_s = monotonic() - seconds  # noqa: SLF001 - as if it had begun then
    for _ in range(turns_done):
        pace.covered(1.0)
        pace.turn_done(EXAMPLES, EXAMPLES * case_s)
    return pace


def test_with_time_enough_each_turn_gets_all() -> None:
    assert after(40, turns_done=10, case_s=0.02).examples() == EXAMPLES


def test_on_a_slow_machine_the_rest_gets_what_fits_the_plan() -> None:
    pace = after(70, turns_done=10, case_s=0.04)

    found = pace.examples()

    assert EXAMPLES_MIN <= found < EXAMPLES
    assert 70 + (TURNS - 10) * (1.0 + found * 0.04) == pytest.approx(PLANNED_S, abs=5)
    assert pace.fewest == found


def test_no_turn_gets_fewer_than_the_floor() -> None:
    assert after(500, turns_done=10, case_s=0.3).examples() == EXAMPLES_MIN


def test_a_run_that_is_cut_off_never_says_that_it_finished() -> None:
    pace = after(601, turns_done=TURNS - 1, case_s=0.04)

    assert pace.is_over
    assert pace.turns_left == 1
    assert pace.told().startswith("NOT FINISHED")


def test_control_one_that_came_to_its_end_says_so() -> None:
    pace = after(300, turns_done=TURNS, case_s=0.02)

    assert not pace.is_over
    assert pace.told().startswith("Finished after 300 s")
