"""What this process believes about the devices that upload.

Nothing here needs to be right: the storing statement compares it with the gate. Only what is
refused on a belief is checked first, since the statement never sees it.
"""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from server.accounts import service as accounts
from server.consent import service as consent
from server.consent.model import ConsentItem, ConsentState
from server.credentials import service as credentials
from server.credentials.model import NotAuthenticated
from server.devices import service as devices
from server.devices.model import NoticeStanding
from server.gate import service as gates
from server.gate.model import Gate, GateMissing
from server.kit import db, tokens
from server.kit.db import Connection, Pool
from server.kit.tokens import Token
from server.tracking.model import to_us
from server.uploads.acceptance import Terms, terms_of
from server.uploads.model import ConsentAnswer

BELIEFS_MAX: Final = 20_000
BELIEVED_S_MAX: Final = 60.0
UNKNOWN_MAX: Final = 10_000
UNKNOWN_S_MAX: Final = 5.0
"""A token that was unknown stays so: new ones are drawn at random, none comes back to life."""
READS_MAX: Final = 6
"""Connections that uploads may read with at once: the acts of people need some too."""
WINDOWS_AHEAD: Final = timedelta(days=1)
TAKEN_BACK: Final = frozenset(
    {
        ConsentState.WITHDRAWN,
        ConsentState.EXPIRED,
        ConsentState.SUPERSEDED,
        ConsentState.INVALIDATED,
    }
)
"""Was given once: what the phone still holds rested on it, and is not to be sent any more."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Belief:
    """What one device token stands for, as it was read."""

    company_id: UUID
    driver_id: UUID
    device_id: UUID
    device_number: int
    gate: Gate
    consent: ConsentAnswer
    notice: NoticeStanding
    terms: Terms | None
    """What is let through; None if nothing is."""
    until: float

    def is_over(self, now: datetime) -> bool:
        """Tell whether it has to be read again, whatever the gate's counters say."""
        ran_out = self.terms is not None and self.terms.ran_out(to_us(now))
        return ran_out or self.notice.is_over(now)

    def is_usual(self, now: datetime) -> bool:
        """Tell whether whole tracks are kept, as far as is believed, and nothing is in the way."""
        terms = self.terms
        return (
            terms is not None
            and terms.keeps_track
            and not self.gate.closing
            and self.notice.holds(now)
        )

    def collects(self, now: datetime) -> bool:
        """Tell whether the app should be recording at ``now``."""
        if not self.notice.holds(now):
            return False
        at_us = to_us(now)
        return self.terms is not None and self.terms.window_holds(at_us, at_us)


class ParsedTokens:
    """Tokens by the digest of their text, because to parse one costs five times a look-up.

    Neither the text nor the secret is held.
    """

    def __init__(self, tokens_max: int = BELIEFS_MAX) -> None:
        self._tokens_max = tokens_max
        self._parsed: dict[bytes, Token] = {}

    def parsed(self, text: str) -> Token | None:
        """Return what the text claims to be, or None if it cannot be a token of ours."""
        digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
        token = self._parsed.get(digest)
        if token is None:
            token = tokens.parse(text)
            if token is not None:
                if len(self._parsed) >= self._tokens_max:
                    self._parsed.clear()
                self._parsed[digest] = token
        return token


