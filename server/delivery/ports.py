"""The way out: e-mail by SMTP, text and push messages by a documented HTTP endpoint.

docs/reference/delivery-port.md. What the other side says is never kept or logged: it repeats
addresses.
"""

import asyncio
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage
from http import HTTPStatus
from typing import Final, Protocol

import aiosmtplib

from server.delivery.model import Message, Undelivered
from server.kit import outgoing
from server.kit.outgoing import AnswerTooSlow, Destination, Unreached
from server.notice_kinds.kinds import Category, Channel
from server.notices.model import Reason
from server.notices.writing import footer, one_line

HAND_OVER_S_MAX: Final = 6.0
"""Below the database's own limit of 10 s: an opt-out waits for a message that is on its way."""
GOODBYE_S_MAX: Final = 0.5
LINE_BYTES_MAX: Final = 998  # RFC 5322

_LATER: Final = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
)
_NOT_US: Final = frozenset(
    {
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.METHOD_NOT_ALLOWED,
        HTTPStatus.PROXY_AUTHENTICATION_REQUIRED,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpServer:
    """Where e-mails are handed over, and as whom."""

    host: str
    port: int
    sender: str
    implicit_tls: bool
    """Encrypted from the first byte; otherwise STARTTLS, which has to succeed."""
    plain: bool = False
    """No encryption at all: only for a server on this machine."""
    user: str | None = None
    password: str | None = field(default=None, repr=False)


class Port(Protocol):
    async def hand_over(self, message: Message, now: datetime) -> None:
        """Hand one message over; having returned, the other side has taken it on.

        Raises
        ------
        Undelivered
        """
        ...


def ports_of(
    smtp: SmtpServer | None, sms: Destination | None, push: Destination | None
) -> Mapping[Channel, Port]:
    """Return the ways out that are set up."""
    ports: dict[Channel, Port] = {}
    if smtp is not None:
        ports[Channel.EMAIL] = SmtpPort(smtp)
    for channel, destination in ((Channel.SMS, sms), (Channel.PUSH, push)):
        if destination is not None:
            ports[channel] = HttpPort(destination)
    return ports


class SmtpPort:
    """One connection per message: nothing of one reader's can reach another."""

    def __init__(self, server: SmtpServer, *, tls: ssl.SSLContext | None = None) -> None:
        self._server = server
        self._tls = tls or ssl.create_default_context()

    async def hand_over(self, message: Message, now: datetime) -> None:  # noqa: ARG002 - of Port
        mail = email_of(message, self._server.sender).as_bytes()
        client = aiosmtplib.SMTP(
            hostname=self._server.host,
            port=self._server.port,
            username=self._server.user,
            password=self._server.password,
            # Our host's name is nobody's business.
            local_hostname=self._server.sender.rpartition("@")[2],
            timeout=HAND_OVER_S_MAX,
            use_tls=self._server.implicit_tls,
            start_tls=not (self._server.implicit_tls or self._server.plain),
            tls_context=None if self._server.plain else self._tls,
        )
        try:
            async with asyncio.timeout(HAND_OVER_S_MAX):
                await self._transfer(client, message.to, mail)
        except TimeoutError:
            raise Undelivered(Reason.TOO_SLOW) from None
        finally:
            # Whatever becomes of the goodbye, the server has answered for the message.
            with suppress(Exception):
                async with asyncio.timeout(GOODBYE_S_MAX):
                    await client.quit()
            client.close()

    async def _transfer(self, client: aiosmtplib.SMTP, to: str, mail: bytes) -> None:
        try:
            await client.connect()
        except aiosmtplib.SMTPTimeoutError:
            raise Undelivered(Reason.TOO_SLOW) from None
        except aiosmtplib.SMTPConnectError:
            raise Undelivered(Reason.UNREACHABLE) from None
        except (aiosmtplib.SMTPException, OSError):
            # Reached, but it does not speak as the settings say: TLS, log-in, greeting.
            raise Undelivered(Reason.NOT_ACCEPTED_HERE) from None
        try:
            await client.sendmail(self._server.sender, [to], mail)
        except aiosmtplib.SMTPRecipientsRefused as error:
            raise Undelivered(_refusal(error.recipients[0].code)) from None
        except aiosmtplib.SMTPDataError as error:
            raise Undelivered(_refusal(error.code)) from None
        except aiosmtplib.SMTPTimeoutError:
            raise Undelivered(Reason.TOO_SLOW) from None
        except aiosmtplib.SMTPResponseException:
            raise Undelivered(Reason.NOT_ACCEPTED_HERE) from None
        except (aiosmtplib.SMTPException, OSError):
            raise Undelivered(Reason.UNREACHABLE) from None


def _refusal(code: int) -> Reason:
    return Reason.REFUSED if code >= HTTPStatus.INTERNAL_SERVER_ERROR else Reason.DEFERRED


def email_of(message: Message, sender: str) -> EmailMessage:
    """Return the e-mail. Every header is built by the library from values on one line."""
    mail = EmailMessage(policy=policy.SMTP)
    mail["From"] = Address(display_name=one_line(message.company), addr_spec=sender)
    mail["To"] = Address(addr_spec=message.to)
    mail["Subject"] = one_line(message.text.title)
    # Of the notice, not of the attempt: a message that arrives twice is recognised.
    mail["Date"] = message.queued_at
    mail["Message-ID"] = f"<{message.message_id}@{sender.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers
    if message.category is Category.MARKETING:
        mail["Precedence"] = "bulk"
    ending = footer(message.category, message.text.language, message.company)
    # base64: no line of ours can be taken for SMTP's end of data or be too long.
    mail.set_content(f"{message.text.body}\n\n-- \n{ending}\n", cte="base64")
    mail["Content-Language"] = message.text.language  # after the content, which resets its headers
    return mail


class HttpPort:
    """Text or push messages by POST to an adapter that the operator runs or rents."""

    def __init__(self, destination: Destination) -> None:
        self._destination = destination

    async def hand_over(self, message: Message, now: datetime) -> None:
        try:
            answer = await outgoing.post_json(
                self._destination,
                body_of(message),
                idempotency_key=message.message_id,
                within_s=HAND_OVER_S_MAX,
                now=now,
            )
        except AnswerTooSlow:
            raise Undelivered(Reason.TOO_SLOW) from None
        except Unreached:
            raise Undelivered(Reason.UNREACHABLE) from None
        reason = reason_of(answer.status)
        if reason is not None:
            raise Undelivered(reason, wait=answer.retry_after)


def body_of(message: Message) -> dict[str, str]:
    """Return what docs/reference/delivery-port.md describes."""
    return {
        "message_id": message.message_id,
        "channel": message.channel.value,
        "category": message.category.value,
        "to": message.to,
        "language": message.text.language,
        "text": message.text.short,
    }


def reason_of(status: int) -> Reason | None:
    """Return what an answer's status means; None: the message was taken on."""
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES or status == HTTPStatus.CONFLICT:
        return None  # 409: the adapter had this message before
    if status < HTTPStatus.BAD_REQUEST or status in _NOT_US:
        return Reason.NOT_ACCEPTED_HERE
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _LATER:
        return Reason.DEFERRED
    return Reason.REFUSED
