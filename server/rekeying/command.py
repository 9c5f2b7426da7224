"""``jolda keys``: how the keys stand, and exchanging them now."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, suppress
from datetime import datetime, timedelta
from typing import Final

from server.kek.model import Keks, KekUnusable
from server.rekeying import damage, service
from server.rekeying.model import SETTLES, Damage, Rekeying, Standing
from server.rekeying.service import KeysHeld, Rekeyer, TakenOver

Say = Callable[[str], None]
Clock = Callable[[], datetime]
KeksOpened = Callable[[], AbstractAsyncContextManager[Keks]]

LOOK_EVERY_S: Final = 2.0
NEVER: Final = timedelta(days=36_500)
"""Beyond the exchange that was asked for none begins."""
HELD: Final = "Somebody holds the keys just now: it goes on when they are free."
MEND: Final = (
    "No keys are exchanged until it is mended from a backup of keys. "
    "See docs/explanation/keys.md#damage."
)


async def tell_status(keys_dsn: str, keks: KeksOpened, *, say: Say) -> None:
    """Tell how many keys there are, whether each can be used, and how the last exchange went."""
    standing = await service.standing(keys_dsn)
    if standing.kek_id is None:
        say("The key database is empty: no key was ever made.")
        return
    say(f"KEK {standing.kek_id.hex()}, {_count(standing.peppers, 'pepper')} of the log-in index.")
    say(
        f"{_count(standing.companies, 'company key')}, "
        f"{_count(sum(standing.keys.values()), 'data key')}"
        + "".join(f"; {category} {count}" for category, count in sorted(standing.keys.items()))
        + "."
    )
    try:
        async with keks() as opened:
            for sentence in _of_damage(await damage.look(keys_dsn, opened)):
                say(sentence)
    except KekUnusable as error:
        say(f"Whether each of them can be used is not known: {error}")
    say(f"{_count(standing.destroyed, 'erased subject')} since the last exchange began.")
    say(_told(standing))


async def exchange_now(rekeyer: Rekeyer, *, stop: asyncio.Event, clock: Clock, say: Say) -> None:
    """Begin an exchange, or join the one under way, and see it to its end, or until ``stop``.

    Raises
    ------
    KekUnusable
    """
    said = ""
    joined: Rekeying | None = None

    def tell(sentence: str) -> None:
        nonlocal said
        if sentence != said:
            say(sentence)
            said = sentence

    while not stop.is_set():
        try:
            joined = await _looked(rekeyer, joined, now=clock())
            if joined is None:
                tell(HELD)
            elif joined.ended_at is not None:
                tell(_ended(joined))
                return
            else:
                tell(_doing(joined, clock()))
                await service.run_due(rekeyer, every=NEVER, now=clock())
        except KeysHeld:
            tell(HELD)
        except TakenOver:  # the server goes on with it: it is looked how far
            pass
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), LOOK_EVERY_S)
    say("Stopped: what is left, the server's own job does, or this command once more.")


async def _looked(rekeyer: Rekeyer, joined: Rekeying | None, *, now: datetime) -> Rekeying | None:
    """Return how far the exchange is, beginning or joining one; None where neither can be yet."""
    if joined is not None:
        return await service.one(rekeyer.keys_dsn, joined.rekeying_id)
    # Whoever is at it may only look whether one is due: then none is under way, and none was begun.
    return await service.begin(rekeyer, now=now) or await service.one(rekeyer.keys_dsn)


def _of_damage(found: Damage) -> Iterator[str]:
    if not found:
        yield "Each of them can be used."
        return
    for company_id in found.companies:
        yield (
            f"The key of the company {company_id} cannot be unwrapped: nothing of that company can "
            f"be read. {MEND}"
        )
    for company_id, count in sorted(found.data_keys.items()):
        yield (
            f"{_count(count, 'data key')} of the company {company_id} cannot be unwrapped: what "
            "was sealed with them cannot be read. All others go on as ever."
        )
    for count, of in ((found.peppers, "pepper"), (found.signing_keys, "signing key")):
        if count:
            yield f"{_count(count, of)} cannot be unwrapped. {MEND}"


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