class Beliefs:
    """The beliefs of one process, by token digest; the longest unused goes first."""

    def __init__(
        self,
        pool: Pool,
        *,
        beliefs_max: int = BELIEFS_MAX,
        unknown_max: int = UNKNOWN_MAX,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._beliefs_max = beliefs_max
        self._unknown_max = unknown_max
        self._monotonic = monotonic
        self._held: OrderedDict[tuple[UUID, bytes], Belief] = OrderedDict()
        self._unknown_until: OrderedDict[tuple[UUID, bytes], float] = OrderedDict()
        self._reads = asyncio.Semaphore(READS_MAX)

    def __len__(self) -> int:
        return len(self._held)

    def held(self, token: Token) -> Belief | None:
        place = (token.company_id, token.digest)
        belief = self._held.get(place)
        if belief is None:
            return None
        if belief.until < self._monotonic():
            del self._held[place]
            return None
        self._held.move_to_end(place)
        return belief

    def forget(self, token: Token) -> None:
        self._held.pop((token.company_id, token.digest), None)

    async def load(self, token: Token, now: datetime) -> Belief:
        """Read what the token stands for, and hold it.

        Raises
        ------
        NotAuthenticated
            No living device has this token, or had a few seconds ago.
        """
        place = (token.company_id, token.digest)
        self._held.pop(place, None)
        async with self._reads:
            self._refuse_unknown(place)  # here: the one before us in the queue may have found out
            try:
                async with db.tenant(self._pool, token.company_id, readonly=True) as conn:
                    await db.one_snapshot(conn)
                    belief = await self._read(conn, token, now)
            except NotAuthenticated:
                self._remember_unknown(place)
                raise
        self._held[place] = belief
        if len(self._held) > self._beliefs_max:
            self._held.popitem(last=False)
        return belief

    async def confirm(self, token: Token, belief: Belief, now: datetime) -> Belief:
        """Return the belief if the gate has not changed since, and its terms are still in force.

        Else a new one: another notice may be in force, or a consent have run out.

        Raises
        ------
        NotAuthenticated
        """
        if belief.is_over(now):
            return await self.load(token, now)
        try:
            async with (
                self._reads,
                db.tenant(self._pool, token.company_id, readonly=True) as conn,
            ):
                gate = await gates.read(conn, belief.company_id, belief.driver_id)
        except GateMissing:
            raise NotAuthenticated from None
        return belief if gate == belief.gate else await self.load(token, now)

    def _refuse_unknown(self, place: tuple[UUID, bytes]) -> None:
        until = self._unknown_until.get(place)
        if until is not None and until >= self._monotonic():
            raise NotAuthenticated

    def _remember_unknown(self, place: tuple[UUID, bytes]) -> None:
        self._unknown_until.pop(place, None)
        self._unknown_until[place] = self._monotonic() + UNKNOWN_S_MAX
        if len(self._unknown_until) > self._unknown_max:
            self._unknown_until.popitem(last=False)

    async def _read(self, conn: Connection, token: Token, now: datetime) -> Belief:
        company_id = token.company_id
        device = await credentials.device_of_token(conn, company_id, token.digest)
        if device is None or device.revoked:
            raise NotAuthenticated
        try:
            gate = await gates.read(conn, company_id, device.member_id)
        except GateMissing:
            raise NotAuthenticated from None
        company = await accounts.company(conn, company_id)
        windows = await gates.windows(
            conn,
            company_id,
            device.member_id,
            since=now - timedelta(seconds=company.buffer_max_s),
            until=now + WINDOWS_AHEAD,
        )
        return Belief(
            company_id=company_id,
            driver_id=device.member_id,
            device_id=device.device_id,
            device_number=device.number,
            gate=gate,
            consent=await _consent_of(conn, gate, now),
            notice=await devices.notice_standing(conn, company_id, device.device_id, now),
            terms=terms_of(gate, windows, buffer_max_s=company.buffer_max_s, now=now),
            until=self._monotonic() + BELIEVED_S_MAX,
        )


async def _consent_of(conn: Connection, gate: Gate, now: datetime) -> ConsentAnswer:
    purposes = (gate.dispatch_since, gate.plan_fact_since)
    if gate.is_consented:
        until = gate.consented_until
        return ConsentAnswer.GIVEN if until is None or now < until else ConsentAnswer.WITHDRAWN
    states = await consent.states(conn, gate.company_id, [gate.driver_id])
    cells = states[gate.driver_id].consents
    # What is missing was taken back in some way, or else it was never given.
    missing = [ConsentItem.LOCATION] if gate.location_since is None else []
    if not any(purposes):
        missing += [ConsentItem.DISPATCH_TRACKING, ConsentItem.PLAN_FACT]
    if any(cells[item] in TAKEN_BACK for item in missing):
        return ConsentAnswer.WITHDRAWN
    return ConsentAnswer.NOT_GIVEN
