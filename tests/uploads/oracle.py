"""What docs/explanation/acceptance.md says, once more: slowly, position by position.

It shares no code with the server. Times are whole microseconds since 1970, exact; a rule stands
here as the page states it, in the page's order.
"""

from collections.abc import Sequence
from dataclasses import dataclass

SECOND = 1_000_000
MINUTE = 60 * SECOND
ALL_SOURCES = frozenset({"gps", "wifi", "cell", "beacon", "fused"})


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What is in force when the upload is received and stored."""

    account_active: bool = True
    location_since: int | None
    dispatch_since: int | None
    plan_fact_since: int | None
    windows: Sequence[tuple[int, int]]
    """Half open: from the first, up to but not including the second."""
    buffer_max: int
    sources: frozenset[str] = ALL_SOURCES
    background: bool = True


@dataclass(frozen=True, kw_only=True)
class Fix:
    recorded_at: int
    """By the phone's clock."""
    source: str | None = None
    app_state: str | None = None


@dataclass(frozen=True, kw_only=True)
class Sent:
    fixes: Sequence[Fix]
    received_at: int
    sent_at: int | None


def verdicts(rules: Rules, sent: Sent) -> list[str | None]:
    """Return for each position why it is refused, or None where it is kept."""
    told = _for_all(rules, sent)
    if told is not None:
        return [told] * len(sent.fixes)
    found = [_time_fault(rules, sent, fix) or _not_covered(rules, fix) for fix in sent.fixes]
    if rules.plan_fact_since is None:
        _keep_only_the_newest(found, sent)
    return found


def _for_all(rules: Rules, sent: Sent) -> str | None:
    if not rules.account_active:
        return "account_inactive"
    if rules.location_since is None or (
        rules.dispatch_since is None and rules.plan_fact_since is None
    ):
        return "no_consent"
    if sent.sent_at is None:
        newest = max(fix.recorded_at for fix in sent.fixes)
        return "clock_wrong" if newest > sent.received_at + 30 * SECOND else None
    error = sent.received_at - sent.sent_at
    return "clock_wrong" if error > 2 * MINUTE or error < -2 * MINUTE else None


def _moments(sent: Sent, fix: Fix) -> tuple[int, int]:
    """Return the earliest and the latest moment that has to pass: the phone's own included."""
    if sent.sent_at is None:
        return fix.recorded_at, fix.recorded_at
    had_it_travelled_no_time = fix.recorded_at + (sent.received_at - sent.sent_at)
    had_it_travelled_long = had_it_travelled_no_time - 5 * SECOND
    earliest = min(fix.recorded_at, had_it_travelled_long)
    return earliest, max(fix.recorded_at, had_it_travelled_no_time)


def _time_fault(rules: Rules, sent: Sent, fix: Fix) -> str | None:
    earliest, latest = _moments(sent, fix)
    if latest > sent.received_at + 30 * SECOND:
        return "in_future"
    if earliest < sent.received_at - rules.buffer_max:
        return "too_old"
    purpose = rules.dispatch_since if rules.plan_fact_since is None else rules.plan_fact_since
    for since in (rules.location_since, purpose):
        if since is None or earliest < since:
            return "before_consent"
    for opened, end in rules.windows:
        if opened <= earliest and latest < end:
            return None
    return "outside_window"


def _not_covered(rules: Rules, fix: Fix) -> str | None:
    if rules.sources != ALL_SOURCES and fix.source not in rules.sources:
        return "source_not_covered"
    if not rules.background and fix.app_state != "foreground":
        return "background_not_covered"
    return None


def _keep_only_the_newest(found: list[str | None], sent: Sent) -> None:
    """Refuse what only a track could use: all but the newest, and what is 15 minutes old."""
    for place, fix in enumerate(sent.fixes):
        if found[place] is None and _moments(sent, fix)[0] < sent.received_at - 15 * MINUTE:
            found[place] = "not_kept"
    kept = [place for place, why in enumerate(found) if why is None]
    if kept:
        newest = max(kept, key=lambda place: (sent.fixes[place].recorded_at, -place))
        for place in kept:
            if place != newest:
                found[place] = "not_kept"


@dataclass(frozen=True, kw_only=True)
class Interval:
    start: int
    end: int | None = None
    """None: to this day."""

    def holds(self, at: int) -> bool:
        return self.start <= at and (self.end is None or at < self.end)


@dataclass(frozen=True, kw_only=True)
class Grant(Interval):
    """One consent to location, as it was given until it was withdrawn."""

    sources: frozenset[str] = ALL_SOURCES
    background: bool = True
    always: bool = False
    """For all the time, not only for shifts."""


@dataclass(frozen=True, kw_only=True)
class Life:
    """What truly was, from the first day to the last, whatever any clock or phone says."""

    location: Sequence[Grant]
    dispatch: Sequence[Interval]
    plan_fact: Sequence[Interval]
    windows: Sequence[Interval]
    buffer_max: int


def held(intervals: Sequence[Interval], at: int) -> int | None:
    """Return since when the consent that holds at that moment is given; None if none does."""
    return next((one.start for one in intervals if one.holds(at)), None)


def rightly_kept(life: Life, fix: Fix, recorded_at: int, stored_at: int) -> bool:
    """Tell whether a fix may be stored at that time that was truly recorded at that other.

    As part of a track, or as the latest position where tracks are not consented to.
    """
    tracks = held(life.plan_fact, stored_at) is not None
    purpose = life.plan_fact if tracks else life.dispatch
    grant = next((one for one in life.location if _spans(one, recorded_at, stored_at)), None)
    return (
        grant is not None
        and any(_spans(one, recorded_at, stored_at) for one in purpose)
        and stored_at - life.buffer_max <= recorded_at <= stored_at
        and (grant.always or any(one.holds(recorded_at) for one in life.windows))
        and (grant.sources == ALL_SOURCES or fix.source in grant.sources)
        and (grant.background or fix.app_state == "foreground")
    )


def _spans(given: Interval, recorded_at: int, stored_at: int) -> bool:
    """Tell whether one and the same consent held then and now: a new one never reaches back."""
    return given.holds(recorded_at) and given.holds(stored_at)
