"""An honest phone in a process of its own, beside whoever is hostile: it tells how it is answered.

``python -m tests.uploads.honest_phone HOST PORT FROM`` reads its token from standard input and
writes a line for each upload: when it began (of ``time.monotonic``), the seconds until its answer,
and the answer's status, 0 for none. It ends with its input.
"""

import asyncio
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final, NamedTuple

from server.kit.http_server import Address
from tests.proofs import ROOT
from tests.uploads.raw_phone import numbered, raw_phone, request

EVERY_S: Final = 0.05
ANSWER_S_MAX: Final = 10.0
AGAIN_S: Final = 0.05
STARTED_S_MAX: Final = 30.0
"""For the process to start, or for an upload to be given up."""


class Told(NamedTuple):
    began_s: float
    took_s: float
    status: int
    """0 where none came."""


class HonestPhone:
    """Such a process, and what it has told so far."""

    def __init__(self) -> None:
        self.told: list[Told] = []

    async def since(self, began_s: float) -> list[Told]:
        """Return the uploads that were under way since then, once the last of them has ended."""
        ended_s = time.monotonic()
        async with asyncio.timeout(STARTED_S_MAX):
            while not self.told or self.told[-1].began_s < ended_s:  # noqa: ASYNC110 - lines come
                await asyncio.sleep(EVERY_S)
        return [
            one
            for one in self.told
            if one.began_s < ended_s and one.began_s + one.took_s >= began_s
        ]


@asynccontextmanager
async def honest_phone(address: Address, token: str, *, local: str) -> AsyncGenerator[HonestPhone]:
    """Let it upload for as long as the block lasts."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.uploads.honest_phone"),
        *(address.host, str(address.port), local),
        stdin=PIPE,
        stdout=PIPE,
        cwd=ROOT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    lines, phone = process.stdout, HonestPhone()

    async def listen() -> None:
        async for line in lines:
            began_s, took_s, status = line.split()
            phone.told.append(Told(float(began_s), float(took_s), int(status)))

    listening = asyncio.create_task(listen())
    try:
        process.stdin.write(f"{token}\n".encode())
        await phone.since(time.monotonic())
        yield phone
    finally:
        process.stdin.close()
        await process.wait()
        await listening


async def _upload(address: Address, token: str, local: str) -> None:
    while True:
        began_s = time.monotonic()
        try:
            async with raw_phone(address, local=local) as phone:
                while True:
                    body = numbered(0, now=datetime.now(UTC))
                    began_s = time.monotonic()
                    await phone.send(request(token, body))
                    answer = await phone.answer(ANSWER_S_MAX)
                    _tell(began_s, answer.status)
                    await asyncio.sleep(EVERY_S)
        except (OSError, EOFError, TimeoutError):
            _tell(began_s, 0)
        await asyncio.sleep(AGAIN_S)


def _tell(began_s: float, status: int) -> None:
    sys.stdout.write(f"{began_s} {time.monotonic() - began_s} {status}\n")
    sys.stdout.flush()


async def _main(host: str, port: str, local: str) -> None:
    orders = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(orders), sys.stdin
    )
    token = (await orders.readline()).decode().strip()
    uploading = asyncio.create_task(_upload(Address(host, int(port)), token, local))
    await orders.read()
    uploading.cancel()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
