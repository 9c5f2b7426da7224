"""Everything the parts of the report are read from."""

from dataclasses import dataclass

from geo.account import Account
from geo.assign import Wanted
from geo.drive import Driven, Silences
from geo.plane import Plane
from geo.progress import Line
from geo.types import Floats
from geo.values import Parameters, Plan, Taps
from geo.visits import Served


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """One plan, the drive along it and what the driver said.

    Attributes
    ----------
    plan, plane, line, wanted
        The plan, the plane it is laid out in, its line (None = straight legs) and its stops there.
    stops_m
        Shape ``(m,)``: places of the stops along the plan, not decreasing.
    driven, silent, served, account
        The drive, its silences, its visits, its metres and seconds.
    taps
        What the driver said.
    parameters
        Thresholds.
    """

    plan: Plan
    plane: Plane
    line: Line | None
    wanted: Wanted
    stops_m: Floats
    driven: Driven
    silent: Silences
    served: Served
    account: Account
    taps: Taps
    parameters: Parameters
