"""What takes a while: a few at once, and only while somebody waits."""

import asyncio
import threading
import time
from uuid import UUID, uuid4

import pytest

from server.gate import drawing
from server.gate.drawing import ReadsBusy, Streams, Turns, in_thread, while_there


async def test_what_nobody_waits_for_any_more_is_cancelled_before_it_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(drawing, "GONE_POLL_S", 0.01)
    turns = Turns(1, waiting_max=0)
    ended = False

    async def work() -> None:
        nonlocal ended
        async with turns.one():
            try:
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(0.01)
                ended = True

    with pytest.raises(ConnectionResetError):
        await while_there(work(), lambda: True)

    assert ended
    async with turns.one():
        pass


async def test_what_somebody_waits_for_is_given_and_its_failure_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(drawing, "GONE_POLL_S", 0.01)

    async def slow() -> int:
        await asyncio.sleep(0.05)
        return 7

    async def failing() -> int:
        raise LookupError

    assert await while_there(slow(), lambda: False) == 7
    with pytest.raises(LookupError):
        await while_there(failing(), lambda: True)


async def test_a_cancelled_handler_cancels_what_it_waits_for() -> None:
    started, cancelled = asyncio.Event(), False

    async def work() -> None:
        nonlocal cancelled
        started.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled = True
            raise

    handler = asyncio.create_task(while_there(work(), lambda: False))
    await started.wait()
    handler.cancel()
    with pytest.raises(asyncio.CancelledError):
        await handler

    assert cancelled


@pytest.mark.parametrize("guarded", [True, False])
async def test_a_turn_is_not_free_while_its_thread_still_works(*, guarded: bool) -> None:
    """Control: asyncio's own to_thread gives it up at once."""
    go_on, working = threading.Event(), threading.Event()

    def work() -> None:
        working.set()
        go_on.wait(5)

    running = asyncio.create_task((in_thread if guarded else asyncio.to_thread)(work))
    await asyncio.to_thread(working.wait)
    running.cancel()
    await asyncio.wait((running,), timeout=0.1)
    still_held = not running.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert still_held is guarded


async def test_what_a_thread_raises_after_a_cancellation_is_nobodys() -> None:
    def fails() -> None:
        time.sleep(0.05)
        raise LookupError

    running = asyncio.create_task(in_thread(fails))
    await asyncio.sleep(0.01)
    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running


async def test_who_was_let_through_is_not_sent_away_in_the_midst() -> None:
    turns = Turns(1, waiting_max=0)
    async with turns.one():
        with pytest.raises(ReadsBusy):
            async with turns.one():
                pass
        waiting = asyncio.create_task(next_of(turns))
        await asyncio.sleep(0)
        assert not waiting.done()
    assert await waiting == 1


async def test_one_company_leaves_turns_for_the_others() -> None:
    turns, one = Turns(1, waiting_max=3, company_max=2), uuid4()
    inside, go_on = asyncio.Queue[UUID | None](), asyncio.Event()

    async def take(company_id: UUID | None) -> None:
        async with turns.one(company_id):
            inside.put_nowait(company_id)
            await go_on.wait()

    async with asyncio.TaskGroup() as group:
        for company_id in (one, one, uuid4()):
            group.create_task(take(company_id))
        await inside.get()
        assert turns.inside == 3
        with pytest.raises(ReadsBusy):
            await take(one)
        group.create_task(take(None))  # what is no company's own
        await asyncio.sleep(0)
        with pytest.raises(ReadsBusy):
            await take(uuid4())
        go_on.set()

    assert turns.inside == 0
    await take(one)


async def next_of(turns: Turns) -> int:
    async with turns.next():
        return 1


def test_one_company_leaves_room_for_the_others() -> None:
    streams, one, other = Streams(process_max=3, company_max=2), uuid4(), uuid4()

    with streams.one(one), streams.one(one):
        with pytest.raises(ReadsBusy), streams.one(one):
            pass
        with streams.one(other), pytest.raises(ReadsBusy), streams.one(uuid4()):
            pass
        with streams.one(other):
            pass
    with streams.one(one):
        pass
