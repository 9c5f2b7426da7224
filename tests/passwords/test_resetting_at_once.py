"""The same code twice at once, and a phone that is reported lost meanwhile; with their controls."""

import asyncio
from datetime import datetime
from typing import Any

import pytest

from server.accounts.model import Member
from server.kit.db import Connection
from server.passwords import model, service, store
from server.passwords import resetting as resets
from server.passwords.model import Reset
from tests.passwords.conftest import Stage


def meeting(patch: pytest.MonkeyPatch, count: int) -> None:
    """Let so many have found the code right before any of them goes on."""
    write, barrier = resets._write, asyncio.Barrier(count)  # noqa: SLF001

    async def together(
        conn: Connection, member: Member, asked: Reset, password_hash: str, *, now: datetime
    ) -> None:
        await barrier.wait()
        await write(conn, member, asked, password_hash, now=now)

    patch.setattr(resets, "_write", together)


def used_up_for_all(patch: pytest.MonkeyPatch) -> None:
    async def always(*_of: object) -> bool:
        return True

    patch.setattr(store, "use_up", always)


async def twice(stage: Stage) -> list[int]:
    code = await stage.code()
    answers = await asyncio.gather(*(stage.confirm(code) for _ in range(2)))
    return sorted(status for status, _ in answers)


async def test_of_the_same_code_twice_at_once_one_counts(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    meeting(monkeypatch, 2)

    assert await twice(stage) == [204, 422]


async def test_control_a_code_that_is_not_used_up_counts_twice(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    meeting(monkeypatch, 2)
    used_up_for_all(monkeypatch)

    assert await twice(stage) == [204, 204]


async def lost_meanwhile(stage: Stage, patch: pytest.MonkeyPatch) -> bool:
    """Report the phone lost when the code was just found right; tell whether a password is left."""
    hashed = service.hashed

    async def and_lost(*of: Any) -> str:
        found = await hashed(*of)
        await stage.lose_phone()
        return found

    code = await stage.code()
    patch.setattr(service, "hashed", and_lost)
    await stage.confirm(code)
    return await stage.has_password()


async def test_a_phone_reported_lost_meanwhile_leaves_no_password(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not await lost_meanwhile(stage, monkeypatch)


async def test_control_who_does_not_look_again_leaves_the_finder_a_password(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "may_have_code", lambda *_of: True)
    used_up_for_all(monkeypatch)

    assert await lost_meanwhile(stage, monkeypatch)
