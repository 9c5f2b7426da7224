"""The scoreboard of plan versus fact: its days are what they say, and it runs in the small."""

from dataclasses import replace

import numpy as np
import pytest

from bench import page
from bench.geo import __main__ as board
from bench.geo import arrivals, buses, distance, libraries, naive, progress, recorded, visits
from bench.geo.arrivals import Guess
from bench.geo.board import GOALS, SECTIONS, TARGETS, row_of
from bench.geo.days import RECIPES, delivery_day, plan
from bench.geo.driving import PULL_MPS2, drive
from bench.geo.findings import GRID, Cell, Finding, Hits, generator
from bench.geo.phone import NOISES, START_S, Phone, see
from bench.geo.roads import PLANE, Road, city, way_round
from geo.types import Floats
from geo.values import Plan
from tests.proofs import Row

STRAIGHT = Road.through(np.array([[0.0, 0.0], [2_000.0, 0.0], [2_000.0, 3_000.0]]))
EXACT = Phone(step_s=5.0, sigma_m=0.0, outliers=0.0, lost=0.0, repeated=0.0, late=0.0, silences=0)


def test_every_promise_is_measured_by_some_row() -> None:
    named = {figure for target in TARGETS for figure in target.figures}

    assert named == set(GOALS)


def test_the_page_has_a_row_for_every_promise() -> None:
    text = page.section_of(board.NAME, board.PAGE)

    assert [one.name for one in TARGETS if f"| {one.name} | {one.target} |" not in text] == []


SMALL = {
    "visits": [Cell(5.0, 10.0), Cell(15.0, 10.0), Cell(5.0, 20.0)],
    "hard": [Cell(60.0, 10.0)],
    "odometer": [Cell(5.0, 10.0), Cell(30.0, 10.0)],
    "parked": [Cell(60.0, 30.0, "plain")],
    "progress": [Cell(5.0, 10.0), Cell(60.0, 10.0)],
}


def test_a_small_run_measures_every_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(recorded.FOLDER, raising=False)
    findings = [
        one
        for section in SECTIONS
        for one in board.measure(board.Asked((section,), SMALL.get(section), 1), processes=1)
    ]

    rows = [row_of(one) for one in findings]
    text = board.written("Today.", findings, rows)

    figures = [row.figure for row in rows]
    assert len(figures) == len(set(figures))
    assert set(GOALS) - set(figures) == {visits.MEAN, *distance.PARKED_GRIDS}
    assert all(one.name in text for one in findings)
    untold = {f"{of}, stops ahead without a forecast" for of in (arrivals.DAYS, buses.BUSES)}
    assert {progress.OFF, *untold} <= {one.name for one in findings}
    needs = [row for row in rows if recorded.FOLDER in row.note]
    assert {row.value for row in needs} == {page.NOT_MEASURED}


def test_figures_of_all_cells_wait_for_all_cells() -> None:
    whole = [Finding(name=visits.F1, cell=cell, value=0.5, baseline=0.2) for cell in GRID]

    assert [(one.name, one.value) for one in visits.summary(whole)] == [(visits.MEAN, 0.5)]
    assert visits.summary(whole[1:]) == []


def test_who_parks_is_judged_by_the_noise_of_the_targets() -> None:
    cells = {noise: {c for c in distance.PARKED_CELLS if c.noise == noise} for noise in NOISES}
    parked = [
        Finding(name=distance.PARKED, cell=cell, value=30.0 if cell.noise == "usual" else 0.0)
        for cell in distance.PARKED_CELLS
    ]

    found = [row_of(one) for one in distance.summary(parked)]

    assert [(row.figure, row.value, row.met) for row in found] == [
        (distance.PARKED_WORST, 30.0, False),
        (distance.PARKED_PLAIN, 0.0, True),
    ]
    assert {replace(cell, noise="plain") for cell in cells["usual"]} == cells["plain"]
    assert {cell for cell in GRID if cell.step_s <= distance.PARKED_STEP_MAX_S} == cells["usual"]
    assert [one.name for one in distance.summary(parked[1:])] == [distance.PARKED_PLAIN]


def test_no_promise_rests_on_a_road_that_was_handed_in() -> None:
    assert [figure for figure in GOALS if figure.startswith(recorded.METRES_ON_ROAD)] == []
    assert {f"{recorded.METRES} {step_s:g} s" for step_s in recorded.STEPS_S} <= set(GOALS)


