"""What this process believes about the devices that upload.

Nothing here needs to be right: the storing statement compares it with the gate. Only what is
refused on a belief is checked first, since the statement never sees it.
"""

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final
from uuid import UUID

from server.accounts import service as accounts
from server.consent import service as consent
from server.consent.model import ConsentItem, ConsentState
from server.credentials import service as credentials
from server.credentials.model import Device, NotAuthenticated
from server.devices import service as devices
from server.devices.model import NoticeStanding
from server.gate import service as gate
from server.gate.model import Gate, Windows
from server.kit import db, tokens
from server.kit.db import Connection, Pool
from server.kit.tasks import ended
from server.kit.together import Together
from server.kit.tokens import Token
from server.policies.model import DocumentStanding
from server.tracking.model import to_us
from server.uploads.acceptance import Terms, terms_of
from server.uploads.model import ConsentAnswer, consent_answer

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
BELIEFS_READ_MAX: Final = 100
"""At once, of one company: some 10 ms of work."""
GATES_READ_MAX: Final = 500
WINDOWS_AHEAD: Final = timedelta(days=1)


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
        self._tokens = Together[UUID, bytes, Belief](self._read, most=BELIEFS_READ_MAX)
        """By company and digest: who has it."""
        self._gates = Together[UUID, UUID, Gate](self._read_gates, most=GATES_READ_MAX)
        """By company and driver."""
        self._reading: dict[UUID, asyncio.Task[None]] = {}

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
        await self._tokens.end()
        await self._gates.end()

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
            await self._renew_rules(token.company_id, now)
            belief = self.held(token)
            if belief is not None:
                return belief
        return await self.load(token, now)

    async def _renew_rules(self, company_id: UUID, now: datetime) -> None:
        """Read a company's rules again, or wait for who does already."""
        reading = self._reading.get(company_id)
        if reading is None or reading.done():
            reading = asyncio.create_task(self._read_rules_again(company_id, now))
            self._reading[company_id] = reading
            reading.add_done_callback(partial(self._was_read, company_id))
        # Whoever goes away leaves the reading to the others.
        await asyncio.shield(reading)

    def _was_read(self, company_id: UUID, reading: asyncio.Task[None]) -> None:
        if self._reading.get(company_id) is reading:
            del self._reading[company_id]
        if not reading.cancelled():
            reading.exception()  # seen, also where nobody waits for it any more

    async def _read_rules_again(self, company_id: UUID, now: datetime) -> None:
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
        if self._is_unknown(*place):
            raise NotAuthenticated
        belief = await self._tokens.get(*place, now)
        if belief is None:
            raise NotAuthenticated
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
        found = await self._gates.get(belief.company_id, belief.driver_id, now)
        if found is None:
            self.forget(token)
            raise NotAuthenticated
        return belief if found == belief.gate else await self.load(token, now)

    def _is_unknown(self, company_id: UUID, digest: bytes) -> bool:
        until = self._unknown_until.get((company_id, digest))
        return until is not None and until >= self._monotonic()

    def _remember_unknown(self, company_id: UUID, digests: Iterable[bytes]) -> None:
        until = self._monotonic() + UNKNOWN_S_MAX
        for digest in digests:
            self._unknown_until[company_id, digest] = until
            self._unknown_until.move_to_end((company_id, digest))
        while len(self._unknown_until) > self._unknown_max:
            self._unknown_until.popitem(last=False)

    async def _read_gates(
        self, company_id: UUID, asked: Mapping[UUID, datetime]
    ) -> dict[UUID, Gate]:
        """Return by driver the gates as they are: after a change a whole fleet may ask."""
        async with self._reads, db.tenant(self._pool, company_id, readonly=True) as conn:
            found = await gate.read_some(conn, company_id, list(asked))
        return {one.driver_id: one for one in found}

    async def _read(self, company_id: UUID, asked: Mapping[bytes, datetime]) -> dict[bytes, Belief]:
        """Return what is believed of the tokens that living devices have, of one moment.

        When a fleet comes back all of its devices are to be known at once: together they take a
        statement of each kind, not each of them a transaction.
        """
        # What the question before did not find is not looked for again.
        wanted = [digest for digest in asked if not self._is_unknown(company_id, digest)]
        if not wanted:
            return {}
        async with self._reads, db.tenant(self._pool, company_id, readonly=True) as conn:
            await db.one_snapshot(conn)
            found = await credentials.devices_of_tokens(conn, company_id, wanted)
            drivers = {one.member_id for one in found.values() if not one.revoked}
            some = await gate.read_some(conn, company_id, list(drivers))
            gates = {one.driver_id: one for one in some}
            known = {
                digest: one
                for digest, one in found.items()
                if not one.revoked and one.member_id in gates
            }
            self._remember_unknown(company_id, set(wanted) - known.keys())
            if not known:
                return {}
            times = [asked[digest] for digest in known]
            rules = await self._rules_of(conn, company_id, max(times))
            windows = await gate.windows_of(
                conn,
                company_id,
                list(gates),
                since=min(times) - timedelta(seconds=rules.buffer_max_s),
                until=max(times) + WINDOWS_AHEAD,
            )
            cells = await _cells_of(conn, company_id, some)
            device_ids = [one.device_id for one in known.values()]
            notices = await devices.notices_standing(
                conn, company_id, device_ids, rules.device_notice
            )
        return {
            digest: self._believed(
                device,
                gates[device.member_id],
                rules,
                cells=cells.get(device.member_id, {}),
                notice=notices[device.device_id],
                windows=windows.get(device.member_id, ()),
                now=asked[digest],
            )
            for digest, device in known.items()
        }

    def _believed(
        self,
        device: Device,
        of: Gate,
        rules: CompanyRules,
        *,
        cells: Mapping[ConsentItem, ConsentState],
        notice: NoticeStanding,
        windows: Windows,
        now: datetime,
    ) -> Belief:
        return Belief(
            company_id=of.company_id,
            driver_id=of.driver_id,
            device_id=device.device_id,
            device_number=device.number,
            gate=of,
            rules=rules,
            consent=consent_answer(of, cells, now),
            notice=notice,
            terms=terms_of(of, windows, buffer_max_s=rules.buffer_max_s, now=now),
            until=self._monotonic() + random.uniform(BELIEVED_S_MIN, BELIEVED_S_MAX),  # noqa: S311 - no secret
        )


async def _cells_of(
    conn: Connection, company_id: UUID, gates: Iterable[Gate]
) -> dict[UUID, Mapping[ConsentItem, ConsentState]]:
    """Return by driver each consent of those who lack one."""
    lacking = [one.driver_id for one in gates if not one.is_consented]
    states = await consent.states(conn, company_id, lacking) if lacking else {}
    return {driver_id: one.consents for driver_id, one in states.items()}
