"""A message on its way to a driver: who waits for it, who does not, and what the evidence says."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from uuid import UUID

import pytest
from aiohttp import ClientSession

from server.attestations import service as attestations
from server.attestations.model import Disputed, How, Told
from server.consent import service as consent
from server.consent.model import ConsentItem
from server.credentials.model import Role
from server.erasure import service as erasure
from server.erasure.web import ENDPOINTS as ERASURE
from server.gate import service as gate
from server.kit import db
from server.kit.db import Connection
from server.ledger import service as ledger
from server.ledger.model import Actor, ActorKind
from server.notice_kinds.kinds import Channel
from server.notices import preference_store, service
from server.notices.web import ENDPOINTS as NOTICES
from server.policies.model import Document
from tests.delivery.http_port import Adapter, adapter_server
from tests.delivery.mail import Mailbox, smtp_server
from tests.delivery.stage import deliverer, events, happened
from tests.endpoints import ATTESTATIONS, CONSENT
from tests.http import Clock, bearer, serve
from tests.notices.stage import (
    Reader,
    add_reader,
    agree,
    tell,
    tell_news,
    want,
)
from tests.world import NOW, World

DELAY_S = 2.0
PROMPT_S = 0.6
"""Far less than the delay; a busy machine has its time."""


@dataclass
class OnItsWay:
    notice_id: UUID
    mailbox: Mailbox
    sending: asyncio.Task[None]


@asynccontextmanager
async def news_on_its_way(world: World, reader: Reader) -> AsyncGenerator[OnItsWay]:
    """Hand news over to a mail server that takes its time to answer."""
    await want(world, reader.member_id, email=True)
    notice_id = await tell_news(world, reader.member_id)
    mailbox = Mailbox(delay_s=DELAY_S)
    async with smtp_server(mailbox) as server:
        sender = deliverer(world, server)
        sending = asyncio.create_task(sender.deliver(world.company_id, notice_id, NOW))
        await mailbox.until_on_its_way()
        yield OnItsWay(notice_id=notice_id, mailbox=mailbox, sending=sending)
        await asyncio.gather(sending, return_exceptions=True)


@pytest.fixture
async def reader(world: World) -> Reader:
    found = await add_reader(world)
    await agree(world, found.member_id, "location", "dispatch_tracking")
    return found


@pytest.fixture
async def other(world: World) -> Reader:
    found = await add_reader(world, email=None, phone="+77017654321")
    await agree(world, found.member_id, "location", "dispatch_tracking")
    return found


async def withdraw(world: World, reader: Reader, item: ConsentItem) -> float:
    """Withdraw; return after how many seconds it was committed."""
    began = monotonic()
    ids = (world.company_id, reader.member_id)
    async with gate.stopping(world.pool, *ids, now=NOW) as conn:
        await consent.withdraw(conn, *ids, item, now=NOW)
    return monotonic() - began


async def ask_for_erasure(world: World, reader: Reader) -> float:
    began = monotonic()
    ids = (world.company_id, reader.member_id)
    by = Actor(kind=ActorKind.DRIVER, member_id=reader.member_id)
    async with gate.stopping(world.pool, *ids, now=NOW) as conn:
        await erasure.ask(conn, *ids, by=by, reason=None, now=NOW)
    return monotonic() - began


# ---- nobody waits for it who stops the recording


async def erasure_beside_news(
    world: World, reader: Reader, other: Reader
) -> tuple[list[float | BaseException], list[str]]:
    """Ask for an erasure while news are on their way, and let another driver withdraw.

    Return how long each took, or how it failed (the sender's time does not count), and what the
    evidence says.
    """
    async with news_on_its_way(world, reader) as news:

        async def sent() -> float:
            await news.sending
            return 0.0

        erased = asyncio.create_task(ask_for_erasure(world, reader))
        await asyncio.sleep(0.2)  # time to lock what it locks
        ended = await asyncio.gather(
            erased, withdraw(world, other, ConsentItem.LOCATION), sent(), return_exceptions=True
        )
    return list(ended), await happened(world, news.notice_id, Channel.EMAIL)


def are_prompt(ended: list[float | BaseException]) -> bool:
    return all(isinstance(one, float) and one < PROMPT_S for one in ended)


@pytest.mark.proves("relog-service:3.4")
async def test_an_erasure_and_all_other_acts_pass_a_message_that_is_on_its_way(
    world: World, reader: Reader, other: Reader
) -> None:
    ended, evidence = await erasure_beside_news(world, reader, other)

    assert are_prompt(ended), ended
    assert evidence == ["queued", "handed_over"]


async def test_control_an_act_that_waits_for_it_with_the_ledgers_head_stalls_them_all(
    world: World, reader: Reader, other: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    async def stop_and_wait(conn: Connection, company_id: UUID, driver_id: UUID) -> None:
        nonlocal calls
        calls += 1
        if calls > 1:  # as it comes to the cell, after those of the location were written down
            await preference_store.pass_on_their_way(conn, company_id, driver_id, lock_ms_max=5000)

    monkeypatch.setattr(service, "stop_marketing", stop_and_wait)

    ended, _ = await erasure_beside_news(world, reader, other)

    assert not are_prompt(ended)


async def location_behind_marketing(world: World, reader: Reader) -> float:
    """Withdraw marketing, then the location at once; return how long the latter took."""
    async with news_on_its_way(world, reader):
        first = asyncio.create_task(withdraw(world, reader, ConsentItem.MARKETING))
        await asyncio.sleep(0.2)
        took_s = await withdraw(world, reader, ConsentItem.LOCATION)
        await first
    return took_s


async def test_a_withdrawal_of_the_location_does_not_wait_behind_one_of_marketing(
    world: World, reader: Reader
) -> None:
    assert await location_behind_marketing(world, reader) < PROMPT_S


async def test_control_waiting_inside_the_act_holds_the_gate(
    world: World, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stop_and_wait(conn: Connection, company_id: UUID, driver_id: UUID) -> None:
        await preference_store.pass_on_their_way(conn, company_id, driver_id, lock_ms_max=5000)

    monkeypatch.setattr(service, "stop_marketing", stop_and_wait)

    assert await location_behind_marketing(world, reader) > PROMPT_S


async def test_a_dispute_stops_the_recording_at_once_and_the_news(
    world: World, reader: Reader
) -> None:
    ids = (world.company_id, reader.member_id)
    await attest(world, reader)
    async with news_on_its_way(world, reader) as news:
        began = monotonic()
        async with gate.stopping(world.pool, *ids, now=NOW) as conn:
            await attestations.dispute(conn, *ids, of=Disputed.EVERYTHING, now=NOW)
        took_s = monotonic() - began
        assert not news.sending.done()

    assert took_s < PROMPT_S
    assert await happened(world, news.notice_id, Channel.EMAIL) == ["queued", "handed_over"]
    async with db.tenant(world.pool, world.company_id) as conn:
        assert not any((await service.preference(conn, *ids)).wanted.values())


async def attest(world: World, reader: Reader) -> None:
    by = await add_reader(world, role=Role.DISPATCHER, email="dana@company.example", phone=None)
    told = Told(at=NOW, how=How.IN_PERSON, editions=((Document.DRIVER_NOTICE, 1),))
    async with db.tenant(world.pool, world.company_id) as conn:
        await attestations.attest(
            conn,
            world.company_id,
            reader.member_id,
            told,
            by=Actor(kind=ActorKind.DISPATCHER, member_id=by.member_id),
            by_member=by.member_id,
            now=NOW,
        )


async def test_asking_for_erasure_stops_the_news_whatever_the_consent_is(
    world: World, reader: Reader
) -> None:
    # As a wish is left that no consent stands behind: by a fault, or from before.
    async with db.tenant(world.pool, world.company_id) as conn:
        await service.start_marketing(conn, world.company_id, reader.member_id, now=NOW)

    await ask_for_erasure(world, reader)

    async with db.tenant(world.pool, world.company_id) as conn:
        found = await service.preference(conn, world.company_id, reader.member_id)
    assert not any(found.wanted.values())


# ---- the answer waits for it


@pytest.fixture
async def client(world: World) -> AsyncIterator[ClientSession]:
    async with serve(world, CONSENT, ATTESTATIONS, ERASURE, NOTICES) as opened:
        yield opened


OPT_OUTS = [
    ("POST", "/v1/me/consents/marketing/withdraw", None),
    ("PATCH", "/v1/me/notice-preferences", {"marketing": {"email": False}}),
    ("POST", "/v1/erasure-requests", {"driver_id": None}),
    ("POST", "/v1/me/attestation/dispute", None),
]


async def sent_before_the_answer(
    world: World,
    client: ClientSession,
    reader: Reader,
    opt_out: tuple[str, str, dict[str, object] | None],
) -> bool:
    """Opt out while news are on their way; tell whether they were out when it was answered."""
    method, path, body = opt_out
    await attest(world, reader)
    if body is not None and "driver_id" in body:
        body = {"driver_id": str(reader.member_id)}
    async with news_on_its_way(world, reader) as news:
        async with client.request(method, path, json=body, headers=bearer(reader.session)) as told:
            assert told.status in {200, 201}, await told.text()
        return await is_over(news.sending)


async def is_over(sending: asyncio.Task[None]) -> bool:
    """Tell whether the sender is done: committed, that is, and told so a moment later."""
    done, _ = await asyncio.wait({sending}, timeout=0.3)
    return bool(done)


@pytest.mark.proves("relog-service:3.4", "gocargo:how-we-use-1-newsletters")
@pytest.mark.parametrize("opt_out", OPT_OUTS, ids=[path for _, path, _ in OPT_OUTS])
async def test_an_opt_out_is_answered_when_the_message_is_out(
    world: World,
    client: ClientSession,
    reader: Reader,
    opt_out: tuple[str, str, dict[str, object] | None],
) -> None:
    assert await sent_before_the_answer(world, client, reader, opt_out)


@pytest.mark.parametrize("opt_out", OPT_OUTS, ids=[path for _, path, _ in OPT_OUTS])
async def test_control_without_draining_it_is_answered_before(
    world: World,
    client: ClientSession,
    reader: Reader,
    opt_out: tuple[str, str, dict[str, object] | None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def drain_nothing(*_: object) -> None:
        return

    monkeypatch.setattr(service, "drain", drain_nothing)

    assert not await sent_before_the_answer(world, client, reader, opt_out)


async def test_withdrawing_the_location_is_answered_while_the_message_is_on_its_way(
    world: World, client: ClientSession, reader: Reader
) -> None:
    opt_out = ("POST", "/v1/me/consents/location/withdraw", None)

    assert not await sent_before_the_answer(world, client, reader, opt_out)


async def test_withdrawing_the_notifications_waits_for_what_goes_to_the_phone(
    world: World, client: ClientSession, reader: Reader
) -> None:
    await agree(world, reader.member_id, "notifications")
    notice_id = await tell(world, reader.member_id)
    adapter = Adapter(delay_s=DELAY_S)
    async with adapter_server(adapter) as url:
        sender = deliverer(world, None, push=url)
        sending = asyncio.create_task(sender.deliver(world.company_id, notice_id, NOW))
        async with asyncio.timeout(5):
            while not adapter.got:  # noqa: ASYNC110 - the adapter tells nobody
                await asyncio.sleep(0.01)
        path = "/v1/me/consents/notifications/withdraw"
        async with client.post(path, headers=bearer(reader.session)) as told:
            assert told.status == 200
        assert await is_over(sending)

    assert await happened(world, notice_id, Channel.PUSH) == ["queued", "handed_over"]


# ---- when it happened


async def test_the_evidence_says_when_it_was_handed_over_not_when_the_run_began(
    world: World, reader: Reader
) -> None:
    clock, later = Clock(), NOW + timedelta(seconds=40)

    def take_long() -> None:
        clock.at = later

    notice_id = await tell(world, reader.member_id)
    async with smtp_server(Mailbox(on_data=take_long)) as server:
        await deliverer(world, server, clock=clock).deliver_due(world.company_id, NOW)

    assert [(one.event.value, one.at) for one in await events(world, notice_id)] == [
        ("queued", NOW),
        ("handed_over", NOW),  # in the app
        ("handed_over", later),
    ]
    async with db.tenant(world.pool, world.company_id) as conn:
        written = await ledger.entries_about(conn, world.company_id, reader.member_id, limit=9)
    sent = [one for one in written if one.act == "notice_sent"]
    assert [one.recorded_at for one in sent] == [NOW, later]