def test_stops_without_a_forecast_are_counted_and_spare_neither_method() -> None:
    nothing = [np.nan] * 3
    guesses = [
        Guess(
            truth_s=np.array([100.0, 200.0, 300.0]),
            simple_s=np.array([150.0, 220.0, 9_300.0]),
            told_s=np.array([[90.0, 110.0, 130.0], [210.0, 240.0, 260.0], nothing]),
        ),
        Guess(truth_s=np.array([400.0]), simple_s=np.array([9_400.0]), told_s=np.array([nothing])),
        Guess(truth_s=np.zeros(0), simple_s=np.zeros(0), told_s=np.zeros((0, 3))),
    ]

    error, inside, left_out = arrivals.scored("Buses", guesses, cell=None, note="2 runs")

    assert (error.value, error.baseline) == (25.0, 35.0)
    assert "2 guesses, on average +25 s, the baseline's +35 s" in error.note
    assert inside.value == 50.0
    assert (left_out.value, left_out.note.split(";")[0]) == (50.0, "2 of 4")


def test_every_process_and_every_run_draws_the_same_days() -> None:
    task = board.Task("parked", Cell(30.0, 10.0, "plain"), 1, board.SEED)

    assert board.run(task) == board.run(task)
    assert board.run(task) != board.run(task._replace(seed=7))


def test_the_grid_of_the_promise_is_measured_and_every_cell_is_a_noise_there_is() -> None:
    assert len(GRID) == 24
    assert set(GRID) <= set(visits.CELLS)
    assert set(GRID) <= set(distance.CELLS)
    assert {cell.noise for one in SECTIONS.values() for cell in one.cells} <= {
        *NOISES,
        "recorded",
    }


@pytest.mark.parametrize(
    ("text", "cell"),
    [("5,10", Cell(5.0, 10.0)), ("0.5,30,multipath", Cell(0.5, 30.0, "multipath"))],
)
def test_a_cell_is_read_as_it_is_typed(text: str, cell: Cell) -> None:
    assert Cell.read(text) == cell


@pytest.mark.parametrize("text", ["5", "5,x", "5,10,usual,more"])
def test_what_is_no_cell_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Cell.read(text)


def test_a_goal_is_held_against_the_size_of_a_bias() -> None:
    figure = Finding(name=distance.BIAS, cell=Cell(5.0, 10.0), value=-0.7, unit="%")

    assert row_of(figure) == Row(
        figure=figure.figure, value=-0.7, unit="%", target="<= 0.5", met=False
    )
    assert row_of(replace(figure, value=-0.4)).met
    assert row_of(replace(figure, value=float("nan"))).value == page.NOT_MEASURED


def test_a_drive_halts_when_it_says_and_never_pulls_harder_than_it_can() -> None:
    halts_m, dwell_s = np.array([3_500.0, 1_000.0, 3_500.0]), np.array([60.0, 300.0, 30.0])

    driven = drive(np.random.default_rng(3), STRAIGHT, halts_m, dwell_s)

    assert driven.departed_s - driven.arrived_s == pytest.approx(dwell_s)
    assert driven.place_m(driven.arrived_s) == pytest.approx(halts_m)
    assert driven.place_m(driven.departed_s) == pytest.approx(halts_m)
    assert driven.passes_s(halts_m[:2]) == pytest.approx(driven.arrived_s[:2])
    assert driven.arrived_s[2] == pytest.approx(driven.departed_s[0])
    assert driven.along_m[-1] == STRAIGHT.length_m
    assert (np.diff(driven.time_s) >= 0.0).all()
    every_second_m = driven.place_m(np.arange(0.0, driven.end_s))
    assert np.abs(np.diff(every_second_m, 2)).max() <= PULL_MPS2 + 0.6
    assert np.diff(every_second_m).max() <= 16.0


def test_a_phone_without_faults_shows_the_truth() -> None:
    rng = np.random.default_rng(1)
    driven = drive(rng, STRAIGHT, np.array([1_000.0]), np.array([200.0]))

    seen = see(rng, EXACT, STRAIGHT, driven)

    _, xy = naive.tidy(seen.track)
    true_xy = STRAIGHT.at(driven.place_m(seen.track.time_s - START_S))
    assert np.abs(xy - true_xy).max() < 0.1
    assert seen.until_s == START_S + driven.end_s


