"""``jolda keys``: how the keys stand, and exchanging them now."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from server.rekeying import service
from server.rekeying.model import SETTLES, Rekeying, Standing
from server.rekeying.service import KeysHeld, Rekeyer

Say = Callable[[str], None]
Clock = Callable[[], datetime]

LOOK_EVERY_S: Final = 2.0
NEVER: Final = timedelta(days=36_500)
"""Beyond the exchange that was asked for none begins."""
HELD: Final = "Somebody holds the keys just now: it goes on when they are free."


async def tell_status(keys_dsn: str, *, say: Say) -> None:
    """Tell how many keys there are, and how the last exchange went."""
    standing = await service.standing(keys_dsn)
    say(f"KEK {standing.kek_id.hex()}, {_count(standing.peppers, 'pepper')} of the log-in index.")
    say(
        f"{_count(standing.companies, 'company key')}, "
        f"{_count(sum(standing.keys.values()), 'data key')}"
        + "".join(f"; {category} {count}" for category, count in sorted(standing.keys.items()))
        + "."
    )
    say(f"{_count(standing.destroyed, 'erased subject')} since the last exchange began.")
    say(_told(standing))


async def exchange_now(rekeyer: Rekeyer, *, stop: asyncio.Event, clock: Clock, say: Say) -> None:
    """Begin an exchange, or join the one under way, and see it to its end, or until ``stop``.

    Raises
    ------
    KekUnusable
    """
    said = ""
    begun, is_asked = None, False
    while not stop.is_set():
        try:
            if not is_asked:
                begun = await service.begin(rekeyer, now=clock())
                is_asked = True
            last = (await service.standing(rekeyer.keys_dsn)).last
            if last is not None and (begun is None or last.rekeying_id == begun.rekeying_id):
                doing = _doing(last, clock()) if last.ended_at is None else _ended(last)
                if doing != said:
                    say(doing)
                    said = doing
                if last.ended_at is not None:
                    return
                await service.run_due(rekeyer, every=NEVER, now=clock())
        except KeysHeld:
            if said != HELD:
                say(HELD)
                said = HELD
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), LOOK_EVERY_S)
    say("Stopped: what is left, the server's own job does, or this command once more.")


def _told(standing: Standing) -> str:
    last = standing.last
    if last is None:
        return "The keys were never exchanged."
    return _doing(last, None) if last.ended_at is None else _ended(last)


def _doing(current: Rekeying, now: datetime | None) -> str:
    if current.exchanged_at is None:
        until = current.begun_at + SETTLES
        if now is None or now < until:
            return f"Every process gets to know the new pepper until {until:%H:%M:%S} UTC."
        return "Log-ins are indexed under the new pepper."
    if current.wrapped_at is None:
        return "Every key is wrapped anew."
    return "The old KEK is destroyed."


def _ended(last: Rekeying) -> str:
    return (
        f"The last exchange ended at {last.ended_at:%Y-%m-%d %H:%M:%S} UTC: "
        f"{_count(last.companies or 0, 'company key')}, {_count(last.keys or 0, 'data key')}. "
        "Older copies of the key database open nothing any more."
    )


def _count(count: int, of: str) -> str:
    return f"{count} {of}" if count == 1 else f"{count} {of}s"
