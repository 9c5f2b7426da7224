"""A route among the driver's other ones: which time is its own, and which visits are none of it."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from geo.types import Flags, Floats
from geo.values import OwnTime, Plan, Track

# Before the plan begins nobody serves what is planned this much later out of its order.
SOON_S: Final = 3_600.0
# The first fix comes so soon after the time of the route began.
CUT_S: Final = 120.0


def cut(
    track: Track, shared_s: Floats, *, until_s: float, own: OwnTime
) -> tuple[Track, Floats, float]:
    """Return what of the fixes and of the shared time, ``(k, 2)``, is of this route, and its end.

    The very moment at which the next route begins is of that one.
    """
    if not own.is_cut:
        return track, shared_s, until_s
    mine = (track.time_s >= own.from_s) & (track.time_s < own.to_s)
    own_track = Track(
        time_s=track.time_s[mine],
        lon_lat=track.lon_lat[mine],
        accuracy_m=track.accuracy_m[mine],
    )
    end_s = max(own.from_s, min(own.to_s, until_s))
    own_s = np.clip(shared_s, own.from_s, end_s)
    return own_track, own_s[own_s[:, 0] < own_s[:, 1]], end_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Which order of the stops is believed outside the time in which they are planned.

    All routes of a day may have one depot, and most drivers load there before any of them begins.
    So a halt that began before the plan did was at a stop only if that was its turn; and a halt
    after the next route began only if nothing before it in the plan was served since.

    Attributes
    ----------
    own
        The time of the route.
    begins_s
        When the plan begins, and the time of the route: a halt that began before is an early one.
    opens_s
        Shape ``(m,)``: when each stop is planned, or its window opens; NaN = the plan says nothing.
    over
        Nothing of the route can come any more.
    """

    own: OwnTime
    begins_s: float
    opens_s: Floats
    over: bool

    @classmethod
    def of(cls, plan: Plan, own: OwnTime, *, over: bool) -> Self:
        arrival_s, window_s = plan.planned_arrival_s, plan.window_from_s
        opens_s = np.where(np.isnan(arrival_s), window_s, np.fmax(arrival_s, window_s))
        known_s = opens_s[np.isfinite(opens_s)]
        begins_s = max(own.from_s, float(known_s.min()) if len(known_s) else own.from_s)
        return cls(own=own, begins_s=begins_s, opens_s=opens_s, over=over)

    def halts_s(self, from_s: Floats, to_s: Floats, unseen: Flags) -> tuple[Floats, Floats]:
        """Return when the halts at the stops began and ended, ``(m,)``; NaN = none.

        Parameters
        ----------
        from_s, to_s
            Shape ``(m,)``: when each was seen to begin and end.
        unseen
            Shape ``(m,)``: the halt had begun before there was any position.

        Returns
        -------
        tuple[Floats, Floats]
            The first ones -infinity where a halt had begun before the time of the route did; or
            before there was any position, if the stop is planned much later.
        """
        reaches_in = (from_s - self.own.from_s <= CUT_S) | (self.opens_s - to_s > SOON_S)
        return np.where(unseen & reaches_in, -np.inf, from_s), to_s

    def first(self, began_s: Floats) -> int:
        """Return the first stop of the plan that was served in its own time, -1 = none yet.

        ``began_s`` as :meth:`halts_s` gives it.
        """
        inside = np.flatnonzero((began_s >= self.begins_s) & (began_s < self.own.to_s))
        return int(inside[0]) if len(inside) else -1

    def broken(self, began_s: Floats, ended_s: Floats, *, first: int) -> Flags:
        """Flag the stops whose halts were none of this route, ``(m,)``.

        Parameters
        ----------
        began_s, ended_s
            As :meth:`halts_s` gives them.
        first
            The first stop that was served in the route's own time, -1 = none yet.

        Notes
        -----
        Of early halts those are believed that come before everything that was served since; until
        then those of the first stops, one after the other. Who is early and has no route before
        may begin with another stop, if it is planned soon. Of halts while the route before still
        went on only that at the first stop counts until another was served, and while the route
        runs only if it is planned soon.
        """
        stops = np.arange(len(began_s))
        early, before = began_s < self.begins_s, ended_s < self.own.from_s
        soon = self.opens_s - ended_s <= SOON_S
        if first >= 0:
            believed = (stops < first) | (soon & ~before)
        else:
            # A comparison with NaN is false: the row ends at the first stop without a halt.
            onward = np.append(True, began_s[1:] >= began_s[:-1])
            in_turn = np.logical_and.accumulate(early & onward)
            at_first = (stops == 0) & (soon | self.over)
            believed = np.where(before, at_first, in_turn | (soon & self.over))
        late = (began_s >= self.own.to_s) & (stops < first)
        return np.asarray((early & ~believed) | late)
