"""The key encryption key: a file that this process could destroy, never an environment variable."""

import hashlib
import os
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12


class KekUnusable(Exception):
    """The KEK file cannot be used. ``str`` is one sentence for a person, without the key."""


@dataclass(frozen=True, slots=True)
class Kek:
    """Wraps and unwraps keys. ``kek_id`` names it without telling anything of it."""

    kek_id: bytes
    _cipher: AESGCM = field(repr=False)

    def wrap(self, key: bytes, *, aad: bytes) -> bytes:
        return seal_bytes(self._cipher, key, aad=aad)

    def unwrap(self, wrapped: bytes, *, aad: bytes) -> bytes:
        """Return the key.

        Raises
        ------
        KekUnusable
            It was wrapped by another KEK, or somebody changed it.
        """
        try:
            return open_bytes(self._cipher, wrapped, aad=aad)
        except InvalidTag:
            raise KekUnusable("The key database was made with another KEK file.") from None


def load(path: Path, *, may_make: bool = True) -> Kek:
    """Read the KEK, making it (0600) where there is none and ``may_make`` allows it.

    Raises
    ------
    KekUnusable
    """
    if not path.exists():
        if not may_make:
            raise KekUnusable(
                f"The KEK file {path} is missing, but the key database was made with one."
            )
        _create(path)
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise KekUnusable(f"The KEK file {path} may be read by others; run: chmod 600 {path}")
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise KekUnusable(f"The KEK file {path} does not hold {KEY_BYTES} bytes.")
    return Kek(hashlib.sha256(b"jolda kek id" + key).digest()[:8], AESGCM(key))


def _create(path: Path) -> None:
    folders = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Written whole, then linked to its name: a crash leaves no half key, a race makes one key.
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, secrets.token_bytes(KEY_BYTES))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    # Keys that only this one opens are stored next: its name has to outlive a loss of power.
    for folder in (path.parent, *(made.parent for made in folders)):
        _sync(folder)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def seal_bytes(cipher: AESGCM, plain: bytes, *, aad: bytes) -> bytes:
    """Return nonce and AES-256-GCM text of ``plain``, bound to ``aad``."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, plain, aad)


def open_bytes(cipher: AESGCM, sealed: bytes, *, aad: bytes) -> bytes:
    """Return what :func:`seal_bytes` sealed; ``InvalidTag`` if anything differs."""
    return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], aad)
