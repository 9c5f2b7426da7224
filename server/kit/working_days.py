"""Counting in working days: from Monday to Friday, by a zone's own days. Pure.

No holidays are known: a day off in the week counts as a working day, so what is counted is never
later than people think.
"""

from datetime import datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

_SATURDAY: Final = 5
_DAY: Final = timedelta(days=1)


def after(at: datetime, days: int, zone: ZoneInfo) -> datetime:
    """Return the moment so many working days later, at the same time of the day there.

    What begins on a weekend counts from the midnight that ends it.
    """
    local = _worked(at.astimezone(zone).replace(tzinfo=None))
    for _ in range(days):
        local = _worked_day(local + _DAY, _DAY)
    return _moment(local, zone, at)


def before(at: datetime, days: int, zone: ZoneInfo) -> datetime:
    """Return the moment so many working days earlier, at the same time of the day there."""
    local = at.astimezone(zone).replace(tzinfo=None)
    for _ in range(days):
        local = _worked_day(local - _DAY, -_DAY)
    return _moment(local, zone, at)


def _worked(local: datetime) -> datetime:
    if local.weekday() < _SATURDAY:
        return local
    return datetime.combine(_worked_day(local, _DAY).date(), time())


def _worked_day(local: datetime, step: timedelta) -> datetime:
    while local.weekday() >= _SATURDAY:
        local += step
    return local


def _moment(local: datetime, zone: ZoneInfo, like: datetime) -> datetime:
    return local.replace(tzinfo=zone).astimezone(like.tzinfo)
