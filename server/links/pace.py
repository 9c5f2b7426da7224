"""How often a link may be asked: by its token, and by where it is asked from.

Each process counts by itself and hears what the others counted.
"""

import time
from typing import Final

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter

from server.kit.neighbours import Neighbours, Words
from server.links.model import TooManyLooks
from server.log_in.attempts import network_of

PER_TOKEN: Final = RateLimitItemPerMinute(30, 1)
PER_ADDRESS: Final = RateLimitItemPerMinute(120, 1)
"""Several people behind one address may wait for deliveries; nobody guesses 256 bits with it."""
TOPIC: Final = "links"


class Pace:
    """Counts every question, also those with a token that means nothing."""

    def __init__(
        self,
        per_token: RateLimitItem = PER_TOKEN,
        per_address: RateLimitItem = PER_ADDRESS,
        *,
        neighbours: Neighbours | None = None,
    ) -> None:
        self._limiter = FixedWindowRateLimiter(MemoryStorage())
        self._per_token = per_token
        self._per_address = per_address
        self._neighbours = neighbours or Neighbours()
        self._neighbours.listen(TOPIC, self._heard)

    async def take(self, digest: bytes | None, address: str) -> None:
        """Count one; ``digest`` is the token's, None where it cannot be one.

        Raises
        ------
        TooManyLooks
        """
        await self._hit("address", network_of(address))
        if digest is not None:
            await self._hit("token", digest.hex())

    async def _hit(self, by: str, key: str) -> None:
        limit = self._limit(by)
        if not await self._limiter.hit(limit, key):
            window = await self._limiter.get_window_stats(limit, key)
            raise TooManyLooks(max(1.0, window.reset_time - time.time()))
        self._neighbours.tell(TOPIC, by, key)

    async def _heard(self, words: Words) -> None:
        by, key = words
        await self._limiter.hit(self._limit(by), key)

    def _limit(self, by: str) -> RateLimitItem:
        return self._per_token if by == "token" else self._per_address
