"""Uploads as nearly all are: of known devices, in order, of one day, and all to be kept.

They are taken without a task of their own, and what the sockets bring in one turn of the event
loop is packed together: numpy takes as long for fifty short uploads as for one. Whatever is not
so is left to service.py, which can do everything.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple, TypeAlias

import structlog

from server.deposits.committer import Committer
from server.deposits.model import Deposit, Receipt, UploadsBusy
from server.kit.problem import where
from server.kit.tokens import Token
from server.tracking import codec
from server.tracking.model import (
    DAY_MS,
    MICROSECOND,
    ChunkRow,
    Positions,
    are_in_order,
    from_ms,
    to_us,
)
from server.uploads.acceptance import all_fit
from server.uploads.beliefs import Belief, Beliefs
from server.uploads.model import ConsentAnswer, Refusal, Upload, UploadAnswer
from server.vault.model import Category, DataKey
from server.vault.service import Vault

log = structlog.get_logger(__name__)

Answer: TypeAlias = Callable[["UploadAnswer | UploadsBusy | None"], None]


class _Begun(NamedTuple):
    token: Token
    belief: Belief
    upload: Upload
    now: datetime
    answer: Answer


class UsualUploads:
    """Takes them for one process."""

    def __init__(self, beliefs: Beliefs, vault: Vault, committer: Committer) -> None:
        self._beliefs = beliefs
        self._vault = vault
        self._committer = committer
        self._begun: list[_Begun] = []

    def begin(self, token: Token, upload: Upload, answer: Answer, *, now: datetime) -> bool:
        """Take the upload if it may be a usual one; tell whether it was taken.

        ``answer`` is called once, later; with None where it turned out to be none.
        """
        belief = self._beliefs.held(token)
        if belief is None or not belief.is_usual(now):
            return False
        self._begun.append(_Begun(token, belief, upload, now, answer))
        if len(self._begun) == 1:
            # With whatever else is read from the sockets in this turn of the event loop.
            asyncio.get_running_loop().call_soon(self._seal_begun)
        return True

    def _seal_begun(self) -> None:
        begun, self._begun = self._begun, []
        try:
            rows = self._sealed(begun)
        except Exception as error:  # noqa: BLE001 - taken alone, the culprit fails alone
            log.error("sealing_failed", count=len(begun), **where(error))  # noqa: TRY400
            rows = [None] * len(begun)
        for one, row in zip(begun, rows, strict=True):
            if row is None:
                one.answer(None)
            else:
                self._submit(one, row)

    def _sealed(self, begun: Sequence[_Begun]) -> list[ChunkRow | None]:
        """Seal each upload; None for one that has to be looked at closer."""
        ordered = are_in_order([one.upload.positions.time_ms for one in begun])
        keys = [
            self._key_of(one) if is_ordered else None
            for one, is_ordered in zip(begun, ordered, strict=True)
        ]
        usual = [(one, key) for one, key in zip(begun, keys, strict=True) if key is not None]
        packed = codec.pack_many(
            [one.upload.positions for one, _ in usual],
            [one.belief.device_number for one, _ in usual],
        )
        rows = iter(
            [
                chunk_of(one.belief, one.upload, one.upload.positions, key, plain, nonce=nonce)
                for (one, key), plain, nonce in zip(
                    usual, packed, codec.nonces(len(usual)), strict=True
                )
            ]
        )
        return [None if key is None else next(rows) for key in keys]

    def _key_of(self, one: _Begun) -> DataKey | None:
        """Return the key that seals the upload; None if one has to look closer at it."""
        belief, upload, now = one.belief, one.upload, one.now
        time_ms = upload.positions.time_ms
        first_ms, last_ms = int(time_ms[0]), int(time_ms[-1])
        if (
            belief.terms is None
            or first_ms // DAY_MS != last_ms // DAY_MS
            or not all_fit(
                belief.terms,
                first_ms,
                last_ms,
                now_us=to_us(now),
                offset_us=offset_us_of(upload, now),
            )
        ):
            return None
        at = from_ms(first_ms)
        return self._vault.held(belief.company_id, belief.driver_id, Category.TRACK, at=at)

    def _submit(self, one: _Begun, row: ChunkRow) -> None:
        belief, now = one.belief, one.now

        def stored(receipt: Receipt | UploadsBusy) -> None:
            if isinstance(receipt, UploadsBusy):
                one.answer(receipt)
            elif not receipt.allowed:
                self._beliefs.forget(one.token)
                one.answer(None)
            else:
                accepted = row.size if receipt.new[0] else 0
                one.answer(answer_of(belief, (), accepted, row.size - accepted, now=now))

        try:
            self._committer.submit(deposit_of(belief, (row,), now, only_latest=False), stored)
        except UploadsBusy as busy:
            one.answer(busy)


def deposit_of(
    belief: Belief, rows: tuple[ChunkRow, ...], now: datetime, *, only_latest: bool
) -> Deposit:
    gate = belief.gate
    return Deposit(
        company_id=belief.company_id,
        driver_id=belief.driver_id,
        epoch=gate.epoch,
        rev=gate.rev,
        credential_epoch=gate.credential_epoch,
        key_epoch=gate.key_epoch,
        only_latest=only_latest,
        stored_at=now,
        rows=rows,
    )


def chunk_of(
    belief: Belief,
    upload: Upload,
    part: Positions,
    key: DataKey,
    packed: bytes,
    *,
    nonce: bytes | None = None,
) -> ChunkRow:
    upload_id = codec.upload_id_of(key, belief.device_id, upload.batch_id, packed)
    return ChunkRow(
        upload_id=upload_id,
        first_at=from_ms(int(part.time_ms[0])),
        last_at=from_ms(int(part.time_ms[-1])),
        size=len(part),
        key_id=key.key_id,
        blob=codec.seal(key, packed, row_id=upload_id, schema=codec.CHUNK_SCHEMA, nonce=nonce),
    )


def answer_of(
    belief: Belief,
    refused: tuple[Refusal, ...],
    accepted: int,
    duplicate: int,
    *,
    now: datetime,
) -> UploadAnswer:
    return UploadAnswer(
        accepted=accepted,
        duplicate=duplicate,
        refused=refused,
        consent=belief.consent,
        collect=belief.collects(now),
        purge=belief.consent is ConsentAnswer.WITHDRAWN,
    )


def offset_us_of(upload: Upload, now: datetime) -> int | None:
    """Return received minus sent; None if the upload does not tell."""
    return None if upload.sent_at is None else (now - upload.sent_at) // MICROSECOND
