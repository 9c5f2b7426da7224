"""Drivers who are nobody, for a load on an installation of your own: their device tokens in a file.

    python -m bench.enrol --url http://127.0.0.1:8080 --login dispatcher@company.example \
        --phones-from +77000000001 --drivers 20 --tokens-file tokens.txt

A dispatcher invites each; then this answers as that driver would: accepts, consents, begins a
shift, registers a phone. Only over the public API. docs/how-to/measure-your-installation.md.
"""

import argparse
import asyncio
import getpass
import json
import os
import re
import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, TextIO

from bench.http1 import Caller, Origin
from bench.ours import OursOnly, origin_of
from tests.proofs import Progress

DRIVERS_MAX: Final = 1_000
ITEMS: Final = ("location", "dispatch_tracking", "plan_fact")
PHONE: Final = re.compile(r"\+[1-9][0-9]{7,13}")
TRY_AGAIN: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})


class Refused(Exception):
    """The server said no. ``str`` names the call, its status and its code, nothing of its body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    origin: Origin
    login: str
    password: str = field(repr=False)
    phones: Sequence[str] = field(repr=False)
    tokens_file: Path


class Api:
    """The server's API, JSON in and out, as whoever has the token."""

    def __init__(self, caller: Caller, token: str = "") -> None:
        self._caller = caller
        self._token = token

    async def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Call; where the server is to be asked later, ask it later.

        Raises
        ------
        Refused
        """
        sent = b"" if body is None else json.dumps(body).encode()
        while True:
            answer = await self._caller.ask(method, path, self._token, sent)
            if answer.status not in TRY_AGAIN:
                break
            wait_s = float(answer.header(b"retry-after") or 1)
            sys.stderr.write(f"The server asks to wait {wait_s:.0f} s.\n")
            await asyncio.sleep(wait_s)
        if answer.status >= HTTPStatus.BAD_REQUEST:
            code = json.loads(answer.body).get("code", "unknown")
            place = path.partition("?")[0]
            raise Refused(f"{method} {place} was answered with {answer.status} {code}.")
        return json.loads(answer.body) if answer.body else None

    async def log_in(self, login: str, password: str) -> "Api":
        session = await self.call(
            "POST", "/v1/session", {"login": login, "password": password, "transport": "bearer"}
        )
        return Api(self._caller, session["token"])


async def enrol(asked: Asked, tokens: TextIO) -> None:
    """Make the drivers, writing each one's token as soon as it is there.

    Raises
    ------
    Refused, OSError
    """
    caller = await Caller.connected(asked.origin)
    anybody = Api(caller)
    dispatcher = await anybody.log_in(asked.login, asked.password)
    progress = Progress("drivers", len(asked.phones))
    for number, phone in enumerate(asked.phones, start=1):
        tokens.write(await _driver(anybody, dispatcher, f"Load {number:04}", phone) + "\n")
        tokens.flush()
        progress.step()
    caller.close()


async def _driver(anybody: Api, dispatcher: Api, name: str, phone: str) -> str:
    """Return the token of the driver's phone."""
    added = await dispatcher.call(
        "POST", "/v1/drivers", {"name": name, "phone": phone, "locale": "en"}
    )
    password = secrets.token_urlsafe(24)
    code = added["invitation"]["code"]
    await anybody.call("POST", "/v1/invitations/accept", {"code": code, "password": password})
    driver = await anybody.log_in(phone, password)
    company_id = (await driver.call("GET", "/v1/session"))["company"]["company_id"]
    notice = await _notice(driver, company_id, "driver_notice")
    for item in ITEMS:
        answered = {"document": "driver_notice", **notice}
        body = {"item": item, "answer": "given", "notice": answered}
        await driver.call("POST", "/v1/me/consents", body)
    await driver.call("POST", "/v1/me/shift/start")
    device = await driver.call("POST", "/v1/me/devices", {"name": "Load generator"})
    shown = await _notice(driver, company_id, "device_notice")
    await driver.call("POST", f"/v1/me/devices/{device['device_id']}/notice", shown)
    return str(device["token"])


async def _notice(driver: Api, company_id: str, document: str) -> dict[str, Any]:
    path = f"/v1/policies/{document}/current?company_id={company_id}&language=en"
    shown = await driver.call("GET", path)
    return {"edition": shown["edition"], "language": "en", "sha256": shown["sha256"]}


def asked_for(words: Sequence[str]) -> Asked:
    """Return what the command line asks for.

    Raises
    ------
    OursOnly, ValueError
        ``str`` is a sentence for a person.
    """
    parser = argparse.ArgumentParser(
        prog="python -m bench.enrol", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--url", required=True, help="scheme, host and port of your installation")
    parser.add_argument("--login", required=True, help="of a dispatcher; the password is asked for")
    parser.add_argument("--phones-from", required=True, help="the first of numbers of nobody")
    parser.add_argument("--drivers", type=int, default=10)
    parser.add_argument("--tokens-file", type=Path, required=True, help="a new file")
    parser.add_argument("--yes-this-is-mine", action="store_true")
    told = parser.parse_args(words)
    origin = origin_of(told.url, is_mine=told.yes_this_is_mine)
    if not 1 <= told.drivers <= DRIVERS_MAX:
        raise ValueError(f"--drivers is 1 to {DRIVERS_MAX}.")
    if PHONE.fullmatch(told.phones_from) is None:
        raise ValueError("--phones-from is a number with its country: + and digits.")
    first = int(told.phones_from[1:])
    return Asked(
        origin=origin,
        login=told.login,
        password=_password(),
        phones=[f"+{first + number}" for number in range(told.drivers)],
        tokens_file=told.tokens_file,
    )


def _password() -> str:
    """Ask for the password; where nobody sits at the terminal, read a line."""
    if sys.stdin.isatty():
        return getpass.getpass("Password: ")
    return sys.stdin.readline().rstrip("\n")


def main(words: Sequence[str] | None = None) -> int:
    try:
        asked = asked_for(sys.argv[1:] if words is None else words)
        descriptor = os.open(asked.tokens_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as tokens:
            asyncio.run(enrol(asked, tokens))
    except (OursOnly, Refused, ValueError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
