"""Notices of alerts are hidden with the consent they rest on, whenever a job deletes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import pytest
from aiohttp import ClientSession

from server.delivery.deliverer import Deliverer
from server.gate import service as gate
from server.kit import db
from server.kit.db import Connection
from server.kit.wire import rfc3339
from server.notice_kinds.kinds import Channel, NoticeKind
from server.notices import preparing, store
from server.notices import service as notices
from server.notices.model import HeldText, Notice
from server.taking_back import service as taking_back
from tests.alerts.seen import give, withdraw
from tests.alerts.test_taken_back import jobs_waiting
from tests.delivery.http_port import Adapter, adapter_server
from tests.delivery.stage import deliverer, happened
from tests.http import Clock, bearer
from tests.world import NOW, World, add_member, open_session

SECOND: Final = timedelta(seconds=1)
MINUTE: Final = timedelta(minutes=1)
HOUR: Final = timedelta(hours=1)
TOLD: Final = 6
LEFT: Final = 4
"""Of these, after a withdrawal that may delete two."""
ALERT: Final = "route_alert"
OTHER: Final = "attestation_disputed"
"""Names the driver as well, and has nothing to do with how they drove."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    member_id: UUID
    token: str


@pytest.fixture
async def reader(world: World) -> Reader:
    member_id = await add_member(world.vault, world.pool, world.company_id, role="dispatcher")
    return Reader(
        member_id=member_id, token=await open_session(world.pool, world.company_id, member_id)
    )


