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

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

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

    @asynccontextmanager
    async def alone(self) -> AsyncGenerator[None]:
        """As in ``Keks``: among the processes that share the file's folder."""
        descriptor = await asyncio.to_thread(_locked, _lock_of(self.path))
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
        if self.copy is not None and _there(self.path) and not _there(self.copy):
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
            _destroy(next_of(path))  # of a time that came to nothing
            _create_beside(path, next_of(path), key)
        return _kek(key)

    def _end_others(self, kek_id: bytes) -> bool:
        key = self._key(kek_id)
        self.refuse_absent_copy()
        ended = [_take_over(path, key) for path in self._places]
        return any(ended)

    def _end_all(self) -> bool:
        files, copies = _there(self.path), [] if self.copy is None else _there(self.copy)
        self.refuse_absent_copy()
        # Copies first, for it is the file that tells a disk that is away from what was done; their
        # names last, so that a crash between leaves them and not a file whose copy is missing.
        for name in copies:
            _overwrite(name)
        for name in (*files, *copies):
            _destroy(name)
        return bool(files or copies)

    def _key(self, kek_id: bytes) -> bytes:
        for path in self._places:
            for name in _there(path):
                if _kek(key := _read(name)).kek_id == kek_id:
                    return key
        raise KekGone(ANOTHER)

    @property
    def _places(self) -> tuple[Path, ...]:
        return (self.path,) if self.copy is None else (self.path, self.copy)


def lies_at(path: Path, copy: Path | None) -> bool:
    """Tell whether a KEK, or what is left of one, is in any of the places."""
    return bool(_there(path) or (copy is not None and _there(copy)))


def load(path: Path, *, may_make: bool = True, copy: Path | None = None) -> KeyFile:
    """Look whether the file can be used, making it (0600) where there is none and ``may_make``.

    Raises
    ------
    KekUnusable
    """
    if not path.exists() and not next_of(path).exists():
        if not may_make:
            raise KekUnusable(
                f"The KEK file {path} is missing, but the key database was made with one."
            )
        _create(path, secrets.token_bytes(KEY_BYTES))
    for one in (path, next_of(path)):
        if one.exists():
            _read(one)
            _refuse_fixed(one)
    if copy is not None:
        _copy(path, copy)
    return KeyFile(path=path, copy=copy)


def _refuse_fixed(path: Path) -> None:
    """Refuse a file that can be read and not exchanged: mounted by itself, or read-only."""
    # Where another name can be given to it, another file can take its name.
    probe = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
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
        _create(copy, _read(path))
    except OSError as error:
        raise KekUnusable(f"No copy of the KEK can be made at {copy}: {error.strerror}.") from None


def next_of(path: Path) -> Path:
    """Return where the one lies that is to follow."""
    return path.with_name(f"{path.name}.next")


def _there(path: Path) -> list[Path]:
    return [name for name in (path, next_of(path)) if name.exists()]


def _lock_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")


def _locked(path: Path) -> int:
    """Return the open file that nobody else holds until it is closed, or its process has ended."""
    # A file of its own: the KEK's is replaced meanwhile, and not every file system locks folders.
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
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


def _kek(key: bytes) -> FileKek:
    return FileKek(hashlib.sha256(b"jolda kek id" + key).digest()[:8], AESGCM(key))


def _read(path: Path) -> bytes:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise KekUnusable(f"The KEK file {path} may be read by others; run: chmod 600 {path}")
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise KekUnusable(f"The KEK file {path} does not hold {KEY_BYTES} bytes.")
    return key


def _take_over(path: Path, key: bytes) -> bool:
    """Let the file hold this key; return whether another was there.

    Another one that is to follow is left alone: should we come late, it is the one in force.
    """
    there = path.exists()
    if there and path.read_bytes() == key:
        return False
    follower = next_of(path)
    if follower.exists() and follower.read_bytes() == key:
        successor = follower
    else:
        successor = _draft(path, key)
    if there:
        _overwrite(path)
    successor.replace(path)
    _sync(path.parent)
    return there


def _destroy(path: Path) -> bool:
    if not path.exists():
        return False
    _overwrite(path)
    path.unlink()
    _sync(path.parent)
    return True


def _overwrite(path: Path) -> None:
    # Most disks write elsewhere what is written again; on the others the old bytes are gone.
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, secrets.token_bytes(KEY_BYTES))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _create(path: Path, key: bytes) -> None:
    folders = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _create_beside(path, path, key)
    # Keys that only this one opens are stored next: its name has to outlive a loss of power.
    for made in folders:
        _sync(made.parent)


def _create_beside(path: Path, name: Path, key: bytes) -> None:
    """Make a file in the folder of ``path``, which is there: a missing one is a disk that is."""
    # Written whole, then linked to its name: a crash leaves no half key, a race makes one key.
    draft = _draft(path, key)
    try:
        os.link(draft, name)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    _sync(path.parent)


def _draft(path: Path, key: bytes) -> Path:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, key)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return draft


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
