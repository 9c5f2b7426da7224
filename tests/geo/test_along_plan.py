"""What was driven along the plan, and the deviations that show in it."""

import numpy as np
import pytest

from geo.along_plan import AlongPlan, along_plan
from geo.clean import Cleaned
from geo.deviation import against_direction, beside_plan, out_of_sequence, skipped
from geo.drive import prepare
from geo.plane import norms
from geo.progress import Line
from geo.types import Floats
from geo.values import DEFAULT
from tests.geo.days import plane_at

PLANE = plane_at()
STEP_S = 5.0
SPEED_MPS = 10.0


def line_of(corners: list[tuple[float, float]]) -> Line:
    line = Line.of(np.array(corners, dtype=np.float64), PLANE)
    assert line is not None
    return line


def way(corners: list[tuple[float, float]], *, step_s: float = STEP_S) -> tuple[Floats, Floats]:
    """Drive through the corners at 10 m/s; return times and positions of the fixes."""
    xy = np.array(corners, dtype=np.float64)
    along_m = np.append(0.0, np.cumsum(norms(np.diff(xy, axis=0))))
    time_s = np.arange(0.0, along_m[-1] / SPEED_MPS + 1e-6, step_s)
    at_m = time_s * SPEED_MPS
    return time_s, np.column_stack([np.interp(at_m, along_m, xy[:, axis]) for axis in (0, 1)])


def held(
    line: Line,
    corners: list[tuple[float, float]],
    *,
    sigma_m: float = 0.0,
    step_s: float = STEP_S,
    lost: tuple[float, float] | None = None,
    interval: bool = False,
) -> AlongPlan:
    """Hold the drive through the corners against the line; ``lost`` is a silence in seconds."""
    time_s, xy = way(corners, step_s=step_s)
    xy = xy + sigma_m * np.random.default_rng(1).normal(size=xy.shape)
    seen = np.ones(len(time_s), dtype=bool)
    part = np.zeros(len(time_s), dtype=np.intp)
    if lost is not None:
        seen = (time_s < lost[0]) | (time_s > lost[1])
        part = (time_s > lost[1]).astype(np.intp) * interval
    driven = prepare(
        Cleaned(
            time_s=time_s[seen],
            xy=xy[seen],
            sigma_m=np.full(int(seen.sum()), max(sigma_m, 5.0)),
            interval=part[seen],
            fixes=len(time_s),
            dropped={},
        ),
        DEFAULT,
    )
    return along_plan(driven, line, norms(np.diff(driven.drive.xy, axis=0)), DEFAULT)


STRAIGHT = line_of([(0, 0), (5_000, 0)])
SPUR = line_of([(0, 0), (2_000, 0), (2_000, 600), (2_000, 0), (5_000, 0)])


def spans_m(found: AlongPlan, runs: np.typing.NDArray[np.intp]) -> list[list[float]]:
    """Return where along the line the runs begin and end, to 100 m."""
    places: list[list[float]] = np.round(found.along_m[runs], -2).tolist()
    return places


@pytest.mark.parametrize("sigma_m", [0.0, 5.0])
def test_driving_the_plan_is_no_deviation(sigma_m: float) -> None:
    for line, corners in (
        (STRAIGHT, [(0.0, 0.0), (5_000.0, 0.0)]),
        (SPUR, [(0.0, 0.0), (2_000.0, 0.0), (2_000.0, 600.0), (2_000.0, 0.0), (5_000.0, 0.0)]),
    ):
        found = held(line, corners, sigma_m=sigma_m)

        assert found.forwards.mean() > 0.98
        assert not found.backwards.any()
        assert len(out_of_sequence(found)) == 0
        assert len(against_direction(found)) == 0
        assert len(skipped(found).fixes) == 0


@pytest.mark.parametrize("step_s", [1.0, 5.0, 15.0])
def test_a_spur_left_out_is_skipped(step_s: float) -> None:
    found = skipped(held(SPUR, [(0, 0), (5_000, 0)], step_s=step_s, sigma_m=3.0))

    assert len(found.fixes) == 1
    assert found.from_m[0] == pytest.approx(2_000.0, abs=20.0 + SPEED_MPS * step_s)
    assert found.to_m[0] == pytest.approx(3_200.0, abs=20.0 + SPEED_MPS * step_s)
    assert found.length_m[0] == pytest.approx(1_200.0, abs=50.0)


def test_a_silence_leaves_nothing_out_but_what_it_cannot_have_hidden_is_not_known() -> None:
    corners = [(0.0, 0.0), (5_000.0, 0.0)]

    for interval in (False, True):
        found = skipped(held(SPUR, corners, lost=(180.0, 330.0), interval=interval))

        assert len(found.fixes) == 0