@pytest.fixture(autouse=True)
def two_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a withdrawal leave more to its job than it takes; nothing here runs the job."""
    monkeypatch.setattr(taking_back, "TAKEN_BACK_MAX", TOLD - LEFT)


def let_everything_pass(patch: pytest.MonkeyPatch) -> None:
    async def unasked(
        _conn: Connection, _company_id: UUID, told: Sequence[Any], *, now: datetime
    ) -> list[Any]:
        del now
        return list(told)

    patch.setattr(preparing, "still_shared", unasked)


async def tell(world: World, reader: Reader, count: int = 1, *, at: datetime = NOW) -> list[UUID]:
    """Tell the reader so often that the driver is late."""
    facts = {"alert": "late", "driver": str(world.driver.member_id), "raised_at": rfc3339(at)}
    told = (world.company_id, reader.member_id, NoticeKind.ROUTE_ALERT, facts)
    async with db.tenant(world.pool, world.company_id) as conn:
        return [await notices.queue(conn, *told, now=at) for _ in range(count)]


async def tell_other(world: World, reader: Reader) -> None:
    facts = {"driver": str(world.driver.member_id), "disputed_at": rfc3339(NOW)}
    told = (world.company_id, reader.member_id, NoticeKind.ATTESTATION_DISPUTED, facts)
    async with db.tenant(world.pool, world.company_id) as conn:
        await notices.queue(conn, *told, now=NOW)


async def page(
    client: ClientSession, reader: Reader, *, limit: int = 50, cursor: str | None = None
) -> tuple[list[dict[str, Any]], str | None]:
    asked = {"limit": str(limit)} | ({} if cursor is None else {"cursor": cursor})
    async with client.get("/v1/me/notices", params=asked, headers=bearer(reader.token)) as answer:
        assert answer.status == 200, await answer.text()
        body = await answer.json()
    return body["items"], body["next_cursor"]


async def inbox(client: ClientSession, reader: Reader) -> list[str]:
    items, _ = await page(client, reader)
    assert all(one["title"] for one in items)
    return [one["kind"] for one in items]


async def exported(world: World, reader: Reader, now: datetime = NOW + SECOND) -> list[UUID]:
    async with db.tenant(world.pool, world.company_id, readonly=True) as conn:
        found = await notices.export(conn, world.vault, world.company_id, reader.member_id, now=now)
    return [one.notice.notice_id for one in found.notices]


async def seen(client: ClientSession, reader: Reader, notice_ids: Sequence[UUID]) -> int:
    """Say of each that it was seen; return how often that is taken."""
    taken = 0
    for one in notice_ids:
        path = f"/v1/me/notices/{one}/seen"
        async with client.post(path, headers=bearer(reader.token)) as answer:
            assert answer.status in {204, 404}
            taken += answer.status == 204
    return taken


async def stored(world: World) -> int:
    count: int = await world.owner.fetchval("SELECT count(*) FROM notice WHERE kind = $1", ALERT)
    return count


# ---- reading


async def read_after_withdrawal(
    world: World, client: ClientSession, reader: Reader, item: str, *, written: bool
) -> tuple[list[str], int, int]:
    """Return what the inbox shows, how many alerts are exported, and how many can be seen."""
    alerts = await tell(world, reader, TOLD)
    await tell_other(world, reader)
    if written:
        assert await inbox(client, reader) == [OTHER, *[ALERT] * TOLD]
    await withdraw(world, item, at=NOW + SECOND)
    assert await stored(world) == LEFT
    shown = await inbox(client, reader)
    of_alerts = set(alerts).intersection(await exported(world, reader))
    return shown, len(of_alerts), await seen(client, reader, alerts)


@pytest.mark.parametrize("item", ["location", "plan_fact"])
@pytest.mark.parametrize("written", [False, True])
async def test_what_a_withdrawal_left_to_its_job_is_not_readable_before_that(
    client: ClientSession, world: World, reader: Reader, item: str, *, written: bool
) -> None:
    found = await read_after_withdrawal(world, client, reader, item, written=written)

    assert found == ([OTHER], 0, 0)
    assert len(await jobs_waiting(world)) == 1


@pytest.mark.parametrize("written", [False, True])
async def test_control_where_nobody_asks_the_gate_it_is_read(
    client: ClientSession,
    world: World,
    reader: Reader,
    monkeypatch: pytest.MonkeyPatch,
    *,
    written: bool,
) -> None:
    let_everything_pass(monkeypatch)

    found = await read_after_withdrawal(world, client, reader, "plan_fact", written=written)

    assert found == ([OTHER, *[ALERT] * LEFT], LEFT, LEFT)


async def test_a_page_that_some_are_hidden_from_leads_on_to_the_next(
    client: ClientSession, world: World, reader: Reader
) -> None:
    await tell_other(world, reader)
    await tell(world, reader, TOLD)
    await tell_other(world, reader)
    await withdraw(world, "plan_fact", at=NOW + SECOND)

    pages = [await page(client, reader, limit=2)]
    while pages[-1][1] is not None:
        pages.append(await page(client, reader, limit=2, cursor=pages[-1][1]))

    assert [[one["kind"] for one in items] for items, _ in pages] == [[OTHER], [], [OTHER]]


async def shown_when_withdrawn_meanwhile(
    world: World, client: ClientSession, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """Withdraw just after the page was read; return what it shows."""
    await tell(world, reader, TOLD)
    assert await inbox(client, reader) == [ALERT] * TOLD  # written from now on: it is read once
    in_app = store.in_app

    async def meanwhile(*args: Any, **asked: Any) -> list[Notice]:
        found = await in_app(*args, **asked)
        await withdraw(world, "plan_fact", at=NOW + SECOND)
        return found

    monkeypatch.setattr(store, "in_app", meanwhile)
    return await inbox(client, reader)


async def test_a_withdrawal_that_comes_while_a_page_is_read_counts(
    client: ClientSession, world: World, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await shown_when_withdrawn_meanwhile(world, client, reader, monkeypatch) == []


async def test_control_of_a_page_that_is_shown_as_it_was_read_it_does_not(
    client: ClientSession, world: World, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_everything_pass(monkeypatch)

    found = await shown_when_withdrawn_meanwhile(world, client, reader, monkeypatch)

    assert found == [ALERT] * TOLD


async def test_what_ran_out_hides_them_before_that_is_written_down(
    client: ClientSession, world: World, reader: Reader, clock: Clock
) -> None:
    await tell(world, reader)
    await world.owner.execute("UPDATE gate SET plan_fact_until = $1", NOW + MINUTE)
    before = await inbox(client, reader)

    clock.at = NOW + MINUTE

    assert (before, await inbox(client, reader)) == ([ALERT], [])


async def test_they_are_hidden_while_the_drivers_account_is_not_active(
    client: ClientSession, world: World, reader: Reader
) -> None:
    await tell(world, reader)
    shown = []
    for active in (True, False, True):
        async with db.tenant(world.pool, world.company_id) as conn:
            await gate.set_account_active(
                conn, world.company_id, world.driver.member_id, active=active
            )
        shown.append(await inbox(client, reader))

    assert shown == [[ALERT], [], [ALERT]]


async def test_one_that_was_deleted_since_it_was_read_is_not_shown(
    world: World, reader: Reader
) -> None:
    told = await tell(world, reader)
    async with db.tenant(world.pool, world.company_id) as conn:
        found = await store.every_notice(conn, world.company_id, reader.member_id)
        async with db.tenant(world.pool, world.company_id) as other:
            await notices.delete(other, world.company_id, told)
        shared = await preparing.still_shared(conn, world.company_id, found, now=NOW)

    assert ([one.notice_id for one in found], shared) == (told, [])


# ---- sending


async def sent_after_withdrawal(world: World, reader: Reader, *, written: bool) -> int:
    """Tell and withdraw; return how many messages leave in the three days after.

    With ``written`` they were tried before, and put off.
    """
    adapter = Adapter(status=503)
    async with adapter_server(adapter) as url:
        sender = deliverer(world, None, url)
        await tell(world, reader, TOLD)
        if written:
            await sender.deliver_due(world.company_id, NOW)
            assert len(adapter.got) == TOLD
        await withdraw(world, "plan_fact", at=NOW + SECOND)
        assert await stored(world) == LEFT
        adapter.got.clear()
        adapter.status = 202
        for after in (2 * MINUTE, 2 * HOUR, 72 * HOUR):
            await sender.deliver_due(world.company_id, NOW + after)
    return len(adapter.got)


async def test_what_waited_when_it_was_withdrawn_is_withheld_until_the_job_takes_it(
    world: World, reader: Reader
) -> None:
    sent = await sent_after_withdrawal(world, reader, written=True)

    assert sent == 0
    left = await world.owner.fetch("SELECT notice_id FROM notice WHERE kind = $1", ALERT)
    assert len(left) == LEFT
    for row in left:
        assert await happened(world, row["notice_id"], Channel.PUSH) == [
            "queued",
            "attempt_failed: deferred",
            "withheld: not_shared",
        ]
    (job,) = await jobs_waiting(world)
    await taking_back.take_back_sent(world.pool, job)
    assert await stored(world) == 0


async def test_what_was_not_written_when_it_was_withdrawn_is_never_written(
    world: World, reader: Reader
) -> None:
    sent = await sent_after_withdrawal(world, reader, written=False)

    assert sent == 0
    assert await stored(world) == 0  # nor does it stand before what is to be written


@pytest.mark.parametrize("written", [False, True])
async def test_control_where_nobody_asks_the_gate_it_is_sent(
    world: World, reader: Reader, monkeypatch: pytest.MonkeyPatch, *, written: bool
) -> None:
    let_everything_pass(monkeypatch)

    sent = await sent_after_withdrawal(world, reader, written=written)

    assert sent == LEFT


async def sent_when_withdrawn_meanwhile(
    world: World, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> tuple[int, list[str]]:
    """Withdraw while the message is put together; return how many leave, and the evidence."""
    held_text = preparing.held_text

    async def meanwhile(*args: Any) -> HeldText:
        text = await held_text(*args)
        await withdraw(world, "plan_fact", at=NOW + SECOND)
        return text

    monkeypatch.setattr(preparing, "held_text", meanwhile)
    adapter = Adapter()
    (alert,) = await tell(world, reader)
    async with adapter_server(adapter) as url:
        await deliverer(world, None, url).deliver(world.company_id, alert, NOW)
    return len(adapter.got), await happened(world, alert, Channel.PUSH)


async def test_who_withdraws_just_before_it_leaves_waits_for_nothing_and_it_does_not_leave(
    world: World, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await sent_when_withdrawn_meanwhile(world, reader, monkeypatch)

    assert found == (0, ["queued", "withheld: not_shared"])


async def test_control_asked_only_when_it_was_written_it_leaves(
    world: World, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def asked_before(*_: Any) -> None:
        return None

    monkeypatch.setattr(Deliverer, "_withheld", asked_before)

    found = await sent_when_withdrawn_meanwhile(world, reader, monkeypatch)

    assert found == (1, ["queued", "handed_over"])


# ---- under a consent given again


@pytest.mark.parametrize("item", ["location", "plan_fact"])
async def test_under_a_consent_given_again_what_is_told_since_is_read_and_sent_and_nothing_before(
    client: ClientSession, world: World, reader: Reader, clock: Clock, item: str
) -> None:
    await tell(world, reader, TOLD)
    await withdraw(world, item, at=NOW + SECOND)
    await give(world, item, at=NOW + HOUR)
    clock.at = NOW + 2 * HOUR
    (since,) = await tell(world, reader, at=clock.at)
    adapter = Adapter()

    async with adapter_server(adapter) as url:
        await deliverer(world, None, url, clock).deliver_due(world.company_id, clock.at)
    items, _ = await page(client, reader)

    assert [one["message_id"] for one in adapter.got] == [f"{since}.push"]
    assert [one["notice_id"] for one in items] == [str(since)]
    assert await exported(world, reader, clock.at) == [since]
    assert await seen(client, reader, [since]) == 1
