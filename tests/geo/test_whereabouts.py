"""What the final report and a running route both say of where a vehicle is."""

import numpy as np
import pytest

from geo.account import keep_account
from geo.clean import clean
from geo.day import Day
from geo.drive import prepare, silences
from geo.ground import Ground
from geo.live import advance, begin, summary
from geo.plan_fact import Taps, plan_versus_fact
from geo.types import Floats
from geo.values import DEFAULT, Plan
from geo.visits import serve
from geo.whereabouts import reached, whereabouts
from tests.geo.days import START_S, make_day, make_plan, plane_at
from tests.geo.replays import between
from tests.geo.rounds import Round, drive_round

DAY = make_day(42, missed=(5,))
NEVER = np.full(8, np.nan)
PLANE = plane_at()
FOREVER: Floats = np.array([[START_S, np.inf]])


def passed_s(shared_s: Floats, now_s: float) -> tuple[Floats, Floats]:
    """Return when the stops were passed, by the final report and while it was driven."""
    track = between(DAY.track, 0.0, now_s)
    ground = Ground.of(DAY.plan)
    cleaned = clean(track, ground.plane, shared_s=shared_s, until_s=now_s, parameters=DEFAULT)
    driven = prepare(cleaned, DEFAULT)
    day = Day(
        ground=ground,
        cleaned=cleaned,
        driven=driven,
        silent=silences(driven, shared_s, now_s, longer_s=50.0),
        served=serve(driven, ground.wanted, DEFAULT),
        account=keep_account(driven, ground.line, ground.plane, DEFAULT),
        shared_s=shared_s,
        taps=Taps(arrived_s=NEVER, done_s=NEVER, failed_s=NEVER),
        parameters=DEFAULT,
    )
    state = advance(begin(DAY.plan), track, shared_s=shared_s, until_s=now_s)
    return whereabouts(day, reached(day, day, until_s=now_s)).passed_s, state.present.passed_s


def test_nothing_was_passed_in_a_pause() -> None:
    pause_s = (float(DAY.departed_s[2] + 20.0), float(DAY.arrived_s[4] - 20.0))
    now_s = float(DAY.departed_s[4] + 60.0)

    final, live = passed_s(np.array([[START_S, pause_s[0]], [pause_s[1], np.inf]]), now_s)
    whole, _ = passed_s(np.array([[START_S, np.inf]]), now_s)

    assert np.isnan(final[3])
    assert np.isnan(live[3])
    assert pause_s[0] < whole[3] < pause_s[1]


@pytest.mark.parametrize("lined", [True, False])
@pytest.mark.parametrize("window_from_s", [np.nan, START_S + 1_600.0])
def test_who_has_served_the_last_stop_gets_no_later(window_from_s: float, *, lined: bool) -> None:
    """To stand there for hours, and to drive home, is no delay; nor do earlier stops matter."""
    day = drive_round([(0.0, 0.0, 300.0), (4_000.0, 0.0, 7_200.0)])
    places = np.array([[0.0, 0.0], [2_000.0, 500.0], [4_000.0, 0.0]])
    plan = make_plan(
        PLANE.to_lon_lat(places),
        service_s=300.0,
        planned_arrival_s=START_S + np.array([0.0, 300.0, 700.0]),
        window_from_s=np.array([np.nan, np.nan, window_from_s]),
        line=PLANE.to_lon_lat(places) if lined else None,
    )
    over_s = max(float(day.arrived_s[1]), np.nan_to_num(window_from_s)) + 300.0
    late_s = over_s - START_S - max(700.0, np.nan_to_num(window_from_s) - START_S) - 300.0

    found = []
    for until_s in (over_s + 60.0, float(day.departed_s[1]) - 60.0, day.until_s):
        final = plan_versus_fact(day.track, plan, shared_s=FOREVER, until_s=until_s)
        live = summary(
            advance(begin(plan), day.track, shared_s=FOREVER, until_s=until_s), now_s=until_s
        )
        found += [final.progress.deviation_s, live.deviation_s]

    assert found == pytest.approx([late_s] * 6, abs=15.0)


def late_at(plan: Plan, day: Round, until_s: float) -> list[float | None]:
    """Return how late the route is, by the final report and while it is driven."""
    track = between(day.track, 0.0, until_s)
    final = plan_versus_fact(track, plan, shared_s=FOREVER, until_s=until_s)
    live = summary(advance(begin(plan), track, shared_s=FOREVER, until_s=until_s), now_s=until_s)
    return [final.progress.deviation_s, live.deviation_s]


@pytest.mark.parametrize("off_m", [0.0, 400.0, 3_000.0])
def test_a_last_stop_away_from_the_line_is_as_late_as_it_was_served(off_m: float) -> None:
    calls = [(0.0, 0.0, 300.0), (4_000.0, 0.0, 60.0), (4_000.0, off_m, 900.0)]
    day = drive_round(calls if off_m else [calls[0], calls[2]])
    arrived_s = float(day.arrived_s[-1])
    plan = make_plan(
        PLANE.to_lon_lat(np.array([[0.0, 0.0], [4_000.0, off_m]])),
        service_s=300.0,
        planned_arrival_s=np.array([START_S, arrived_s - 600.0]),
        line=PLANE.to_lon_lat(np.array([[0.0, 0.0], [4_000.0, 0.0]])),
    )

    found = [one for s in (200.0, 400.0, 850.0) for one in late_at(plan, day, arrived_s + s)]

    assert found == pytest.approx([500.0] * 2 + [600.0] * 4, abs=15.0)


@pytest.mark.parametrize("home_m", [-4_000.0, 8_000.0])
def test_who_leaves_the_last_stop_early_gets_no_later_on_the_way_home(home_m: float) -> None:
    """Back along the line, or away from it."""
    day = drive_round([(0.0, 0.0, 2_000.0), (4_000.0, 0.0, 120.0), (home_m, 0.0, 1_200.0)])
    arrived_s = float(day.arrived_s[1])
    places = PLANE.to_lon_lat(np.array([[0.0, 0.0], [4_000.0, 0.0]]))
    plan = make_plan(
        places,
        service_s=600.0,
        planned_arrival_s=np.array([START_S, arrived_s - 1_200.0]),
        line=places,
    )

    left_s = float(day.departed_s[1])
    found = [one for s in (200.0, 900.0) for one in late_at(plan, day, left_s + s)]

    assert found == pytest.approx([720.0] * 4, abs=20.0)