def test_errors_are_as_large_as_the_phone_says() -> None:
    _, xy = naive.tidy(distance.parked(Cell(1.0, 20.0, "plain"), 2, 0).track)

    assert np.std(xy) == pytest.approx(20.0, rel=0.15)


def test_an_overconfident_fix_is_far_off_and_claims_to_be_good() -> None:
    track = distance.parked(Cell(5.0, 10.0, "overconfident"), 2, 0).track

    claims = track.accuracy_m <= 5.0
    away_m = np.hypot(*PLANE.to_xy(track.lon_lat).T)
    assert 0.01 < np.mean(claims) < 0.06
    assert away_m[claims].min() > 70.0 > away_m[~claims].max()


@pytest.mark.parametrize("noise", ["multipath", "stuck", "silent", "clock"])
def test_every_noise_does_what_its_name_says(noise: str) -> None:
    rng = np.random.default_rng(5)
    driven = drive(rng, STRAIGHT, np.array([1_000.0]), np.array([7_200.0]))

    track = see(rng, replace(NOISES[noise], sigma_m=1.0), STRAIGHT, driven).track

    time_s, xy = naive.tidy(track)
    away_m = np.hypot(*(xy - STRAIGHT.at(driven.place_m(time_s - START_S))).T)
    told = {
        "multipath": np.mean((away_m > 25.0) & (away_m < 85.0)) > 0.04,
        "stuck": np.mean(np.abs(np.diff(xy, axis=0)).max(axis=1) < 1e-9) > 0.03,
        "silent": np.diff(time_s).max() > 1_700.0,
        "clock": (np.diff(track.time_s) < -30.0).any(),
    }
    assert told[noise]


def test_a_way_round_leaves_the_road_and_comes_back() -> None:
    round_about = way_round(STRAIGHT, 2_500.0, 3_500.0, away_m=200.0)

    away_m = np.abs(round_about.xy[:, 0] - 2_000.0)[round_about.xy[:, 1] > 500.0]
    assert away_m.max() == pytest.approx(200.0)
    assert round_about.xy[-1].tolist() == STRAIGHT.xy[-1].tolist()
    assert STRAIGHT.length_m + 150.0 < round_about.length_m < STRAIGHT.length_m + 500.0


def test_the_truth_of_a_left_out_spur_is_told_along_the_plan() -> None:
    day = progress.draw(generator(1, "spur"), Cell(5.0, 5.0, "plain"))
    times_s = START_S + np.linspace(0.0, day.drive.end_s, 500)

    planned_m = day.planned_m(times_s)

    known = np.isfinite(planned_m)
    xy = day.road.at(day.drive.place_m(times_s - START_S))
    assert np.abs(day.planned.at(planned_m[known]) - xy[known]).max() < 1.0
    assert np.nanmax(day.off_m(times_s, planned_m)) == 0.0
    assert day.away(times_s).any()
    assert not day.away(times_s)[known].any()


def test_a_perfect_answer_scores_one_and_none_scores_nothing() -> None:
    day = delivery_day(generator(4, "score"), Cell(5.0, 10.0).phone)
    perfect, silent = visits.Tally(), visits.Tally()

    perfect.add(day, np.column_stack([day.arrived_s, day.departed_s]), 5.0)
    silent.add(day, np.full((len(day.arrived_s), 2), np.nan), 5.0)

    cut_off = visits.Tally()
    cut_off.add(day, np.column_stack([day.arrived_s - np.inf, day.departed_s]), 5.0)

    served = int(np.isfinite(day.arrived_s).sum())
    assert cut_off.visits == Hits(served, 0, 0)
    assert cut_off.arrival_s == []
    assert perfect.visits == Hits(served, 0, 0)
    assert perfect.visits.f1 == 1.0
    assert silent.visits == Hits(0, 0, served)


