"""What plan versus fact is asked: the track, the plan and every threshold."""

from dataclasses import dataclass
from math import inf
from typing import Final

from geo.types import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """What was recorded.

    Attributes
    ----------
    time_s
        Shape ``(n,)``: unix seconds of the fixes, in any order, repeats allowed; ``n`` may be 0.
    lon_lat
        Shape ``(n, 2)``: degrees, WGS 84. Values that cannot be are dropped and counted.
    accuracy_m
        Shape ``(n,)``: the radius the phone claimed, NaN where it claimed none.
    """

    time_s: Floats
    lon_lat: Floats
    accuracy_m: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What was planned: ``m >= 1`` stops in order.

    Attributes
    ----------
    lon_lat
        Shape ``(m, 2)``: the stops, degrees, WGS 84.
    radius_m
        Shape ``(m,)``: a vehicle this near is at the stop.
    service_s
        Shape ``(m,)``: planned time at the stop. 0 or NaN = none planned.
    planned_arrival_s
        Shape ``(m,)``: unix seconds, NaN = none planned.
    window_from_s, window_to_s
        Shape ``(m,)``: unix seconds, NaN = open.
    line
        Shape ``(k, 2)``, ``k >= 2``: the planned road; None = straight legs between stops.
    """

    lon_lat: Floats
    radius_m: Floats
    service_s: Floats
    planned_arrival_s: Floats
    window_from_s: Floats
    window_to_s: Floats
    line: Floats | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Taps:
    """What the driver said about each of the ``m`` stops.

    Attributes
    ----------
    arrived_s, done_s, failed_s
        Shape ``(m,)``: unix seconds of "I am here", "done", "could not be done"; NaN = never said.
    """

    arrived_s: Floats
    done_s: Floats
    failed_s: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is known of the driver's work beside the track; unix seconds, None = not known.

    Attributes
    ----------
    begun_s
        Since when stops may have been served, though sharing began later (a consent that was given
        in the middle of a shift). None = not before sharing began.
    done_s
        From then on no stop is served: the driver, who had the route as it is planned, ended the
        work (a pause or a withdrawal says nothing). Without effect where sharing went on, or after
        the data are complete.
    cancelled
        The route was over as the office cancelled it, and that is when the data are complete: what
        was to come by then is nobody's.
    """

    begun_s: float | None = None
    done_s: float | None = None
    cancelled: bool = False


UNTOLD: Final = Work()
"""Nothing is known but the track."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnTime:
    """Which time is this route's, among the driver's other ones; unix seconds.

    Attributes
    ----------
    from_s, to_s
        Between which what is driven is of this route. Before and after it is of the driver's
        neighbouring ones: no metres, lines and halts; it still tells which stops were served.
    taken_over_s
        When the driver was given it after another had driven it, who may have served any of it;
        None = nobody had.
    """

    from_s: float = -inf
    to_s: float = inf
    taken_over_s: float | None = None

    @property
    def is_cut(self) -> bool:
        return self.from_s > -inf or self.to_s < inf


ALONE: Final = OwnTime()
"""The driver has no other route."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """Every threshold of the report; docs/explanation/plan-versus-fact.md says what each does."""

    # Cleaning
    accuracy_max_m: float = 200.0
    feasible_speed_mps: float = 50.0
    feasible_slack_m: float = 60.0
    spike_min_m: float = 40.0
    spike_max_s: float = 60.0
    gap_s: float = 120.0
    sigma_default_m: float = 10.0

    # Smoothing: root of the spectral density of acceleration, m / s^1.5
    odometer_agility: float = 3.0
    stay_agility: float = 1.5
    dense_step_s: float = 20.0

    # Stays
    stay_min_s: float = 50.0
    stay_radius_m: float = 18.0
    stay_radius_sparse_m: float = 60.0
    stay_drift_mps: float = 1.0
    stay_merge_s: float = 45.0
    unplanned_min_s: float = 120.0
    standing_mps: float = 0.7

    # Slow passes, and the rule for stops planned to be short
    passing_speed_mps: float = 8.0
    short_service_s: float = 60.0
    short_service_share: float = 0.5
    short_halt_min_s: float = 5.0
    halting_speed_mps: float = 2.0

    # Forecasting arrivals: seconds of plan that outweigh the day so far, and spreads of logarithms
    pace_prior_s: float = 900.0
    service_prior_s: float = 900.0
    pace_spread: float = 0.22
    service_spread: float = 0.28
    pace_memory_s: float = 7_200.0
    eta_leg_variation: float = 0.22
    eta_service_variation: float = 0.5
    eta_service_s: float = 180.0
    eta_speed_mps: float = 8.0
    eta_detour: float = 1.35

    # Assigning visits to stops; costs are in units of half a squared standard deviation
    miss_cost: float = 9.0
    share_cost: float = 3.5
    place_error_m: float = 15.0
    reach_m: float = 60.0
    delay_scale_s: float = 1800.0
    same_place_m: float = 15.0

    # Judging what was not seen
    reach_speed_mps: float = 14.0

    # Progress along the plan and leaving it
    match_reach_m: float = 150.0
    match_thin_m: float = 12.0
    corridor_leave_m: float = 50.0
    corridor_return_m: float = 40.0
    deviation_min_m: float = 100.0
    deviation_min_s: float = 30.0
    deviation_min_fixes: int = 3
    deviation_beside_s: float = 100.0
    sequence_min_m: float = 250.0

    # The speed a company allows; None = not judged
    speed_limit_mps: float | None = None


DEFAULT: Final = Parameters()
