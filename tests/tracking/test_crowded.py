"""Uploads that lie over one another: read few at a time, and still each position once, in order."""

import csv
import io
from datetime import datetime, timedelta

import pytest

from server.tracking import service, web
from server.tracking.model import Track
from server.tracking.service import SealedTrack
from tests.tracking import stored
from tests.tracking.asked import read
from tests.tracking.test_pages import ask
from tests.uploading import Api
from tests.world import NOW

UPLOADS = 12
EACH = 50
HOURS = 5


async def crowd(api: Api, *, since: datetime) -> None:
    """Store uploads that all reach over the whole time; each fifth position comes twice."""
    await stored.share(api.world, since)
    for upload in range(UPLOADS):
        step_s = HOURS * 3600 / EACH
        began = since + timedelta(seconds=upload)
        await stored.store(api.world, began, EACH, step_s=step_s, by_the_hour=False)
    for again in range(0, UPLOADS, 5):
        began = since + timedelta(seconds=again)
        await stored.store(api.world, began, EACH, step_s=HOURS * 3600 / EACH, by_the_hour=False)


class Held:
    """Counts what is in memory at once of what is opened by and by."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.most = self.opened = 0
        self._with_more = service._with_more  # noqa: SLF001
        self._open = service._open_track  # noqa: SLF001
        monkeypatch.setattr(service, "_with_more", self.with_more)
        monkeypatch.setattr(service, "_open_track", self.open)

    def with_more(self, kept: Track, found: SealedTrack) -> Track:
        after = self._with_more(kept, found)
        self.most = max(self.most, len(kept), len(after))
        return after

    def open(self, found: SealedTrack) -> Track:
        track = self._open(found)
        self.opened = max(self.opened, len(track))
        return track


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> Held:
    monkeypatch.setattr(service, "OPENED_MAX", 100)
    monkeypatch.setattr(service, "OPENED_AT_ONCE", 120)
    monkeypatch.setattr(web, "PART_POSITIONS", 60)
    return Held(monkeypatch)


@pytest.mark.parametrize("role", ["dispatcher", "driver"])
async def test_a_file_of_them_has_each_position_once_in_order(
    api: Api, narrow: Held, role: str
) -> None:
    since = NOW - timedelta(hours=HOURS + 1)
    await crowd(api, since=since)
    world = api.world
    token = await (world.driver_session() if role == "driver" else world.session(role))

    body, _ = await read(api, token, since, "csv")

    times = [row["recorded_at"] for row in csv.DictReader(io.StringIO(body.decode()))]
    assert times == sorted(set(times))
    assert len(times) == UPLOADS * EACH
    assert 0 < narrow.most <= 100
    assert narrow.opened <= 120


async def test_so_do_pages(api: Api, narrow: Held) -> None:
    since = NOW - timedelta(hours=HOURS + 1)
    await crowd(api, since=since)
    token = await api.world.session("dispatcher")
    times: list[str] = []
    more: dict[str, str] | None = {}
    while more is not None:
        _, page = await ask(api, token, limit=70, since=since, **more)
        times += page["columns"]["recorded_at"]
        more = {"cursor": page["next_cursor"]} if page["next_cursor"] else None

    assert times == sorted(set(times))
    assert len(times) == UPLOADS * EACH
    assert 0 < narrow.most <= 100


async def test_control_read_at_once_all_of_them_are_in_memory(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "PART_POSITIONS", 60)
    held = Held(monkeypatch)
    since = NOW - timedelta(hours=HOURS + 1)
    await crowd(api, since=since)

    await read(api, await api.world.session("dispatcher"), since, "csv")

    assert held.opened == UPLOADS * EACH


async def test_only_what_may_be_seen_is_counted(api: Api, narrow: Held) -> None:
    """Rows of which nearly all lies outside windows end no part, and hide nothing behind them."""
    since = NOW - timedelta(hours=HOURS + 1)
    await crowd(api, since=since)
    await api.world.owner.execute(
        "UPDATE recording_window SET opened_at = $1", since + timedelta(hours=HOURS - 1)
    )

    body, _ = await read(api, await api.world.session("dispatcher"), since, "csv")

    assert body.count(b"\r\n") == 1 + UPLOADS * EACH // HOURS
    assert narrow.most <= 100


@pytest.mark.usefixtures("narrow")
async def test_all_of_one_moment_comes_together(api: Api) -> None:
    """A part ends between two times: of several phones all that have one time are in it."""
    since = NOW - timedelta(hours=1)
    await stored.share(api.world, since)
    for phone in range(130):
        await stored.store(api.world, since, 1, step_s=1, device=phone)

    body, _ = await read(api, await api.world.session("dispatcher"), since, "csv")

    assert body.count(b"\r\n") == 1 + 130
