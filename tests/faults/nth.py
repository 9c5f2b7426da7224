"""The n-th operation fails: n = 1, 2, ... until a flow passes without reaching it.

After each failure what must hold is looked at, and the flow has to succeed when it is simply tried
again. Nothing of ours is replaced: statements fail between the driver and PostgreSQL, ciphers at
the border of the library.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Protocol, TypeAlias

from cryptography.exceptions import InternalError
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.faults.postgres_proxy import Cut, ErrorInstead, Exchange, Fault

STEPS_MAX: Final = 500
NEVER: Final = 10**9
A_HINT: Final = "SELECT pg_notify("
"""Told to other processes some time after an upload: of no flow, and lost without harm."""


class Told(Enum):
    """What whoever asked was told."""

    DONE = "done"
    UNAVAILABLE = "unavailable: may be tried again"
    FAILED = "failed"


class Links(Enum):
    """How a flow finds the links to the database: with nothing prepared, or as they are."""

    NEW = "new"
    OPEN = "open"


class Broken(Exception):
    """Something does not hold. ``str`` says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """How the n-th operation fails."""

    name: str
    fault: Fault | None
    """None: the library that encrypts fails instead."""
    lasts: bool = False
    """And nothing reaches the database any more, until it is over."""


FAILURES: Final = (
    Failure(name="link cut before", fault=Cut.BEFORE),
    Failure(name="link cut before, and stays away", fault=Cut.BEFORE, lasts=True),
    Failure(name="link cut after the commit", fault=Cut.AFTER),
    Failure(name="link cut after the commit, and stays away", fault=Cut.AFTER, lasts=True),
    Failure(name="disk full (53100)", fault=ErrorInstead("53100")),
    Failure(name="serialization failure (40001)", fault=ErrorInstead("40001")),
    Failure(name="session ended (57P01)", fault=ErrorInstead("57P01")),
    Failure(name="AES-GCM call fails", fault=None),
)
BY_NAME: Final = {one.name: one for one in FAILURES}


class Switch:
    """Counts the operations of a flow and fails the one it is told to."""

    def __init__(self) -> None:
        self._failure: Failure | None = None
        self._nth = NEVER
        self._count = 0

    def arm(self, failure: Failure, nth: int) -> None:
        self._failure, self._nth, self._count = failure, nth, 0

    def disarm(self) -> bool:
        """Let everything pass again; tell whether the operation was reached."""
        reached = self._count >= self._nth
        self._failure, self._nth = None, NEVER
        return reached

    async def judge(self, exchange: Exchange) -> Fault | None:
        """Decide for the proxy."""
        failure = self._failure
        if failure is None or failure.fault is None or A_HINT in exchange.statement:
            return None
        self._count += 1
        if self._count == self._nth:
            return failure.fault
        return Cut.BEFORE if failure.lasts and self._count > self._nth else None

    def cipher(self, key: bytes) -> "Cipher":
        """Stand in the place of ``AESGCM``."""
        return Cipher(AESGCM(key), self)

    def before_cipher(self) -> None:
        if self._failure is None or self._failure.fault is not None:
            return
        self._count += 1
        if self._count == self._nth:
            raise InternalError("fault", [])


class Cipher:
    """The library's cipher, of which a call may fail."""

    def __init__(self, real: AESGCM, switch: Switch) -> None:
        self._real = real
        self._switch = switch

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes:
        self._switch.before_cipher()
        return self._real.encrypt(nonce, data, associated_data)

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes:
        self._switch.before_cipher()
        return self._real.decrypt(nonce, data, associated_data)


Case: TypeAlias = Any
"""What one run of a flow is about: a flow's own."""


class Stage(Protocol):
    """Where flows run."""

    switch: Switch

    async def cut_links(self) -> None:
        """Let the flow begin without a connection, and without a statement prepared."""

    async def settled(self) -> None:
        """Return when nothing is left of what ran; raise Broken if something stays."""


class Flow(Protocol):
    """Something that is done by one request or one run of a job."""

    @property
    def name(self) -> str: ...

    async def prepare(self) -> Case:
        """Make what a run needs, under no fault."""

    async def act(self, case: Case) -> Told: ...

    async def check(self, case: Case, told: Told) -> None:
        """Look at what is stored; raise Broken if it is not what was told."""


@dataclass(slots=True, kw_only=True)
class Found:
    """What came of a flow under one failure."""

    flow: str
    failure: str
    operations: int = 0
    runs: int = 0
    told: dict[Told, int] = field(default_factory=lambda: dict.fromkeys(Told, 0))
    broken: list[str] = field(default_factory=list)


async def each_fails(
    stage: Stage,
    flow: Flow,
    failure: Failure,
    *,
    first: int = 1,
    step: int = 1,
    links: tuple[Links, ...] = tuple(Links),
    until_broken: bool = False,
    most: int = STEPS_MAX,
) -> Found:
    """Let each ``step``-th operation fail in turn, with links that are new and that are open.

    From the ``first`` one on, until the flow passes untouched; it has at ``most`` so many.
    """
    found = Found(flow=flow.name, failure=failure.name)
    for link in links:
        reached = True
        for nth in range(first, most, step):
            reached = await _run(stage, flow, failure, nth, found, link)
            if not reached or (until_broken and found.broken):
                break
            found.operations += 1
        if reached and not found.broken:
            found.broken.append("the flow has no end")
    return found


async def _run(
    stage: Stage, flow: Flow, failure: Failure, nth: int, found: Found, link: Links
) -> bool:
    case = await flow.prepare()
    await stage.settled()
    if link is Links.NEW:
        await stage.cut_links()
    stage.switch.arm(failure, nth)
    reached = True
    try:
        try:
            told = await flow.act(case)
            await stage.settled()  # what goes on after the answer may fail, too
        finally:
            reached = stage.switch.disarm()
            found.runs += 1
        found.told[told] += 1
        _refuse_wrong(told, failure, reached=reached)
        await flow.check(case, told)
        _refuse_undone(await flow.act(case))
        await flow.check(case, Told.DONE)
    except Broken as broken:
        place = f"{flow.name}, {failure.name}, operation {nth}, {link.value} links"
        found.broken.append(f"{place}: {broken}")
    return reached


def _refuse_wrong(told: Told, failure: Failure, *, reached: bool) -> None:
    if not reached and told is not Told.DONE:
        raise Broken(f"nothing failed, and yet: {told.value}")
    if told is Told.FAILED and failure.fault is not None:
        raise Broken("an outage was not told as one")


def _refuse_undone(again: Told) -> None:
    if again is not Told.DONE:
        raise Broken(f"tried again it was {again.value}")
