"""Taking positions in: believe, sort out, seal, store, answer."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime
from typing import Final, TypeAlias
from uuid import UUID
from weakref import WeakValueDictionary

import structlog

from server.credentials.model import NotAuthenticated
from server.deposits.committer import Committer
from server.deposits.model import Deposit, Receipt, UploadsBusy
from server.devices.model import NoticeRequired
from server.gate.model import GateBusy
from server.kit import db
from server.kit.admission import Admission, Place, Room
from server.kit.db import Connection, Pool
from server.kit.rates import Rates
from server.kit.tokens import ParsedTokens, Token
from server.tracking import codec
from server.tracking.model import (
    ChunkRow,
    Positions,
    from_ms,
    to_us,
)
from server.uploads import store
from server.uploads.acceptance import (
    SortedOut,
    count_by_reason,
    day_starts,
    refuse_all,
    sort_out,
)
from server.uploads.beliefs import Belief, Beliefs
from server.uploads.model import (
    BODIES_BYTES_MAX,
    DEVICE_UNITS_MAX,
    DEVICE_UNITS_PS,
    UPLOADS_MAX,
    Refusal,
    RefusalReason,
    TooManyUploads,
    Upload,
    UploadAnswer,
)
from server.uploads.usual import Answer, UsualUploads, answer_of, chunk_of, deposit_of, offset_us_of
from server.vault.model import Category, SubjectErased
from server.vault.service import Vault

log = structlog.get_logger(__name__)

_Place: TypeAlias = tuple[UUID, UUID, date]

TRIES_MAX: Final = 6
FIRST_PAUSE_S: Final = 0.02
"""Doubled each time: 1.3 s in all, far longer than a consent takes to change."""

LATE_S: Final = 0.04
"""How late a device or a forger is refused: who goes on at once on one connection is slowed down,
which costs the others nothing."""

STATEMENTS_MAX: Final = 4
"""Of those that count refusals, at once."""

PARSING_MAX: Final = 2
"""Large bodies parsed at once: each holds some 10 MB meanwhile."""

BELIEVED: Final = frozenset(
    {
        RefusalReason.NO_CONSENT,
        RefusalReason.ACCOUNT_INACTIVE,
        RefusalReason.BEFORE_CONSENT,
        RefusalReason.OUTSIDE_WINDOW,
        RefusalReason.SOURCE_NOT_COVERED,
        RefusalReason.BACKGROUND_NOT_COVERED,
    }
)
"""Reasons that rest on what this process believes of the gate."""


class RefusalCounts:
    """Counts what was refused: a driver has at most one statement in flight in this process.

    What is refused meanwhile goes together in the next one.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._pending: dict[_Place, Counter[str]] = {}
        self._turns: WeakValueDictionary[_Place, asyncio.Lock] = WeakValueDictionary()
        self._slots = asyncio.Semaphore(STATEMENTS_MAX)

    async def add(
        self, company_id: UUID, driver_id: UUID, day: date, refused: Sequence[Refusal]
    ) -> None:
        """Count the refusals; return when they are stored, or failed to be (which is logged)."""
        place = (company_id, driver_id, day)
        counts = {reason.value: count for reason, count in count_by_reason(refused).items()}
        self._pending.setdefault(place, Counter()).update(counts)
        async with self._turns.setdefault(place, asyncio.Lock()):
            if place not in self._pending:  # who had the turn before took ours along
                return
            async with self._slots:
                await self._write(place, self._pending.pop(place))

    async def _write(self, place: _Place, counts: Counter[str]) -> None:
        company_id, driver_id, day = place
        try:
            async with db.tenant(self._pool, company_id) as conn:
                await store.count_refusals(conn, company_id, driver_id, day, counts)
        except Exception as error:  # noqa: BLE001 - a counter must not undo what was acknowledged
            log.warning("refusals_not_counted", error=type(error).__name__)


