"""Opening the vault, and keeping what it holds in memory fresh for as long as a process lives."""

import asyncio
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final
from uuid import UUID

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from server.kek.model import KEY_BYTES, Bound, Kek, Keks, KekUnusable
from server.kit.db import Connection, Pool
from server.kit.ids import uuid7
from server.kit.problem import where
from server.kit.tasks import ended
from server.vault import store
from server.vault.held import EVICT_EVERY_S
from server.vault.model import Signer, SigningKey
from server.vault.service import Vault
from server.vault.wrapping import PEPPER_AAD, signing_aad, unwrapped_peppers

log = structlog.get_logger(__name__)

RENEW_EVERY_S: Final = 20.0
"""How soon a process follows a re-wrapping though it asks for no key: the old KEK and pepper leave
its memory then."""

RENEWED_FOR_ONE_S: Final = 1.0
RENEWING_S_MAX: Final = 0.5


@asynccontextmanager
async def evicting(vault: Vault, *, every_s: float = EVICT_EVERY_S) -> AsyncGenerator[None]:
    """Drop unwrapped keys in time for as long as the block lasts, also when nobody uses them."""

    async def sweep() -> None:
        while True:
            await asyncio.sleep(every_s)
            vault.evict()

    async def renew() -> None:
        while True:
            await asyncio.sleep(RENEW_EVERY_S)
            try:
                await vault.renew()
            except Exception as error:  # noqa: BLE001 - next time may do; who needs a key is told
                log.warning("vault_not_renewed", **where(error))

    tasks = [asyncio.create_task(one()) for one in (sweep, renew)]
    try:
        yield
    finally:
        await ended(*tasks)


async def renew_for_one(vault: Vault) -> None:
    """Take over what others changed, for somebody who was not found; it never fails for them.

    At most once a second, and for half of one: who guesses passwords would make a flood of it, and
    a key database that is away is no reason to answer anything else.
    """
    if vault.was_renewed_within(RENEWED_FOR_ONE_S):
        return
    try:
        async with asyncio.timeout(RENEWING_S_MAX):
            await vault.renew()
    except Exception as error:  # noqa: BLE001 - whatever it was, nothing new is known
        log.warning("vault_not_renewed", **where(error))


async def was_opened(pool: Pool) -> bool:
    """Tell whether the key database was ever opened: then there is a KEK that it needs."""
    async with pool.acquire() as conn:
        return bool(await store.peppers(conn))


async def installation_of(pool: Pool, now: datetime) -> UUID:
    """Return whose key database this is, giving it a name where it has none."""
    async with pool.acquire() as conn:
        await store.insert_installation(conn, uuid7(), now)
        found = await store.installation(conn)
    if found is None:
        raise LookupError("the name that was just given was taken away")
    return found


async def open_vault(pool: Pool, keks: Keks, now: datetime) -> Vault:
    """Return the vault, making the log-in pepper and the signing key on the first start.

    Raises
    ------
    KekUnusable
        The key database was made with another KEK.
    """
    async with pool.acquire() as conn, conn.transaction():
        await store.wait_for_rewrapping(conn)
        await store.lock_peppers(conn)
        found = await store.peppers(conn)
        kek = await keks.in_force(found[0].kek_id if found else None)
        if not found:
            await insert_pepper(conn, kek, now)
            found = await store.peppers(conn)
        signer = await open_signer(conn, kek, now)
        return Vault(pool, keks, kek, await unwrapped_peppers(kek, found), signer=signer)


async def insert_pepper(conn: Connection, kek: Kek, now: datetime) -> UUID:
    """Make a pepper, the newest from now on; return its id."""
    pepper_id = uuid7()
    (wrapped,) = await kek.wrap([Bound(secrets.token_bytes(KEY_BYTES), PEPPER_AAD)])
    await store.insert_pepper(conn, pepper_id, kek_id=kek.kek_id, wrapped=wrapped, now=now)
    return pepper_id


async def open_signer(conn: Connection, kek: Kek, now: datetime) -> Signer:
    """Return what signs, making a key on the first start; the caller holds the start-up lock.

    Raises
    ------
    KekUnusable
        The key was made with another KEK, or somebody changed it.
    """
    found = await store.signing_keys(conn)
    if not found:
        await store.insert_signing_key(conn, await _made(kek), now)
        found = await store.signing_keys(conn)
    newest = found[-1]
    (secret,) = await kek.unwrap([Bound(newest.wrapped, signing_aad(newest.key_id))])
    private = Ed25519PrivateKey.from_private_bytes(secret)
    if private.public_key().public_bytes_raw() != newest.public_key:
        raise KekUnusable("The signing key in the key database was changed.")
    return Signer(
        key_id=newest.key_id,
        private=private,
        public_keys={key.key_id: key.public_key for key in found},
    )


async def _made(kek: Kek) -> SigningKey:
    key_id = uuid7()
    private = Ed25519PrivateKey.generate()
    secret = Bound(private.private_bytes_raw(), signing_aad(key_id))
    (wrapped,) = await kek.wrap([secret])
    return SigningKey(
        key_id=key_id,
        public_key=private.public_key().public_bytes_raw(),
        kek_id=kek.kek_id,
        wrapped=wrapped,
    )
