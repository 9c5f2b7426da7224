"""How often one may try to log in: per address, and per login with back-off.

Each process counts by itself and hears what the others counted, so several count as one; but for
attempts that reach two of them within the same milliseconds.
"""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias
from uuid import UUID

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter

from server.kit.neighbours import Neighbours, Words
from server.log_in.model import TooManyAttempts

PER_ADDRESS: Final = RateLimitItemPerMinute(100, 5)
FREE_ATTEMPTS: Final = 10
"""Of one login, before each further one has to wait."""
WAIT_S_MAX: Final = 60.0
"""Never longer: whoever knows a phone can make its driver wait, but not keep them out."""
FORGOTTEN_S: Final = 300.0
"""A login that nobody tried for so long starts anew."""

TOPIC: Final = "log_in"

_Key: TypeAlias = tuple[UUID | None, bytes]


@dataclass(slots=True)
class _Tried:
    times: int = 0
    last: float = 0.0
    wait_s: float = 0.0


class Attempts:
    """Counts by what was asked: a login at one company, or a login wherever it is known.

    Never by which companies know the login, or the refusals would tell. An attempt is counted
    before the password is looked at, so that many at once are not one.

    A login is only counted by an attempt that has a turn at the passwords, so the number of keys is
    bounded by what argon2 lets through until they are forgotten.
    """

    def __init__(
        self,
        per_address: RateLimitItem = PER_ADDRESS,
        *,
        clock_s: Callable[[], float] = time.monotonic,
        neighbours: Neighbours | None = None,
    ) -> None:
        self._limiter = FixedWindowRateLimiter(MemoryStorage())
        self._per_address = per_address
        self._clock_s = clock_s
        self._tried: OrderedDict[_Key, _Tried] = OrderedDict()
        """The one that was tried last is at the end."""
        self._neighbours = neighbours or Neighbours()
        self._neighbours.listen(TOPIC, self._heard)

    async def take(self, company_id: UUID | None, login_hash: bytes, address: str) -> None:
        """Count an attempt on a login, at that company or (None) wherever it is known.

        Raises
        ------
        TooManyAttempts
        """
        network = network_of(address)
        if not await self._limiter.hit(self._per_address, network):
            window = await self._limiter.get_window_stats(self._per_address, network)
            raise TooManyAttempts(max(1.0, window.reset_time - time.time()))
        self._neighbours.tell(TOPIC, "address", network)
        now = self._clock_s()
        self._forget(now)
        key = (company_id, login_hash)
        tried = self._tried.get(key)
        left_s = 0.0 if tried is None else tried.last + tried.wait_s - now
        if left_s > 0:
            raise TooManyAttempts(max(1.0, left_s))
        self._count(key, now)
        self._neighbours.tell(TOPIC, "login", *_words(key))

    def are_many(self, company_id: UUID | None, login_hash: bytes) -> bool:
        """Tell whether the attempt that was counted last is the one after which one has to wait."""
        tried = self._tried.get((company_id, login_hash))
        return tried is not None and tried.times == FREE_ATTEMPTS

    def forgive(self, company_id: UUID, login_hash: bytes) -> None:
        """Forget the attempts at the company whose password came; all others stay counted.

        Those that named no company stay as well: they tried the same password at every company
        that knows the login, and one of these may belong to whoever is guessing.
        """
        key = (company_id, login_hash)
        self._tried.pop(key, None)
        self._neighbours.tell(TOPIC, "forgiven", *_words(key))

    def _count(self, key: _Key, now: float) -> None:
        tried = self._tried.setdefault(key, _Tried())
        tried.times += 1
        tried.last = now
        if tried.times >= FREE_ATTEMPTS:
            tried.wait_s = min(WAIT_S_MAX, 2.0 * tried.wait_s or 1.0)
        self._tried.move_to_end(key)

    async def _heard(self, words: Words) -> None:
        match words:
            case ("address", network):
                await self._limiter.hit(self._per_address, network)
            case ("login", company, login):
                now = self._clock_s()
                self._forget(now)
                self._count(_key(company, login), now)
            case ("forgiven", company, login):
                self._tried.pop(_key(company, login), None)

    def _forget(self, now: float) -> None:
        while self._tried:
            key, tried = next(iter(self._tried.items()))
            if tried.last + FORGOTTEN_S > now:
                return
            del self._tried[key]


def _words(key: _Key) -> Words:
    company_id, login_hash = key
    return ("" if company_id is None else str(company_id), login_hash.hex())


def _key(company: str, login: str) -> _Key:
    return (UUID(company) if company else None, bytes.fromhex(login))


def network_of(address: str) -> str:
    """Return what one attacker can be taken to own: an IPv4 address, or an IPv6 /64."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is None:
        return str(ipaddress.ip_network((int(found) >> 64 << 64, 64)))
    return str(getattr(found, "ipv4_mapped", None) or found)