def test_a_detour_as_long_as_what_it_replaces_is_not_skipped_too() -> None:
    around = [(0.0, 0.0), (2_000.0, 0.0), (2_000.0, 400.0), (3_000.0, 400.0), (3_000.0, 0.0)]

    found = held(STRAIGHT, [*around, (5_000.0, 0.0)])

    assert len(skipped(found).fixes) == 0
    assert np.isnan(found.along_m).any()


def test_a_short_cut_off_the_plan_skips_what_it_saves() -> None:
    bay = line_of([(0, 0), (1_000, 0), (1_000, 3_000), (2_000, 3_000), (2_000, 0), (4_000, 0)])

    found = skipped(held(bay, [(0, 0), (4_000, 0)], sigma_m=3.0))

    assert len(found.fixes) == 1
    assert found.length_m[0] == pytest.approx(7_000.0 - 1_000.0, abs=150.0)


@pytest.mark.parametrize("step_s", [1.0, 5.0, 15.0, 60.0])
def test_the_plan_backwards_is_reverse(step_s: float) -> None:
    found = held(STRAIGHT, [(5_000, 0), (0, 0)], step_s=step_s, sigma_m=3.0)

    runs = against_direction(found)
    assert len(runs) == 1
    assert found.along_m[runs[0, 0]] == pytest.approx(5_000.0, abs=20.0)
    assert found.along_m[runs[0, 1]] <= 20.0 + SPEED_MPS * step_s
    assert not found.forwards.any()


def test_going_back_for_something_is_reverse_and_the_rest_forwards() -> None:
    found = held(STRAIGHT, [(0, 0), (3_000, 0), (2_000, 0), (5_000, 0)])

    assert spans_m(found, against_direction(found)) == [[3_000.0, 2_000.0]]
    assert len(skipped(found).fixes) == 0


def test_across_a_silence_nothing_is_reverse_or_off_sequence() -> None:
    corners = [(0.0, 0.0), (4_000.0, 0.0), (1_000.0, 0.0), (1_100.0, 0.0)]

    found = held(STRAIGHT, corners, lost=(395.0, 690.0))

    assert len(against_direction(found)) == 0
    assert len(out_of_sequence(found)) == 0


def test_a_few_metres_back_are_no_reverse() -> None:
    found = held(STRAIGHT, [(0, 0), (2_000, 0), (1_960, 0), (5_000, 0)], sigma_m=3.0, step_s=1.0)

    assert len(against_direction(found)) == 0


def test_parts_in_another_order_are_off_sequence() -> None:
    loop = line_of([(0, 0), (3_000, 0), (3_000, 2_000), (0, 2_000), (0, 4_000), (3_000, 4_000)])
    # The last part before the middle one: by a road that is not planned.
    driven = [(0, 0), (3_000, 0), (3_500, 0), (3_500, 4_500), (-500, 4_500), (-500, 4_000)]
    driven += [(3_000, 4_000), (3_500, 4_000), (3_500, 2_000), (0, 2_000), (0, 3_800)]

    found = held(loop, [(float(x), float(y)) for x, y in driven])

    assert spans_m(found, out_of_sequence(found)) == [[10_000.0, 13_000.0]]


def test_a_part_driven_twice_is_once_in_sequence() -> None:
    ring = line_of([(0, 0), (1_000, 0), (1_000, 1_000), (0, 1_000), (0, 200), (-3_000, 200)])
    corners = [(0, 0), (1_000, 0), (1_000, 1_000), (0, 1_000), (0, 0), (1_000, 0), (1_000, 1_000)]
    corners += [(0, 1_000), (0, 200), (-3_000, 200)]

    found = held(ring, [(float(x), float(y)) for x, y in corners])

    again = out_of_sequence(found)
    assert len(again) == 1
    assert 2_000.0 <= found.along_m[again[0, 1]] - found.along_m[again[0, 0]] <= 4_000.0


@pytest.mark.parametrize(
    ("aside_m", "far_m", "is_shift"),
    [(80.0, 600.0, True), (80.0, 1_500.0, False), (130.0, 600.0, False)],
)
def test_a_shift_of_all_fixes_for_a_minute_is_told_from_another_road(
    aside_m: float,
    far_m: float,
    is_shift: bool,  # noqa: FBT001
) -> None:
    end_m = 2_000.0 + far_m
    beside = [(0.0, 0.0), (2_000.0, 0.0), (2_000.0, aside_m), (end_m, aside_m), (end_m, 0.0)]

    found = held(STRAIGHT, [*beside, (5_000.0, 0.0)])

    out = np.flatnonzero(found.distance_m > 50.0)
    runs = np.array([[out[0], out[-1]]])
    assert beside_plan(found, found.fix * np.float64(5.0), runs, sigma_m=5.0).tolist() == [is_shift]


def test_nothing_is_concluded_from_one_fix() -> None:
    found = held(STRAIGHT, [(0, 0), (10, 0)], step_s=50.0)

    assert found.fix.tolist() == [0]
    assert len(skipped(found).fixes) == len(out_of_sequence(found)) == 0
    assert len(against_direction(found)) == 0
