"""What this process believes about the devices that upload.

Nothing here needs to be right: the storing statement compares it with the gate. Only what is
refused on a belief is checked first, since the statement never sees it.
"""

import asyncio
import hashlib
import random
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, TypeVar
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
from server.kit.tasks import ended
from server.kit.tokens import Token
from server.policies.model import DocumentStanding
from server.tracking.model import to_us
from server.uploads.acceptance import Terms, terms_of
from server.uploads.model import ConsentAnswer

T = TypeVar("T")

BELIEFS_MAX: Final = 20_000
RULES_S_MAX: Final = 60.0
"""What a company set, and its device notice, count for so long without being read again."""
BELIEVED_S_MIN: Final = 450.0
BELIEVED_S_MAX: Final = 600.0
"""The rest, which the storing statement compares with the gate. Not the same for all: what was
read together is not read again together."""
UNKNOWN_MAX: Final = 10_000
UNKNOWN_S_MAX: Final = 5.0
"""A token that was unknown stays so: new ones are drawn at random, none comes back to life."""
READS_MAX: Final = 6
"""Connections that uploads may read with at once: the acts of people need some too."""
RULES_READS_MAX: Final = 2
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


@dataclass(frozen=True, slots=True, kw_only=True)
class CompanyRules:
    """What holds for all devices of a company, and changes without a gate's counters."""

    buffer_max_s: int
    device_notice: DocumentStanding | None

    def is_over(self, now: datetime) -> bool:
        """Tell whether another edition of the notice came into force since."""
        upcoming = () if self.device_notice is None else self.device_notice.upcoming
        return any(edition.effective_at <= now for edition in upcoming)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Belief:
    """What one device token stands for, as it was read."""

    company_id: UUID
    driver_id: UUID
    device_id: UUID
    device_number: int
    gate: Gate
    rules: CompanyRules
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
        self._rules: OrderedDict[UUID, tuple[CompanyRules, float]] = OrderedDict()
        """By company, with the time until which they count."""
        self._companies: set[bytes] = set()
        """Those of the rules, as tokens write them."""
        self._unknown_until: OrderedDict[tuple[UUID, bytes], float] = OrderedDict()
        self._reads = asyncio.Semaphore(READS_MAX)
        self._rules_reads = asyncio.Semaphore(RULES_READS_MAX)
        self._reading: dict[object, asyncio.Task[Any]] = {}

    def __len__(self) -> int:
        return len(self._held)

    def held(self, token: Token) -> Belief | None:
        place = (token.company_id, token.digest)
        belief = self._held.get(place)
        rules, until = self._rules.get(token.company_id, (None, 0.0))
        at = self._monotonic()
        if belief is None or until < at:
            return None
        if belief.until < at or belief.rules is not rules:
            del self._held[place]
            return None
        self._held.move_to_end(place)
        return belief

    def knows(self, company: bytes) -> bool:
        """Tell whether anything is held of a company, as tokens write it."""
        return company in self._companies

    async def end(self) -> None:
        """Stop reading: whoever asked is gone."""
        await ended(*self._reading.values())

    def forget(self, token: Token) -> None:
        self._held.pop((token.company_id, token.digest), None)

    async def known(self, token: Token, now: datetime) -> Belief:
        """Return the belief that is held, or else read it: once for all who wait for it.

        Raises
        ------
        NotAuthenticated
        """
        belief = self.held(token)
        if belief is not None:
            return belief
        place = (token.company_id, token.digest)
        if place in self._held:  # perhaps only its company's rules have to be looked at again
            await self._once(token.company_id, partial(self._renew_rules, token.company_id, now))
            belief = self.held(token)
            if belief is not None:
                return belief
        return await self._once(place, partial(self.load, token, now))

    async def _once(self, what: object, read: Callable[[], Coroutine[None, None, T]]) -> T:
        """Read it, or wait for who reads it already."""
        reading = self._reading.get(what)
        if reading is None or reading.done():
            reading = self._reading[what] = asyncio.create_task(read())
            reading.add_done_callback(partial(self._was_read, what))
        # Whoever goes away leaves the reading to the others.
        return await asyncio.shield(reading)

    def _was_read(self, what: object, reading: asyncio.Task[Any]) -> None:
        if self._reading.get(what) is reading:
            del self._reading[what]
        if not reading.cancelled():
            reading.exception()  # seen, also where nobody waits for it any more

    async def _renew_rules(self, company_id: UUID, now: datetime) -> None:
        # Not in the queue of the others: a whole company waits for this.
        async with self._rules_reads, db.tenant(self._pool, company_id, readonly=True) as conn:
            await self._read_rules(conn, company_id, now)

    async def _rules_of(self, conn: Connection, company_id: UUID, now: datetime) -> CompanyRules:
        rules, until = self._rules.get(company_id, (None, 0.0))
        if rules is None or until < self._monotonic() or rules.is_over(now):
            return await self._read_rules(conn, company_id, now)
        return rules

    async def _read_rules(self, conn: Connection, company_id: UUID, now: datetime) -> CompanyRules:
        company = await accounts.company(conn, company_id)
        rules = CompanyRules(
            buffer_max_s=company.buffer_max_s,
            device_notice=await devices.notice_in_force(conn, company_id, now),
        )
        held, _ = self._rules.get(company_id, (None, 0.0))
        if held == rules:  # one and the same for all beliefs: then comparing takes no time
            rules = held
        self._rules[company_id] = (rules, self._monotonic() + RULES_S_MAX)
        self._rules.move_to_end(company_id)
        self._companies.add(tokens.written(company_id))
        if len(self._rules) > self._beliefs_max:
            oldest, _ = self._rules.popitem(last=False)
            self._companies.discard(tokens.written(oldest))
        return rules

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
            self.forget(token)
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
        rules = await self._rules_of(conn, company_id, now)
        windows = await gates.windows(
            conn,
            company_id,
            device.member_id,
            since=now - timedelta(seconds=rules.buffer_max_s),
            until=now + WINDOWS_AHEAD,
        )
        return Belief(
            company_id=company_id,
            driver_id=device.member_id,
            device_id=device.device_id,
            device_number=device.number,
            gate=gate,
            rules=rules,
            consent=await _consent_of(conn, gate, now),
            notice=await devices.notice_standing(
                conn, company_id, device.device_id, rules.device_notice
            ),
            terms=terms_of(gate, windows, buffer_max_s=rules.buffer_max_s, now=now),
            until=self._monotonic() + random.uniform(BELIEVED_S_MIN, BELIEVED_S_MAX),  # noqa: S311 - no secret
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
