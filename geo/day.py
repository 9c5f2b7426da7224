"""Everything the parts of the report are read from."""

from dataclasses import dataclass

from geo.account import Account
from geo.clean import Cleaned
from geo.drive import Driven, Silences
from geo.ground import Ground
from geo.types import Floats
from geo.values import Parameters, Taps
from geo.visits import Served


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One plan, what was seen of the drive and what the driver said.

    Attributes
    ----------
    ground
        The plan, laid out in the plane.
    cleaned
        The fixes that are believed.
    driven, silent, served
        The drive, its silences, its visits.
    shared_s
        Shape ``(w, 2)``: disjoint intervals in which positions could be recorded, none later than
        the data are complete.
    taps
        What the driver said.
    parameters
        Thresholds.
    """

    ground: Ground
    cleaned: Cleaned
    driven: Driven
    silent: Silences
    served: Served
    shared_s: Floats
    taps: Taps
    parameters: Parameters


@dataclass(frozen=True, slots=True, kw_only=True)
class Day(Seen):
    """What was seen in the time of the route, and its account.

    Attributes
    ----------
    account
        The metres and seconds of the drive.
    """

    account: Account
