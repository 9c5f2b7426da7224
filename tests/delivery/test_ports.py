import asyncio
import socket
from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.delivery import ports
from server.delivery.model import Message, Undelivered
from server.delivery.ports import HttpPort, SmtpPort, SmtpServer, body_of, email_of, reason_of
from server.kit.ids import uuid7
from server.kit.outgoing import Destination
from server.notice_kinds.kinds import Category, Channel
from server.notices.model import NoticeText, Reason
from server.notices.service import ON_THEIR_WAY_S_MAX
from tests.delivery.certificates import self_signed
from tests.delivery.http_port import Adapter, adapter_server
from tests.delivery.mail import SENDER, Mailbox, smtp_server
from tests.world import NOW


def message(channel: Channel = Channel.EMAIL, **changes: object) -> Message:
    values: dict[str, object] = {
        "message_id": f"{uuid7()}.{channel.value}",
        "channel": channel,
        "to": "aidos@driver.example" if channel is Channel.EMAIL else "+77010000001",
        "category": Category.SERVICE,
        "company": "Ақ жол",
        "text": NoticeText(
            language="kk", title="Тақырып", body="Алғашқы жол\n\nҚұпия", short="Қысқа"
        ),
        "queued_at": NOW,
    }
    return Message(**(values | changes))  # type: ignore[arg-type]  # names are the point here


def test_an_opt_out_waits_longer_than_a_message_takes() -> None:
    assert ports.HAND_OVER_S_MAX + ports.GOODBYE_S_MAX < ON_THEIR_WAY_S_MAX


async def reason(port: ports.Port, sent: Message) -> Reason | None:
    try:
        await port.hand_over(sent, NOW)
    except Undelivered as failed:
        return failed.reason
    return None


# ---- the e-mail itself


async def test_an_email_arrives_whole_with_an_id_that_stays() -> None:
    mailbox = Mailbox()
    sent = message()
    async with smtp_server(mailbox) as server:
        assert await reason(SmtpPort(server), sent) is None
        assert await reason(SmtpPort(server), sent) is None

    first, second = mailbox.messages()
    assert first["Message-ID"] == second["Message-ID"] == f"<{sent.message_id}@jolda.example>"
    assert first["Date"] == second["Date"]
    assert first["Subject"] == "Тақырып"
    assert first["From"] == f"Ақ жол <{SENDER}>"
    assert first["To"] == "aidos@driver.example"
    assert first["Auto-Submitted"] == "auto-generated"
    assert first["Content-Language"] == "kk"
    assert first.get_content().splitlines()[:4] == ["Алғашқы жол", "", "Құпия", ""]
    assert mailbox.got[0].mail_from == SENDER
    assert mailbox.got[0].rcpt_tos == ["aidos@driver.example"]


HOSTILE = st.text(
    alphabet=st.one_of(
        st.sampled_from('\r\n\x00\x0b\x0c\x1c\x85\u2028\u2029\t :<>@,;"\\=?'),
        st.characters(codec="utf-8"),
    ),
    max_size=200,
)
HEADERS = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "Content-Language",
    "Content-Type",
    "Content-Transfer-Encoding",
    "MIME-Version",
]


@given(company=HOSTILE, title=HOSTILE, body=HOSTILE)
def test_no_value_can_add_a_header_a_reader_or_a_line(company: str, title: str, body: str) -> None:
    text = NoticeText(language="ru", title=title, body=body, short="")

    raw = email_of(message(company=company, text=text), SENDER).as_bytes()

    head, _, content = raw.partition(b"\r\n\r\n")
    names = [line.partition(b":")[0] for line in head.split(b"\r\n") if line[:1] not in b" \t"]
    assert sorted(names) == sorted(name.encode() for name in HEADERS)
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert b"\r" not in raw.replace(b"\r\n", b"")
    assert raw.isascii()
    assert all(len(line) <= ports.LINE_BYTES_MAX for line in raw.split(b"\r\n"))
    assert not any(line.startswith(b".") for line in content.split(b"\r\n"))
    read = message_from_bytes(raw, policy=policy.default)
    assert [one.addr_spec for one in read["From"].addresses] == [SENDER]
    assert [one.addr_spec for one in read["To"].addresses] == ["aidos@driver.example"]


@pytest.mark.parametrize(
    "address",
    [
        "a@b.example\r\nBcc: x@y.example",
        "a@b.example, x@y.example",
        "a@b.example>",
        "a b@c.example",
    ],
)
def test_an_address_that_is_more_than_one_is_no_address(address: str) -> None:
    with pytest.raises((ValueError, IndexError)):
        email_of(message(to=address), SENDER)


def test_marketing_says_so_and_how_to_stop_it() -> None:
    marketing = email_of(message(category=Category.MARKETING), SENDER)
    service = email_of(message(), SENDER)

    assert marketing["Precedence"] == "bulk"
    assert service["Precedence"] is None
    assert marketing.get_content() != service.get_content()


# ---- a mail server that does not take it


@pytest.mark.parametrize(
    ("mailbox", "expected"),
    [
        (Mailbox(rcpt="550 <aidos@driver.example> unknown"), Reason.REFUSED),
        (Mailbox(rcpt="451 greylisted"), Reason.DEFERRED),
        (Mailbox(data="554 spam"), Reason.REFUSED),
        (Mailbox(data="452 disk full"), Reason.DEFERRED),
        (Mailbox(data=None), Reason.UNREACHABLE),
    ],
    ids=["unknown", "greylisted", "spam", "full", "drops"],
)
async def test_what_the_mail_server_says_becomes_a_reason(
    mailbox: Mailbox, expected: Reason
) -> None:
    async with smtp_server(mailbox) as server:
        assert await reason(SmtpPort(server), message()) is expected


