"""What a process holds unwrapped in memory: keys for 60 s at most, whether or not they are used."""

import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, TypeAlias
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from server.vault.model import DataKey, KeyPlace

UNWRAPPED_S_MAX: Final = 60.0
EVICT_EVERY_S: Final = 2.0
# The sweep that drops a key comes up to its interval later; the other interval is for a busy loop.
USED_S_MAX: Final = UNWRAPPED_S_MAX - 2 * EVICT_EVERY_S
# A fleet's keys are fetched together when it sets off: not so at every minute after that.
RENEWED_S: Final = (USED_S_MAX / 2, USED_S_MAX)
KEYS_HELD_MAX: Final = 50_000

Monotonic: TypeAlias = Callable[[], float]


@dataclass(frozen=True, slots=True)
class _Company:
    until: float
    wrapped: bytes
    cipher: AESGCM = field(repr=False)


class Held:
    """Unwrapped keys of persons and of companies."""

    def __init__(self, monotonic: Monotonic = time.monotonic) -> None:
        self._monotonic = monotonic
        self._by_id: dict[tuple[UUID, UUID], tuple[float, DataKey]] = {}
        self._by_place: dict[KeyPlace, tuple[float, DataKey]] = {}
        self._companies: dict[UUID, _Company] = {}
        self.forgotten = 0
        """How often keys were forgotten: one that was asked for before may be among them."""

    def at(self, place: KeyPlace) -> DataKey | None:
        held = self._by_place.get(place)
        return held[1] if held is not None and held[0] > self._monotonic() else None

    def of(self, company_id: UUID, key_ids: Iterable[UUID]) -> dict[UUID, DataKey]:
        """Return by id those of a company's keys that may still be used."""
        now = self._monotonic()
        return {
            key_id: held[1]
            for key_id in key_ids
            if (held := self._by_id.get((company_id, key_id))) is not None and held[0] > now
        }

    def hold(self, key: DataKey, forgotten: int) -> DataKey:
        """Hold a key that was asked for when so many had been forgotten; return it."""
        if forgotten != self.forgotten:
            return key  # it may have been destroyed since it was read
        self.evict()
        if len(self._by_id) >= KEYS_HELD_MAX:
            self._by_id.clear()
            self._by_place.clear()
        self._drop(key.company_id, key.key_id)
        now = self._monotonic()
        self._by_id[key.company_id, key.key_id] = (now + USED_S_MAX, key)
        renewed_at = now + random.uniform(*RENEWED_S)  # noqa: S311 - no secret
        self._by_place[key.place] = (renewed_at, key)
        return key

    def company(self, company_id: UUID, wrapped: bytes) -> AESGCM | None:
        """Return the company's key if it is the one that is wrapped so."""
        held = self._companies.get(company_id)
        if held is None or held.wrapped != wrapped or held.until <= self._monotonic():
            return None
        return held.cipher

    def hold_company(self, company_id: UUID, wrapped: bytes, cipher: AESGCM) -> None:
        until = self._monotonic() + USED_S_MAX
        self._companies.pop(company_id, None)
        self._companies[company_id] = _Company(until, wrapped, cipher)

    def forget(self, company_id: UUID, subject_id: UUID) -> None:
        """Drop a subject's keys, also those that are on their way here."""
        self.forgotten += 1
        for _, key in list(self._by_id.values()):
            if key.company_id == company_id and key.subject_id == subject_id:
                self._drop(company_id, key.key_id)

    def forget_keys(self, company_id: UUID, key_ids: Iterable[UUID]) -> None:
        """Drop these keys, also those that are on their way here."""
        self.forgotten += 1
        for key_id in key_ids:
            self._drop(company_id, key_id)

    def evict(self) -> None:
        """Drop what was held long enough."""
        at = self._monotonic()
        # Held in the order of their ends, so the first that stays ends the search.
        while self._by_id:
            (company_id, key_id), (until, _) = next(iter(self._by_id.items()))
            if until > at:
                break
            self._drop(company_id, key_id)
        while self._companies:
            company_id, held = next(iter(self._companies.items()))
            if held.until > at:
                break
            del self._companies[company_id]

    def _drop(self, company_id: UUID, key_id: UUID) -> None:
        _, key = self._by_id.pop((company_id, key_id), (0.0, None))
        if key is not None:
            self._by_place.pop(key.place, None)
