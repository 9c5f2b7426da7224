"""How often one may try to log in, in this process: per address, and per login with back-off."""

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

from server.log_in.model import TooManyAttempts

PER_ADDRESS: Final = RateLimitItemPerMinute(100, 5)
FREE_ATTEMPTS: Final = 10
"""Of one login, before each further one has to wait."""
WAIT_S_MAX: Final = 60.0
"""Never longer: whoever knows a phone can make its driver wait, but not keep them out."""
FORGOTTEN_S: Final = 300.0
"""A login that nobody tried for so long starts anew."""

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
    ) -> None:
        self._limiter = FixedWindowRateLimiter(MemoryStorage())
        self._per_address = per_address
        self._clock_s = clock_s
        self._tried: OrderedDict[_Key, _Tried] = OrderedDict()
        """The one that was tried last is at the end."""

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
        now = self._clock_s()
        self._forget(now)
        key = (company_id, login_hash)
        tried = self._tried.setdefault(key, _Tried())
        left_s = tried.last + tried.wait_s - now
        if left_s > 0:
            raise TooManyAttempts(max(1.0, left_s))
        tried.times += 1
        tried.last = now
        if tried.times >= FREE_ATTEMPTS:
            tried.wait_s = min(WAIT_S_MAX, 2.0 * tried.wait_s or 1.0)
        self._tried.move_to_end(key)

    def forgive(self, company_id: UUID, login_hash: bytes) -> None:
        """Forget the attempts at the company whose password came; all others stay counted.

        Those that named no company stay as well: they tried the same password at every company
        that knows the login, and one of these may belong to whoever is guessing.
        """
        self._tried.pop((company_id, login_hash), None)

    def _forget(self, now: float) -> None:
        while self._tried:
            key, tried = next(iter(self._tried.items()))
            if tried.last + FORGOTTEN_S > now:
                return
            del self._tried[key]


def network_of(address: str) -> str:
    """Return what one attacker can be taken to own: an IPv4 address, or an IPv6 /64."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is None:
        return str(ipaddress.ip_network((int(found) >> 64 << 64, 64)))
    return str(getattr(found, "ipv4_mapped", None) or found)