async def test_a_slow_mail_server_is_left_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "HAND_OVER_S_MAX", 0.3)
    started = asyncio.get_running_loop().time()

    async with smtp_server(Mailbox(delay_s=5.0)) as server:
        assert await reason(SmtpPort(server), message()) is Reason.TOO_SLOW

    assert asyncio.get_running_loop().time() - started < 4.0


async def test_nobody_at_the_port_is_unreachable() -> None:
    nobody = SmtpServer(
        host="127.0.0.1", port=free_port(), sender=SENDER, implicit_tls=False, plain=True
    )
    there = Destination(url=f"http://127.0.0.1:{free_port()}/messages")

    assert await reason(SmtpPort(nobody), message()) is Reason.UNREACHABLE
    assert await reason(HttpPort(there), message(Channel.SMS)) is Reason.UNREACHABLE


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


async def test_a_mail_server_without_encryption_gets_nothing() -> None:
    mailbox = Mailbox()
    async with smtp_server(mailbox) as server:
        encrypted = replace(server, plain=False)
        assert await reason(SmtpPort(encrypted), message()) is Reason.NOT_ACCEPTED_HERE

    assert mailbox.got == []


async def test_mail_is_encrypted_and_the_certificate_has_to_be_trusted(tmp_path: Path) -> None:
    served, trusting = self_signed(tmp_path)
    mailbox = Mailbox()
    async with smtp_server(mailbox, tls=served) as server:
        assert await reason(SmtpPort(server), message()) is Reason.NOT_ACCEPTED_HERE
        assert mailbox.got == []
        assert await reason(SmtpPort(server, tls=trusting), message()) is None

    assert len(mailbox.got) == 1


# ---- the HTTP port


async def test_a_text_message_is_posted_as_documented() -> None:
    adapter = Adapter()
    sent = message(Channel.SMS)
    async with adapter_server(adapter) as url:
        port = HttpPort(Destination(url=url, token="s3cret"))  # noqa: S106 - of a test
        assert await reason(port, sent) is None

    assert adapter.got == [
        {
            "message_id": sent.message_id,
            "channel": "sms",
            "category": "service",
            "to": "+77010000001",
            "language": "kk",
            "text": "Қысқа",
        }
    ]
    (headers,) = adapter.seen_headers
    assert headers["Authorization"] == "Bearer s3cret"
    assert headers["Idempotency-Key"] == sent.message_id
    assert headers["Content-Type"] == "application/json"
    assert "Cookie" not in headers


def test_a_push_message_goes_to_a_member_by_id() -> None:
    member_id = str(uuid7())

    assert body_of(message(Channel.PUSH, to=member_id))["to"] == member_id


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    adapter = Adapter(status=status, headers={"Location": "/elsewhere"})
    async with adapter_server(adapter) as url:
        there = Destination(url=url, token="s3cret")  # noqa: S106 - of a test
        assert await reason(HttpPort(there), message(Channel.SMS)) is Reason.NOT_ACCEPTED_HERE

    assert adapter.elsewhere == 0


async def test_a_slow_adapter_is_left_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "HAND_OVER_S_MAX", 0.3)
    async with adapter_server(Adapter(delay_s=5.0)) as url:
        port = HttpPort(Destination(url=url))
        assert await reason(port, message(Channel.SMS)) is Reason.TOO_SLOW


async def test_an_adapter_that_is_not_trusted_gets_nothing(tmp_path: Path) -> None:
    served, _ = self_signed(tmp_path)
    adapter = Adapter()
    async with adapter_server(adapter, tls=served) as url:
        there = Destination(url=url, token="s3cret")  # noqa: S106 - of a test
        assert await reason(HttpPort(there), message(Channel.SMS)) is Reason.UNREACHABLE

    assert adapter.got == []


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("120", timedelta(minutes=2)),
        ("Sun, 22 Nov 2026 12:10:00 GMT", timedelta(minutes=10)),
        ("Sun, 22 Nov 2020 12:10:00 GMT", timedelta()),
        ("soon", None),
        ("9999999999", None),
    ],
)
async def test_an_adapter_may_say_when_to_come_again(header: str, wait: timedelta | None) -> None:
    adapter = Adapter(status=429, headers={"Retry-After": header})
    async with adapter_server(adapter) as url:
        with pytest.raises(Undelivered) as failed:
            await HttpPort(Destination(url=url)).hand_over(message(Channel.SMS), NOW)

    assert failed.value.reason is Reason.DEFERRED
    assert failed.value.wait == wait


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, None),
        (202, None),
        (204, None),
        (409, None),
        (400, Reason.REFUSED),
        (410, Reason.REFUSED),
        (422, Reason.REFUSED),
        (401, Reason.NOT_ACCEPTED_HERE),
        (403, Reason.NOT_ACCEPTED_HERE),
        (404, Reason.NOT_ACCEPTED_HERE),
        (408, Reason.DEFERRED),
        (429, Reason.DEFERRED),
        (500, Reason.DEFERRED),
        (503, Reason.DEFERRED),
    ],
)
def test_each_status_of_an_adapter_means_one_thing(status: int, expected: Reason | None) -> None:
    assert reason_of(status) is expected
