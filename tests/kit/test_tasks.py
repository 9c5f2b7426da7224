"""A task that takes its end for something else ends all the same."""

import asyncio
from contextlib import suppress

import pytest

from server.kit.tasks import CANCEL_AGAIN_S, ended


class Outage(Exception):
    pass


async def _gives_back_what_broke() -> None:
    try:
        await asyncio.sleep(60)
    finally:
        raise Outage  # in the place of the cancellation


async def _tries_again() -> None:
    with suppress(Outage):
        await _gives_back_what_broke()
    await asyncio.sleep(60)


async def test_a_cancellation_that_was_lost_comes_again() -> None:
    task = asyncio.create_task(_tries_again())
    await asyncio.sleep(0)

    async with asyncio.timeout(5 * CANCEL_AGAIN_S):
        await ended(task)

    assert task.cancelled()


async def test_the_control_one_cancellation_is_lost() -> None:
    task = asyncio.create_task(_tries_again())
    await asyncio.sleep(0)
    task.cancel()

    done, _ = await asyncio.wait({task}, timeout=2 * CANCEL_AGAIN_S)

    assert not done
    await ended(task)


async def test_what_ended_before_or_failed_is_no_matter() -> None:
    async def fails() -> None:
        raise Outage

    failed = asyncio.create_task(fails())
    await asyncio.wait({failed})

    await ended(failed, asyncio.create_task(asyncio.sleep(60)))
    await ended()

    with pytest.raises(Outage):
        failed.result()
