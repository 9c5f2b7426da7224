import asyncio
from datetime import timedelta

from server.demo.clock import FastClock
from tests.world import NOW


def test_it_runs_as_many_times_as_fast_as_asked() -> None:
    seconds = 100.0
    clock = FastClock(start=NOW, speed=20.0, started_s=100.0, monotonic=lambda: seconds)

    assert clock() == NOW
    seconds = 103.0
    assert clock() == NOW + timedelta(minutes=1)


async def test_sleeping_lasts_the_clocks_time_not_the_walls() -> None:
    clock = FastClock.beginning(NOW, speed=60.0)
    loop = asyncio.get_running_loop()
    began = loop.time()

    await clock.sleep(timedelta(seconds=6))

    assert 0.09 < loop.time() - began < 5.0
    assert clock() >= NOW + timedelta(seconds=6)
