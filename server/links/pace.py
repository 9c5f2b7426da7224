"""How often a link may be asked, in this process: by its token, and by where it is asked from."""

import time
from typing import Final

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter

from server.links.model import TooManyLooks
from server.log_in.attempts import network_of

PER_TOKEN: Final = RateLimitItemPerMinute(30, 1)
PER_ADDRESS: Final = RateLimitItemPerMinute(120, 1)
"""Several people behind one address may wait for deliveries; nobody guesses 256 bits with it."""


class Pace:
    """Counts every question, also those with a token that means nothing."""

    def __init__(
        self, per_token: RateLimitItem = PER_TOKEN, per_address: RateLimitItem = PER_ADDRESS
    ) -> None:
        self._limiter = FixedWindowRateLimiter(MemoryStorage())
        self._per_token = per_token
        self._per_address = per_address

    async def take(self, digest: bytes | None, address: str) -> None:
        """Count one; ``digest`` is the token's, None where it cannot be one.

        Raises
        ------
        TooManyLooks
        """
        await self._hit(self._per_address, network_of(address))
        if digest is not None:
            await self._hit(self._per_token, digest.hex())

    async def _hit(self, limit: RateLimitItem, key: str) -> None:
        if not await self._limiter.hit(limit, key):
            window = await self._limiter.get_window_stats(limit, key)
            raise TooManyLooks(max(1.0, window.reset_time - time.time()))
