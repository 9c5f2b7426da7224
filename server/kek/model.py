"""The key encryption key: it wraps the keys of the key database, and is kept outside it.

It lies where this process can destroy it, so never in an environment variable. With each
re-wrapping another one follows it, and everything that it wrapped is unreadable once it is gone.
"""

import os
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12


class Keeping(StrEnum):
    """What keeps a KEK: what can be copied of it behind our back depends on that."""

    FILE = "file"
    TRANSIT = "transit"


class KekUnusable(Exception):
    """The KEK cannot be used. ``str`` is one sentence for a person, without the key."""


class KekGone(KekUnusable):
    """What is asked for was wrapped by a KEK that is not there: another one, or one destroyed."""


class KeyDamaged(KekUnusable):
    """One key in the key database was changed or moved; the others have nothing to do with it."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A key, wrapped or not, and what its wrapping is bound to."""

    data: bytes = field(repr=False)
    aad: bytes


class Kek(Protocol):
    """One key encryption key."""

    @property
    def kek_id(self) -> bytes:
        """Name it without telling anything of it."""

    async def wrap(self, keys: Sequence[Bound]) -> list[bytes]:
        """Return the keys wrapped, in their order.

        Raises
        ------
        KekUnusable
        """

    async def unwrap(self, wrapped: Sequence[Bound]) -> list[bytes]:
        """Return the keys, in their order.

        Raises
        ------
        KekGone
            Another one wrapped them, or somebody changed them.
        KekUnusable
        """


class Keks(Protocol):
    """Where the KEK is kept: the one in force, and for a while the one that is to follow it."""

    @property
    def kept_in(self) -> frozenset[Keeping]:
        """Say what keeps it, or kept the one before."""

    async def in_force(self, kek_id: bytes | None) -> Kek:
        """Return the KEK of this name; None: the one that a new key database begins with.

        Raises
        ------
        KekGone
            There is none of this name.
        KekUnusable
        """

    async def refuse_other(self, installation_id: UUID | None, /) -> None:
        """Refuse a KEK that another installation uses: an exchange by either harms the other.

        None: whoever uses it is another, for this one has no name yet.

        Raises
        ------
        KekUnusable
        """

    async def claim(self, installation_id: UUID, /) -> None:
        """Note that this installation uses it, unless another does.

        Raises
        ------
        KekUnusable
        """

    async def disclaim(self) -> None:
        """Forget who used it: that one is gone for good."""

    def alone(self) -> AbstractAsyncContextManager[None]:
        """Let no other process make or destroy one as long as the block lasts.

        Whoever stood still may have lost the lock in the key database without knowing: what is in
        force is read there again within the block, before anything is made or destroyed.

        Raises
        ------
        KekUnusable
            Somebody is at it.
        """

    async def follow(self) -> Kek:
        """Make the one that is to follow, within :meth:`alone`. Then it outlives a crash.

        Until :meth:`end_others` names it, the one in force stays, and this one may be given up.

        Raises
        ------
        KekUnusable
        """

    async def end_others(self, kek_id: bytes) -> bool:
        """Let the KEK of this name be the one that is kept; return whether another was. Idempotent.

        Within :meth:`alone`. One that is to follow it stays: it might be the one in force by now.

        Raises
        ------
        KekUnusable
            There is none of this name, or a place of the other is away: nothing was destroyed.
        """


def seal_bytes(cipher: AESGCM, plain: bytes, *, aad: bytes) -> bytes:
    """Return nonce and AES-256-GCM text of ``plain``, bound to ``aad``."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, plain, aad)


def open_bytes(cipher: AESGCM, sealed: bytes, *, aad: bytes) -> bytes:
    """Return what :func:`seal_bytes` sealed; ``InvalidTag`` if anything differs."""
    if len(sealed) < NONCE_BYTES:  # the cipher would call that a ValueError
        raise InvalidTag
    return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], aad)
