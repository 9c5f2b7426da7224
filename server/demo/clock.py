"""A clock that runs faster than the wall's, so that an hour's drive fits a coffee break."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class FastClock:
    """Begins at ``start`` and runs ``speed`` times as fast as real time; never goes back."""

    start: datetime
    speed: float
    started_s: float
    monotonic: Callable[[], float] = time.monotonic

    @classmethod
    def beginning(cls, start: datetime, *, speed: float) -> "FastClock":
        return cls(start=start, speed=speed, started_s=time.monotonic())

    def __call__(self) -> datetime:
        return self.start + timedelta(seconds=(self.monotonic() - self.started_s) * self.speed)

    async def sleep_until(self, at: datetime) -> None:
        """Wait until the clock shows ``at``."""
        await asyncio.sleep(max((at - self()).total_seconds(), 0.0) / self.speed)

    async def sleep(self, duration: timedelta) -> None:
        await self.sleep_until(self() + duration)