@pytest.mark.parametrize("name", RECIPES)
def test_every_special_day_is_what_it_says(name: str) -> None:
    day = delivery_day(generator(6, name), Cell(5.0, 10.0, "plain").phone, RECIPES[name])

    places = [tuple(place) for place in np.round(day.plan.lon_lat, 6)]
    most = max(places.count(place) for place in places)
    served = np.isfinite(day.arrived_s)
    silent = np.diff(np.unique(day.seen.track.time_s)) > 50.0
    told = {
        "40 % reordered": (np.diff(day.arrived_s[served]) < 0.0).any(),
        "two stops in one building": most == 2 and (np.diff(day.arrived_s) == 0.0).any(),
        "the same address three times": most == 3,
        "depot first and last": places.count(places[0]) == 2
        and np.nanmax(day.departed_s) == pytest.approx(day.seen.until_s, abs=1.0),
        "phone off at a third of the halts": silent.sum() >= 2,
        "phone off at a third of the halts, planned by five minutes": silent.sum() >= 2
        and (day.plan.service_s % 300.0 == 0.0).all()
        and np.mean((day.departed_s - day.arrived_s)[served] < 0.6 * day.plan.service_s[served])
        > 0.2,
    }
    assert told[name]
    assert (day.departed_s[served] > day.arrived_s[served]).all()


def test_naive_methods_do_what_they_are_known_for() -> None:
    rng = np.random.default_rng(8)
    driven = drive(rng, STRAIGHT, np.array([1_000.0]), np.array([600.0]), lights=False)
    seen = see(rng, EXACT, STRAIGHT, driven)
    wanted = plan(STRAIGHT.at(np.array([1_000.0, 4_000.0])))
    time_s, xy = naive.tidy(seen.track)

    by_fence = naive.geofence(wanted, time_s, xy)
    by_stay = naive.stays_to_stops(wanted, time_s, xy)
    by_place = naive.first_and_last(wanted, time_s, xy)

    arrived_s = START_S + driven.arrived_s[0]
    assert by_fence[0, 0] == pytest.approx(arrived_s, abs=30.0)
    assert by_stay[0, 0] == pytest.approx(arrived_s, abs=30.0)
    assert np.isnan([by_fence[1, 0], by_stay[1, 0]]).all()
    assert np.isfinite(by_place).all(), "a drive-by looks like a visit"
    assert naive.haversine_m(seen.track) == pytest.approx(STRAIGHT.length_m, rel=0.005)
    assert naive.traccar_m(seen.track) == pytest.approx(STRAIGHT.length_m, rel=0.005)


def test_no_method_is_given_fixes_that_no_vehicle_could_have_reached() -> None:
    day = delivery_day(generator(6, "wild"), Cell(5.0, 10.0, "overconfident").phone)
    _, raw_xy = naive.tidy(day.seen.track)
    given = []

    def spy(plan: Plan, time_s: Floats, xy: Floats) -> Floats:
        given.append(np.hypot(*np.diff(xy, axis=0).T) / np.diff(time_s))
        return np.full((len(plan.lon_lat), 2), np.nan)

    visits.Tallies().add(day, Cell(5.0, 10.0), {"spy": spy})

    assert np.hypot(*np.diff(raw_xy, axis=0).T).max() > 500.0
    assert given[0].max() <= naive.TRACCAR_MAX_MPS


def test_libraries_stand_beside_what_was_reached_on_the_same_days(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(libraries, "DAYS", 1)
    monkeypatch.setattr(libraries, "VISITS", {libraries.TRACKINTEL: naive.stays_to_stops})

    one = {found.name: found for found in visits.measure(libraries.CELL, 1, 3)}
    two = {found.name: found for found in visits.measure(libraries.CELL, 2, 3)}

    beside = two[f"{visits.F1}, beside {libraries.TRACKINTEL}"]
    assert beside.value == one[visits.F1].value != two[visits.F1].value
    assert "1 days" in beside.note
    missing = row_of(two[f"{visits.F1}, beside {libraries.MOVINGPANDAS}"])
    assert (missing.value, missing.baseline) == (page.NOT_MEASURED, None)


def test_the_simple_guess_is_the_plan_later_by_the_last_delay() -> None:
    wanted = plan(np.zeros((3, 2)), service_s=60.0, planned_s=np.array([100.0, 500.0, 900.0]))

    guess_s = arrivals.simple_s(wanted, np.array([260.0, 700.0, 1_100.0]), 300.0)

    assert guess_s.tolist() == [300.0, 600.0, 1_000.0]


def test_a_city_is_as_long_as_its_blocks() -> None:
    road = city(np.random.default_rng(9), 20, (100.0, 100.0))

    assert road.length_m == pytest.approx(2_000.0)
    assert road.true_length_m == pytest.approx(2_000.0, rel=0.002)
    assert road.there_and_back().length_m == pytest.approx(4_000.0)
