"""The KEK as a file of 32 bytes, and where asked for a copy of it on another disk.

The one that is to follow lies beside it, named ``.next``, until it takes its place.
"""

import asyncio
import fcntl
import hashlib
import os
import secrets
import stat
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from server.kek import claim, disk
from server.kek.disk import next_of, there
from server.kek.model import (
    KEY_BYTES,
    Bound,
    Keeping,
    KekGone,
    KekUnusable,
    open_bytes,
    seal_bytes,
)

Done = TypeVar("Done")

ANOTHER: Final = "The key database was made with another KEK file."


@dataclass(frozen=True, slots=True)
class FileKek:
    """The bytes of a KEK file, as a key."""

    kek_id: bytes
    _cipher: AESGCM = field(repr=False)

    async def wrap(self, keys: Sequence[Bound]) -> list[bytes]:
        return [seal_bytes(self._cipher, one.data, aad=one.aad) for one in keys]

    async def unwrap(self, wrapped: Sequence[Bound]) -> list[bytes]:
        try:
            return [open_bytes(self._cipher, one.data, aad=one.aad) for one in wrapped]
        except InvalidTag:
            raise KekGone(ANOTHER) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFile:
    """Where the file lies, and its copy. See ``Keks``."""

    path: Path
    copy: Path | None = None

    @property
    def kept_in(self) -> frozenset[Keeping]:
        return frozenset({Keeping.FILE})

    async def in_force(self, kek_id: bytes | None) -> FileKek:
        return await asyncio.to_thread(self._in_force, kek_id)

    async def refuse_other(self, installation_id: UUID | None) -> None:
        await _to_its_end(lambda: self._refuse_other(installation_id))

    async def claim(self, installation_id: UUID) -> None:
        await _to_its_end(lambda: self._claim(installation_id))

    async def disclaim(self) -> None:
        await _to_its_end(self._disclaim)

    @asynccontextmanager
    async def alone(self) -> AsyncGenerator[None]:
        """As in ``Keks``: among the processes that share the file's folder."""
        descriptor = await asyncio.to_thread(_locked, disk.lock_of(self.path))
        try:
            yield
        finally:
            os.close(descriptor)

    async def follow(self) -> FileKek:
        return await _to_its_end(self._follow)

    async def end_others(self, kek_id: bytes) -> bool:
        return await _to_its_end(lambda: self._end_others(kek_id))

    async def end_all(self) -> bool:
        """Destroy it and its copy: it is kept elsewhere now. Return whether there was one.

        Raises
        ------
        KekUnusable
            The copy is away: nothing was destroyed.
        """
        return await _to_its_end(self._end_all)

    def refuse_absent_copy(self) -> None:
        """Refuse to exchange what could not be destroyed in both places, if it is still here.

        Raises
        ------
        KekUnusable
        """
        if self.copy is not None and there(self.path) and not there(self.copy):
            raise KekUnusable(
                f"The copy of the KEK at {self.copy} is away, so the KEK in it could not be "
                "destroyed: let its disk be there again. Is it lost for good, start Jolda once "
                "more with another disk there, or without JOLDA_KEK_COPY_FILE."
            )

    def _in_force(self, kek_id: bytes | None) -> FileKek:
        if kek_id is None:
            return _kek(_read(self.path))
        # While the other takes its place a name may be gone for an instant: that instant is over
        # when the first name is looked at again.
        for path in (self.path, next_of(self.path), self.path):
            with suppress(FileNotFoundError):
                if (found := _kek(_read(path))).kek_id == kek_id:
                    return found
        raise KekGone(ANOTHER)

    def _follow(self) -> FileKek:
        self.refuse_absent_copy()
        key = secrets.token_bytes(KEY_BYTES)
        for path in self._places:
            disk.sweep(path)
            disk.destroy(next_of(path))  # of a time that came to nothing
            disk.create_beside(path, next_of(path), key)
        # Everything is wrapped by it next, so it is looked whether it is what lies there.
        if any(_read(next_of(path)) != key for path in self._places):
            raise KekUnusable(
                f"{next_of(self.path)} does not hold what was written there: does somebody else "
                "use this KEK?"
            )
        return _kek(key)

    def _end_others(self, kek_id: bytes) -> bool:
        key = self._key(kek_id)
        self.refuse_absent_copy()
        for path in self._places:
            disk.sweep(path)
        ended = [disk.take_over(path, key) for path in self._places]
        return any(ended)

    def _end_all(self) -> bool:
        files, copies = there(self.path), [] if self.copy is None else there(self.copy)
        self.refuse_absent_copy()
        for path in self._places:
            disk.sweep(path)
        # Copies first, for it is the file that tells a disk that is away from what was done; their
        # names last, so that a crash between leaves them and not a file whose copy is missing.
        for name in copies:
            disk.overwrite(name)
        for name in (*files, *copies):
            disk.destroy(name)
        self._disclaim()
        return bool(files or copies)

    def _key(self, kek_id: bytes) -> bytes:
        for path in self._places:
            for name in there(path):
                if _kek(key := _read(name)).kek_id == kek_id:
                    return key
        raise KekGone(ANOTHER)

    def _refuse_other(self, installation_id: UUID | None) -> None:
        for path in self._places:
            claim.refuse_other(path, installation_id)

    def _claim(self, installation_id: UUID) -> None:
        self._refuse_other(installation_id)
        for path in self._places:
            claim.claim(path, installation_id)

    def _disclaim(self) -> None:
        for path in self._places:
            claim.disclaim(path)

    @property
    def _places(self) -> tuple[Path, ...]:
        return (self.path,) if self.copy is None else (self.path, self.copy)


