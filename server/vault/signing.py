"""The installation's signature: Ed25519, for checkpoints of the ledger, receipts, certificates."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from server.kit.db import Connection
from server.kit.ids import uuid7
from server.vault import store
from server.vault.kek import Kek, KekUnusable
from server.vault.store import SigningKey

_AAD: Final = b"jolda signing key v1|"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """The newest key, unwrapped, and the public halves of all there ever were."""

    key_id: UUID
    private: Ed25519PrivateKey = field(repr=False)
    public_keys: Mapping[UUID, bytes]

    def sign(self, data: bytes) -> bytes:
        """Return the 64 bytes of the signature. ``data`` begins with what it is a statement of."""
        return self.private.sign(data)


async def open_signer(conn: Connection, kek: Kek, now: datetime) -> Signer:
    """Return what signs, making a key on the first start; the caller holds the start-up lock.

    Raises
    ------
    KekUnusable
        The key was made with another KEK, or somebody changed it.
    """
    found = await store.signing_keys(conn)
    if not found:
        await store.insert_signing_key(conn, _made(kek), now)
        found = await store.signing_keys(conn)
    newest = found[-1]
    private = Ed25519PrivateKey.from_private_bytes(
        kek.unwrap(newest.wrapped, aad=_AAD + newest.key_id.bytes)
    )
    if private.public_key().public_bytes_raw() != newest.public_key:
        raise KekUnusable("The signing key in the key database was changed.")
    return Signer(
        key_id=newest.key_id,
        private=private,
        public_keys={key.key_id: key.public_key for key in found},
    )


def _made(kek: Kek) -> SigningKey:
    key_id = uuid7()
    private = Ed25519PrivateKey.generate()
    return SigningKey(
        key_id=key_id,
        public_key=private.public_key().public_bytes_raw(),
        kek_id=kek.kek_id,
        wrapped=kek.wrap(private.private_bytes_raw(), aad=_AAD + key_id.bytes),
    )
