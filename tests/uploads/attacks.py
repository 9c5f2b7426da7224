"""What hostile clients do on the wire, and what must be seen of it."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final
from uuid import UUID, uuid4

import psutil

from server.kit import tokens
from server.kit.http_connection import Limits
from server.kit.http_server import Address
from tests.kit.wire_taps import edge
from tests.proofs import Progress, Row, at_least, at_most
from tests.stage import Stage
from tests.uploads.raw_phone import RawPhone, numbered, raw_phone, request

LIMITS: Final = Limits()
NEW: Final = "127.0.0.3"
ALONE: Final = "127.0.0.4"
OPENED_AT_ONCE: Final = 50
OPENED_EVERY_S: Final = 0.05
"""A thousand connections in a second: what is tried is to hold them."""
SLICES: Final = 20
"""Of a second: those who send a byte a second do not all do so in the same moment."""
WAVES: Final = 2
FORGERS: Final = 200
FLOODING: Final = 20
"""Connections."""
UNDER_WAY: Final = 50
"""Requests that one connection of the flood sends before it reads."""
PADDING_BYTES: Final = 40_000
"""Makes an upload of the flood cost its device ten times as much of its allowance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Much:
    """How hostile they are."""

    quiet_s: float
    connections: int
    slow: int
    slow_s: float
    """Long enough to see who is cut off, or as long as a short run can wait."""
    halves: int
    pipelining: int
    pipelined: int
    forged: int
    flooding_s: float
    honest_ms_max: float
    grown_mb_max: float
    """By what comes again, or in ever new forms, once the first of it was taken in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The server, and the devices that hostile clients got hold of."""

    address: Address
    process: psutil.Process
    company_id: UUID
    devices: tuple[str, ...]
    """For pipelining: each has its whole allowance."""
    spare: tuple[str, ...]
    """For all else."""
    honest: str
    """The token of a device of another company."""
    much: Much

    def memory_mb(self) -> float:
        return float(self.process.memory_info().rss) / 1e6

    def connections(self) -> int:
        """Return how many callers it holds, by the machine's own table, which anybody may read."""
        held = {psutil.CONN_ESTABLISHED, psutil.CONN_CLOSE_WAIT}
        table = (one for one in psutil.net_connections("inet") if one.status in held)
        return sum((self.address.port,) == one.laddr[1:] for one in table)


Attack = Callable[[Stage, Target], Awaitable[list[Row]]]


def addresses(prefix: str) -> Iterator[str]:
    """Yield addresses of this machine, each as often as one address may be connected."""
    for last in range(1, 250):
        for _ in range(LIMITS.connections_per_address_max):
            yield f"{prefix}.{last}"


@asynccontextmanager
async def connected(address: Address, sources: list[str]) -> AsyncGenerator[list[RawPhone]]:
    """Connect from each of the addresses; those that are refused are among them, closed."""
    phones: list[RawPhone] = []
    async with AsyncExitStack() as stack:

        async def connect(source: str) -> None:
            with suppress(OSError):
                phones.append(await stack.enter_async_context(raw_phone(address, local=source)))

        for first in range(0, len(sources), OPENED_AT_ONCE):
            await asyncio.gather(*map(connect, sources[first : first + OPENED_AT_ONCE]))
            await asyncio.sleep(OPENED_EVERY_S)
        await asyncio.sleep(0.5)  # whoever is refused is told so by now
        yield phones
        for phone in phones:
            phone.abort()


def open_ones(phones: list[RawPhone]) -> list[RawPhone]:
    return [one for one in phones if not one.reader.at_eof() and one.reader.exception() is None]


async def is_answered(target: Target, source: str) -> bool:
    """Tell whether a phone that connects now is answered."""
    with suppress(OSError, EOFError, TimeoutError):
        async with raw_phone(target.address, local=source) as phone:
            await phone.send(request(target.honest, b"{"))
            return (await phone.answer()).status == 400
    return False