def lies_at(path: Path, copy: Path | None) -> bool:
    """Tell whether a KEK, or what is left of one, is in any of the places."""
    return bool(there(path) or (copy is not None and there(copy)))


def load(path: Path, *, may_make: bool = True, copy: Path | None = None) -> KeyFile:
    """Look whether the file can be used, making it (0600) where there is none and ``may_make``.

    Raises
    ------
    KekUnusable
    """
    try:
        return _loaded(path, may_make=may_make, copy=copy)
    except OSError as error:
        raise KekUnusable(f"The KEK file {path} cannot be used: {error.strerror}.") from None


def _loaded(path: Path, *, may_make: bool, copy: Path | None) -> KeyFile:
    if not path.exists():
        if may_make:
            disk.create(path, secrets.token_bytes(KEY_BYTES))
        elif not next_of(path).exists():
            raise KekUnusable(
                f"The KEK file {path} is missing, but the key database was made with one."
            )
    if copy is not None:
        _copy(path, copy)
    for one in (path, next_of(path)):
        with suppress(FileNotFoundError):  # none, or somebody is exchanging it just now
            _read(one)
    for one in (path, *(() if copy is None else (copy,))):
        for name in (one, next_of(one)):
            with suppress(FileNotFoundError):
                _refuse_readable(name)
                _refuse_fixed(name)
    return KeyFile(path=path, copy=copy)


def _refuse_fixed(path: Path) -> None:
    """Refuse a file that can be read and not exchanged: mounted by itself, or read-only."""
    if path.is_symlink():
        raise KekUnusable(
            f"The KEK file {path} is a symbolic link, and the next KEK would take the place of the "
            "link: name the file itself."
        )
    # Where another name can be given to it, another file can take its name.
    probe = disk.probe_of(path)
    try:
        os.link(path, probe)
        probe.unlink()
    except FileNotFoundError:
        return  # somebody is exchanging it just now
    except OSError:
        raise KekUnusable(
            f"The KEK file {path} cannot be exchanged, as it has to be after erasures: let Jolda "
            "write its folder, and mount the folder, not the file. "
            "See docs/how-to/run-in-production.md."
        ) from None


def _copy(path: Path, copy: Path) -> None:
    """Make the copy where there is none; one that differs is renewed by the next exchange."""
    # Never made here: a folder that is missing is mostly a disk that is.
    if not copy.parent.is_dir():
        raise KekUnusable(f"The folder {copy.parent} for the copy of the KEK is not there.")
    if copy.exists() or not path.exists():
        return
    try:
        disk.create(copy, _read(path))
    except OSError as error:
        raise KekUnusable(f"No copy of the KEK can be made at {copy}: {error.strerror}.") from None


def _locked(path: Path) -> int:
    """Return the open file that nobody else holds until it is closed, or its process has ended."""
    # A file of its own: the KEK's is replaced meanwhile, and not every file system locks folders.
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, disk.OWNER_ONLY)
        try:
            disk.give(descriptor, path.parent)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise
    except OSError as error:
        raise KekUnusable(
            f"The lock {path} of the KEK cannot be had just now: {error.strerror}."
        ) from None
    return descriptor


async def _to_its_end(work: Callable[[], Done]) -> Done:
    """Do it in a thread; who is cancelled leaves when it is done, and not with the lock before."""
    doing = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(doing)
    except asyncio.CancelledError:
        await asyncio.wait([doing])
        raise
    except OSError as error:
        raise KekUnusable(
            f"The KEK file cannot be exchanged, or destroyed, just now ({error.strerror})."
        ) from None


def _kek(key: bytes) -> FileKek:
    return FileKek(hashlib.sha256(b"jolda kek id" + key).digest()[:8], AESGCM(key))


def _refuse_readable(path: Path) -> None:
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise KekUnusable(f"The KEK file {path} may be read by others; run: chmod 600 {path}")


def _read(path: Path) -> bytes:
    _refuse_readable(path)
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise KekUnusable(f"The KEK file {path} does not hold {KEY_BYTES} bytes.")
    return key
