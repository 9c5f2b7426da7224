"""How long it is tried to start PostgreSQL again."""

import asyncio
from pathlib import Path
from typing import cast

import pytest

from server.kit.localpg import process
from server.kit.localpg.process import PAUSE_S_MAX, Server, kept_running


class Ended:
    """What of a process is asked for once it has ended."""

    def poll(self) -> int:
        return 1


class Unstartable:
    """A server whose disk cannot be written."""

    answers = False

    def __init__(self, data: Path) -> None:
        self.data = data
        self.process = Ended()
        self.tries = 0

    def launch(self) -> None:
        self.tries += 1
        raise OSError


async def test_it_is_tried_for_as_long_as_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A night at a second each: by then 2.0 to that power is no number."""
    server, pauses = Unstartable(tmp_path), []
    sleep = asyncio.sleep

    async def sleep_no_time(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(0)

    async def no_orphans(_data: Path) -> None:
        pass

    monkeypatch.setattr(asyncio, "sleep", sleep_no_time)
    monkeypatch.setattr(process, "_orphans_ended", no_orphans)

    async with kept_running(cast("Server", server)), asyncio.timeout(20):
        while server.tries < 3_000:
            await sleep(0)

    assert pauses[:4] == [0.1, 0.2, 0.4, 0.8]
    assert set(pauses[4:]) == {PAUSE_S_MAX}
