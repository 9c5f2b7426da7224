import numpy as np
import pytest

from geo.assign import Wanted
from geo.clean import Cleaned
from geo.drive import Driven, prepare
from geo.types import Flags, Floats
from geo.values import DEFAULT
from geo.visits import Visits, offer


def wanted(service_s: float = 240.0) -> Wanted:
    """One stop at the origin."""
    return Wanted(
        xy=np.zeros((1, 2)),
        radius_m=np.full(1, 40.0),
        service_s=np.full(1, service_s),
        arrival_s=np.full(1, np.nan),
    )


def driven(
    step_s: float, *, halt_s: float, speed_mps: float = 10.0, keep_s: Floats | None = None,
    pause: bool = False,
) -> Driven:  # fmt: skip
    """Drive past the origin from the west, standing there from second 0; ``keep_s`` is seen."""
    time_s = np.arange(-900.0, 900.0 + halt_s, step_s)
    moving_s = np.minimum(time_s, 0.0) + np.maximum(time_s - halt_s, 0.0)
    interval = np.zeros(len(time_s), dtype=np.intp)
    kept: Flags = np.ones(len(time_s), dtype=bool)
    if keep_s is not None:
        kept = (time_s < keep_s[0]) | (time_s > keep_s[1])
        interval[time_s > keep_s[1]] = int(pause)
    return prepare(
        Cleaned(
            time_s=time_s[kept],
            xy=np.column_stack([speed_mps * moving_s, np.zeros(len(time_s))])[kept],
            sigma_m=np.full(int(kept.sum()), 5.0),
            interval=interval[kept],
            fixes=int(kept.sum()),
            dropped={},
        ),
        DEFAULT,
    )


def offered(day: Driven, service_s: float = 240.0) -> Visits:
    return offer(day, wanted(service_s), DEFAULT)[0]


@pytest.mark.parametrize("silence_s", [(-60.0, 90.0), (-200.0, 60.0)])
def test_an_arrival_in_a_silence_is_told_with_its_error(silence_s: tuple[float, float]) -> None:
    visits = offered(driven(5.0, halt_s=600.0, keep_s=np.array(silence_s)))

    assert visits.begin_known.tolist() == [True]
    assert abs(visits.from_s[0]) <= visits.error_s[0] <= 300.0
    assert visits.to_s[0] == pytest.approx(600.0, abs=5.0)


def test_an_arrival_in_a_long_silence_is_not_known() -> None:
    visits = offered(driven(5.0, halt_s=1_800.0, keep_s=np.array([-60.0, 900.0])))

    assert visits.begin_known.tolist() == [False]
    assert visits.end_known.tolist() == [True]


def test_nothing_is_told_of_an_arrival_in_a_pause() -> None:
    visits = offered(driven(5.0, halt_s=600.0, keep_s=np.array([-60.0, 90.0]), pause=True))

    assert visits.begin_known.tolist() == [False]
    assert visits.from_s[0] >= 90.0


@pytest.mark.parametrize("step_s", [60.0, 120.0])
@pytest.mark.parametrize("halt_s", [90.0, 150.0])
def test_between_coarse_fixes_lost_time_is_a_visit(step_s: float, halt_s: float) -> None:
    visits = offered(driven(step_s, halt_s=halt_s))

    assert len(visits.from_s) == 1
    assert visits.from_s[0] == pytest.approx(0.0, abs=45.0)
    assert visits.to_s[0] == pytest.approx(halt_s, abs=45.0)


@pytest.mark.parametrize("step_s", [1.0, 5.0, 30.0, 60.0, 120.0])
@pytest.mark.parametrize("speed_mps", [5.0, 8.0, 15.0])
def test_driving_by_is_no_candidate_at_any_step(step_s: float, speed_mps: float) -> None:
    visits = offered(driven(step_s, halt_s=0.0, speed_mps=speed_mps))

    assert len(visits.from_s) == 0