async def one_address(_at: Stage, target: Target) -> list[Row]:
    asked = target.much.connections
    async with connected(target.address, [ALONE] * asked) as phones:
        inside = len(open_ones(phones))
        others = await is_answered(target, NEW)
    twice = 2 * LIMITS.connections_per_address_max
    async with (
        edge(replace(LIMITS, connections_per_address_max=twice)) as uncapped,
        connected(uncapped, [ALONE] * twice) as phones,
    ):
        control = len(open_ones(phones))
    capped = at_most(
        "connections that one address holds",
        inside,
        LIMITS.connections_per_address_max,
        note=f"of {asked}",
    )
    return [
        replace(capped, control=control),
        at_least("connections of one address without the cap", control, twice),
        at_least("a new phone of another address is answered meanwhile", int(others), 1),
    ]


async def many_addresses(_at: Stage, target: Target) -> list[Row]:
    sources = addresses("127.0.1")
    asked = [next(sources) for _ in range(target.much.connections)]
    held_mb = [target.memory_mb()]
    inside: list[RawPhone] = []
    for _ in range(WAVES):
        async with connected(target.address, asked) as phones:
            inside = open_ones(phones)
            held_mb.append(target.memory_mb())
    each_kb = (held_mb[1] - held_mb[0]) * 1_000 / max(1, len(inside))
    return [
        at_most(
            "memory grown by the same connections again",
            max(0.0, held_mb[-1] - held_mb[1]),
            target.much.grown_mb_max,
            unit="MB",
            note=f"from {held_mb[1]:.0f} MB",
        ),
        at_most(
            "connections that many addresses hold",
            len(inside),
            LIMITS.connections_max,
            note=f"of {len(asked)}, {each_kb:.0f} kB each; when full, new ones are closed",
        ),
        at_least("a new phone is answered after", int(await is_answered(target, NEW)), 1),
    ]


async def slow(_at: Stage, target: Target) -> list[Row]:
    """Send one byte a second: half of them of the head, half of the body."""
    much, sources = target.much, addresses("127.0.2")
    body = numbered(1, now=datetime.now(UTC))
    wholes = [request(token, body) for token in target.spare]
    body_at = wholes[0].index(b"\r\n\r\n") + 4
    waits_for_bodies = much.slow_s > LIMITS.body_s_max
    until = time.monotonic() + much.slow_s
    async with connected(target.address, [next(sources) for _ in range(much.slow)]) as phones:
        sent = [0] * len(phones)
        for place in range(0, len(phones), 2):
            phones[place].writer.write(wholes[place % len(wholes)][:body_at])
            sent[place] = body_at
        slice_of = 0
        while time.monotonic() < until:
            for place in range(slice_of, len(phones), SLICES):
                if not phones[place].writer.is_closing():
                    whole = wholes[place % len(wholes)]
                    phones[place].writer.write(whole[sent[place] : sent[place] + 1])
                    sent[place] += 1
            slice_of = (slice_of + 1) % SLICES
            await asyncio.sleep(1 / SLICES)
        left = len(open_ones(phones))
    if not waits_for_bodies:
        return [Row(figure="slow connections", value=len(phones), note="too short to see an end")]
    return [at_most("slow connections left", left, 0, note=f"of {len(phones)}")]