class Uploads:
    """Takes uploads for one process."""

    def __init__(self, pool: Pool, vault: Vault, committer: Committer) -> None:
        self._vault = vault
        self._committer = committer
        self._beliefs = Beliefs(pool)
        self._refusals = RefusalCounts(pool)
        self._admission = Admission(
            Rates(per_s=DEVICE_UNITS_PS, burst=DEVICE_UNITS_MAX),
            Room(count_max=UPLOADS_MAX, bytes_max=BODIES_BYTES_MAX),
            too_often=TooManyUploads,
            full=UploadsBusy,
        )
        self._usual = UsualUploads(self._beliefs, vault, committer)
        self.tokens = ParsedTokens()
        self.parsing = asyncio.Semaphore(PARSING_MAX)
        """Held while a large body is parsed in a thread."""

    async def end(self) -> None:
        """End what this process reads for uploads that nobody waits for any more."""
        await self._beliefs.end()

    def serves(self, company: bytes) -> bool:
        """Tell whether devices of a company, as tokens write it, have uploaded here lately."""
        return self._beliefs.knows(company)

    async def admit(
        self, claimed: Token | None, size_bytes: int, *, now: datetime
    ) -> tuple[Token, Place]:
        """Let nobody in whose body need not be read; return the upload's place, to be left.

        ``claimed`` is None where nothing was that could be a token. ``size_bytes`` is what the
        body is told to hold. A forged token takes from nobody's share.

        Raises
        ------
        NotAuthenticated
            No living device has this token, as far as this process knows.
        TooManyUploads, UploadsBusy
        """
        try:
            return await self._let_in(claimed, size_bytes, now)
        except (NotAuthenticated, TooManyUploads):
            await asyncio.sleep(LATE_S)
            raise

    async def _let_in(
        self, claimed: Token | None, size_bytes: int, now: datetime
    ) -> tuple[Token, Place]:
        if claimed is None:
            raise NotAuthenticated
        belief = await self._beliefs.known(claimed, now)
        if self._committer.is_behind(belief.company_id):
            raise self._committer.busy()
        return claimed, self._admission.enter(belief.device_id, belief.company_id, size_bytes)

    def enter(self, token: Token, size_bytes: int) -> Place | None:
        """Return what :meth:`admit` does if it would not wait; None if it would.

        Raises
        ------
        UploadsBusy
        """
        belief = self._beliefs.held(token)
        if belief is None:
            return None
        if self._committer.is_behind(belief.company_id):
            raise self._committer.busy()
        try:
            return self._admission.enter(belief.device_id, belief.company_id, size_bytes)
        except TooManyUploads:
            return None

    def begin(self, token: Token, upload: Upload, answer: Answer, *, now: datetime) -> bool:
        """Take an upload that is as nearly all are, without a task; tell whether it is such.

        ``answer`` is called once, later: with what :meth:`take` would return or raise, or with
        None where the upload is to be taken by :meth:`take`, which can do everything.
        """
        return self._usual.begin(token, upload, answer, now=now)

    async def take(self, token: Token, upload: Upload, *, now: datetime) -> UploadAnswer:
        """Store what may be stored and tell what became of each position.

        Raises
        ------
        NotAuthenticated
            No living device has this token.
        NoticeRequired
            The device notice in force was not acknowledged on this device.
        GateBusy
            The driver's consent is changing just now; nothing was stored.
        UploadsBusy
            Nothing was acknowledged; the same upload may be sent again.
        """
        # However new the belief is: it may have been read for somebody who came before.
        belief, sure = await self._beliefs.known(token, now), False
        for attempt in range(TRIES_MAX):
            if belief.gate.closing:
                await asyncio.sleep(FIRST_PAUSE_S * 2**attempt)
                belief, sure = await self._renewed(token, belief, now), True
                continue
            if not belief.notice.holds(now):
                if sure:
                    raise NoticeRequired
                belief, sure = await self._beliefs.confirm(token, belief, now), True
                continue
            sorted_out = judge(belief, upload, now)
            if not sure and _is_unseen(sorted_out):
                belief, sure = await self._beliefs.confirm(token, belief, now), True
                continue
            if sorted_out.kept is None:
                return await self._answer(belief, sorted_out.refused, 0, 0, now=now)
            deposit = await self._sealed(belief, upload, sorted_out.kept, now)
            receipt = await self._committer.store(deposit)
            if receipt.allowed:
                return await self._answered(belief, sorted_out, deposit, receipt, now)
            belief, sure = await self._renewed(token, belief, now), True
        raise GateBusy

    async def _renewed(self, token: Token, old: Belief, now: datetime) -> Belief:
        new = await self._beliefs.load(token, now)
        if new.gate.key_epoch != old.gate.key_epoch:
            self._vault.forget(new.company_id, new.driver_id)
        return new

    async def _sealed(
        self, belief: Belief, upload: Upload, kept: Positions, now: datetime
    ) -> Deposit:
        only_latest = belief.terms is None or not belief.terms.keeps_track
        try:
            rows = (
                await self._latest(belief, kept)
                if only_latest
                else await self._chunks(belief, upload, kept)
            )
        except SubjectErased:
            raise NotAuthenticated from None
        return deposit_of(belief, rows, now, only_latest=only_latest)

    async def _chunks(
        self, belief: Belief, upload: Upload, kept: Positions
    ) -> tuple[ChunkRow, ...]:
        """Seal the positions, a row for each day: under its month's key, and gone in its time."""
        ordered = kept.in_order()
        parts = ordered.split(day_starts(ordered.time_ms))
        return tuple([await self._chunk(belief, upload, part) for part in parts])

    async def _chunk(self, belief: Belief, upload: Upload, part: Positions) -> ChunkRow:
        first_at = from_ms(int(part.time_ms[0]))
        key = await self._vault.key(
            belief.company_id, belief.driver_id, Category.TRACK, at=first_at
        )
        return chunk_of(belief, upload, part, key, codec.pack(part, belief.device_number))

    async def _latest(self, belief: Belief, kept: Positions) -> tuple[ChunkRow, ...]:
        """Seal the newest position alone, under the short-lived key of its day."""
        at = from_ms(int(kept.time_ms[0]))
        key = await self._vault.key(belief.company_id, belief.driver_id, Category.LIVE, at=at)
        packed = codec.pack(kept, belief.device_number)
        blob = codec.seal(key, packed, row_id=belief.driver_id, schema=codec.LATEST_SCHEMA)
        upload_id = codec.upload_id_of(key, belief.device_id, None, packed)
        return (ChunkRow(upload_id, at, at, 1, key.key_id, blob),)

    async def _answered(
        self,
        belief: Belief,
        sorted_out: SortedOut,
        deposit: Deposit,
        receipt: Receipt,
        now: datetime,
    ) -> UploadAnswer:
        accepted = sum(row.size for row, new in zip(deposit.rows, receipt.new, strict=True) if new)
        rest = sum(row.size for row in deposit.rows) - accepted
        if deposit.only_latest and not accepted and sorted_out.newest_index is not None:
            outdated = Refusal(sorted_out.newest_index, RefusalReason.NOT_KEPT)
            refused = tuple(sorted((*sorted_out.refused, outdated)))
            return await self._answer(belief, refused, 0, 0, now=now)
        return await self._answer(belief, sorted_out.refused, accepted, rest, now=now)

    async def _answer(
        self,
        belief: Belief,
        refused: tuple[Refusal, ...],
        accepted: int,
        duplicate: int,
        *,
        now: datetime,
    ) -> UploadAnswer:
        if refused:
            await self._refusals.add(belief.company_id, belief.driver_id, now.date(), refused)
        return answer_of(belief, refused, accepted, duplicate, now=now)


def _is_unseen(sorted_out: SortedOut) -> bool:
    """Tell whether the storing statement would not see what was decided on a belief.

    Then the gate itself is asked: the consent may be given by now, or the device revoked.
    """
    return sorted_out.kept is None or any(one.reason in BELIEVED for one in sorted_out.refused)


def judge(belief: Belief, upload: Upload, now: datetime) -> SortedOut:
    """Decide for each position of the upload, as far as the belief is true."""
    positions = upload.positions
    if belief.terms is None:
        reason = (
            RefusalReason.NO_CONSENT
            if belief.gate.account_active
            else RefusalReason.ACCOUNT_INACTIVE
        )
        return refuse_all(positions, reason)
    return sort_out(
        positions,
        belief.terms,
        now_us=to_us(now),
        offset_us=offset_us_of(upload, now),
        app_state=upload.app_state,
    )


async def erase(conn: Connection, company_id: UUID, member_id: UUID) -> int:
    """Delete the counters of what was refused of the driver; return the number of rows.

    The account has to be inactive by then, or more may come.
    """
    return await store.delete_driver(conn, company_id, member_id)