async def halves(at: Stage, target: Target) -> list[Row]:
    """Go away in the middle of a body, by an end or by a reset."""
    sources = addresses("127.0.3")
    body = numbered(1, now=datetime.now(UTC))
    rows = await stored(at, target)

    async def half(number: int, source: str) -> None:
        whole = request(target.spare[number % len(target.spare)], body)
        with suppress(OSError):
            async with raw_phone(target.address, local=source) as phone:
                await phone.send(whole[: len(whole) * (1 + number % 9) // 10])
                if number % 2:
                    phone.abort()

    for first in range(0, target.much.halves, UNDER_WAY):
        await asyncio.gather(*(half(first + one, next(sources)) for one in range(UNDER_WAY)))
    stored_rows = await stored(at, target) - rows
    return [at_most("half uploads stored", stored_rows, 0, note=f"of {target.much.halves}")]


async def pipelining(at: Stage, target: Target) -> list[Row]:
    """Send everything before the first answer is read."""
    much, now = target.much, datetime.now(UTC)
    rows = await stored(at, target)

    statuses: Counter[int] = Counter()

    async def phone_of(token: str, source: str) -> int:
        whole = b"".join(request(token, numbered(one, now=now)) for one in range(much.pipelined))
        async with raw_phone(target.address, local=source) as phone:
            sending = asyncio.create_task(phone.send(whole))
            answers = [await phone.answer(60) for _ in range(much.pipelined)]
            await sending
        statuses.update(answer.status for answer in answers)
        return sum(
            answer.status != 200 or answer.number != place for place, answer in enumerate(answers)
        )

    sources = addresses("127.0.4")
    wrong = await asyncio.gather(
        *(phone_of(token, next(sources)) for token in target.devices[: much.pipelining])
    )
    whole = much.pipelining * much.pipelined
    new = await stored(at, target) - rows
    return [
        at_most(
            "pipelined answers lost, doubled or exchanged", sum(wrong), 0, note=_told(statuses)
        ),
        at_most("pipelined uploads answered and not stored once", abs(whole - new), 0),
    ]


async def forged(_at: Stage, target: Target) -> list[Row]:
    """Come with another token each time: half of them of a company that there is."""
    much, sources, left = target.much, addresses("127.0.5"), target.much.forged
    grown: list[float] = []
    wrong, progress = 0, Progress("forged tokens", much.forged)

    async def phone_of(source: str) -> None:
        nonlocal left, wrong
        async with raw_phone(target.address, local=source) as phone:
            while left > 0:
                count = min(UNDER_WAY, left)
                left -= count
                made = (
                    tokens.mint("jd", target.company_id if one % 2 else uuid4())[0]
                    for one in range(count)
                )
                await phone.send(b"".join(request(token, b"{}") for token in made))
                for _ in range(count):
                    wrong += (await phone.answer(60)).status != 401
                    progress.step()
                grown.append(target.memory_mb())

    began_s = time.monotonic()
    await asyncio.gather(*(phone_of(next(sources)) for _ in range(FORGERS)))
    took_s = time.monotonic() - began_s
    # Caches fill at first: what counts is that they do not go on growing.
    warm = grown[len(grown) // 10] if len(grown) > 10 else grown[0]
    return [
        at_most("forged tokens answered otherwise than 401", wrong, 0, note=f"of {much.forged}"),
        at_most(
            "memory grown by forged tokens",
            max(0.0, max(grown) - warm),
            much.grown_mb_max,
            unit="MB",
            note=f"{much.forged / took_s:.0f}/s",
        ),
    ]


async def flood(_at: Stage, target: Target) -> list[Row]:
    """Upload as fast as one device can, over many connections."""
    sources, until = addresses("127.0.6"), time.monotonic() + target.much.flooding_s
    statuses: Counter[int] = Counter()
    body = numbered(0, now=datetime.now(UTC)) + b" " * PADDING_BYTES

    async def phone_of(source: str) -> None:
        async with raw_phone(target.address, local=source) as phone:
            while time.monotonic() < until:
                await phone.send(request(target.spare[0], body) * UNDER_WAY)
                for _ in range(UNDER_WAY):
                    statuses[(await phone.answer(60)).status] += 1

    await asyncio.gather(*(phone_of(next(sources)) for _ in range(FLOODING)))
    strange = sum(count for status, count in statuses.items() if status not in (200, 429, 503))
    return [
        at_most(
            "answers to a flood that are none of 200, 429, 503", strange, 0, note=_told(statuses)
        ),
        at_least("uploads of a flood that are told to wait", statuses[429], 1),
    ]


def _told(statuses: Counter[int]) -> str:
    return ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items()))


async def stored(at: Stage, target: Target) -> int:
    count: int = await at.owner.fetchval(
        "SELECT count(*) FROM chunk WHERE company_id = $1", target.company_id
    )
    return count


ATTACKS: Final[dict[str, Attack]] = {
    "one address": one_address,
    "many addresses": many_addresses,
    "one byte a second": slow,
    "half bodies": halves,
    "pipelining": pipelining,
    "forged tokens": forged,
    "a device that floods": flood,
}
