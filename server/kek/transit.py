"""The KEK in a transit engine of OpenBao (or of Vault): it wraps and unwraps, and never leaves it.

Each version of one named key is a KEK. To follow is to rotate the key; what is destroyed is every
version below the one in force, trimmed away there.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final
from uuid import UUID

import requests

from server.kek.engine import ANOTHER, HOW, Engine
from server.kek.model import Bound, Keeping, KekGone, KekUnusable
from server.kek.places import TransitAt

AEAD: Final = frozenset({"aes256-gcm96", "chacha20-poly1305", "xchacha20-poly1305"})
"""Types of keys that bind what they wrap to something else."""
THREADS: Final = 4
"""Of their own: while OpenBao hangs, no log-in waits behind them."""
NEEDED: Final[Mapping[str, str]] = {
    "keys/{key}": "read",
    "keys/{key}/rotate": "update",
    "keys/{key}/config": "update",
    "keys/{key}/trim": "update",
    "encrypt/{key}": "update",
    "decrypt/{key}": "update",
}
_WRAPPED: Final = re.compile(rb"vault:v([1-9][0-9]{0,9}):[A-Za-z0-9+/]+={0,2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Version:
    kek_id: bytes
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Named:
    """The key as the engine tells of it."""

    versions: tuple[_Version, ...]
    """Those that can still unwrap, the oldest first."""
    available_from: int
    """Versions below were destroyed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitKek:
    """One version of the key."""

    kek_id: bytes
    version: int
    engine: Engine = field(repr=False)

    async def wrap(self, keys: Sequence[Bound]) -> list[bytes]:
        items = [
            {**_bound(one.aad), "plaintext": _encoded(one.data), "key_version": self.version}
            for one in keys
        ]
        wrapped = await self.engine.batch("encrypt_data", items, "ciphertext")
        return [one.encode() for one in wrapped]

    async def unwrap(self, wrapped: Sequence[Bound]) -> list[bytes]:
        for one in wrapped:
            found = _WRAPPED.fullmatch(one.data)
            if found is None or int(found[1]) != self.version:
                raise KekGone(ANOTHER)
        items = [{**_bound(one.aad), "ciphertext": one.data.decode("ascii")} for one in wrapped]
        plain = await self.engine.batch("decrypt_data", items, "plaintext")
        try:
            return [base64.b64decode(one, validate=True) for one in plain]
        except binascii.Error:
            raise KekUnusable("The transit engine did not answer in base64.") from None


@dataclass(frozen=True, slots=True)
class TransitKeks:
    """The versions of the key. See ``Keks``."""

    key: str
    engine: Engine

    @property
    def kept_in(self) -> frozenset[Keeping]:
        return frozenset({Keeping.TRANSIT})

    async def in_force(self, kek_id: bytes | None) -> TransitKek:
        versions = (await self._named()).versions
        return self._kek(versions[-1] if kek_id is None else _of(versions, kek_id))

    async def refuse_other(self, _installation_id: UUID | None) -> None:
        """Refuse nobody: the engine keeps no name of whom a key belongs to."""

    async def claim(self, _installation_id: UUID) -> None:
        """Note nothing: see :meth:`refuse_other`."""

    async def disclaim(self) -> None:
        """Nothing was noted."""

    def alone(self) -> AbstractAsyncContextManager[None]:
        """Hold nobody up: whoever comes late makes a version too many, and ends only older ones."""
        return nullcontext()

    async def follow(self) -> TransitKek:
        await self.engine.change("rotate_key")
        return await self.in_force(None)

    async def end_others(self, kek_id: bytes) -> bool:
        """As in ``Keks``; one that came to nothing goes with those below the next one in force."""
        named = await self._named()
        number = _of(named.versions, kek_id).number
        if number == 1 or named.available_from >= number:
            return False
        # Two requests: hvac refuses both minima in one where they are equal.
        await self.engine.change("update_key_configuration", min_encryption_version=number)
        await self.engine.change("update_key_configuration", min_decryption_version=number)
        await self.engine.change("trim_key", number)
        return True

    async def _named(self) -> _Named:
        return await self.engine.read("read_key", take=partial(_told, self.key))

    def _kek(self, version: _Version) -> TransitKek:
        return TransitKek(kek_id=version.kek_id, version=version.number, engine=self.engine)


@asynccontextmanager
async def open_transit(
    at: TransitAt, *, may_make: bool, is_first: bool
) -> AsyncGenerator[TransitKeks]:
    """Look whether the key can be used, making it where there is none and ``may_make``.

    ``is_first``: no key database was ever opened with it.

    Raises
    ------
    KekUnusable
    """
    threads = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="transit")
    with requests.Session() as session:
        # The environment's proxies and .netrc are nobody's whom the token is for.
        session.trust_env = False
        session.verify = True if at.ca_file is None else str(at.ca_file)
        engine = Engine(at, session, threads)
        try:
            await _refuse_unfit(engine, at, may_make=may_make, is_first=is_first)
            keks = TransitKeks(at.key, engine)
            await _refuse_unbound(await keks.in_force(None))
            yield keks
        finally:
            threads.shutdown(wait=False, cancel_futures=True)


async def _refuse_unfit(engine: Engine, at: TransitAt, *, may_make: bool, is_first: bool) -> None:
    where = f"The key {at.mount}/{at.key} of {at.url}"
    try:
        data = await engine.read("read_key", take=_as_told)
    except KekGone:
        if not may_make:
            raise
        await engine.change("create_key")
        data = await engine.read("read_key", take=_as_told)
    if data.get("type") not in AEAD or data.get("derived"):
        raise KekUnusable(f"{where} must be of the type aes256-gcm96, and not derived.")
    if any(data.get(name) for name in ("exportable", "allow_plaintext_backup", "imported_key")):
        raise KekUnusable(
            f"{where} can be had outside the engine (exportable, allow_plaintext_backup or "
            "imported): what is destroyed there might not be gone. Name another key."
        )
    if is_first and data.get("latest_version") != 1:
        raise KekUnusable(
            f"{where} was used before: an installation whose key is shared destroys the other's. "
            "Name another key."
        )
    paths = {
        f"{at.mount}/{path.format(key=at.key)}": capability for path, capability in NEEDED.items()
    }

    def may(client: Any) -> dict[str, list[str]]:
        return dict(client.sys.get_capabilities(paths=list(paths))["data"])

    told = await engine.ask(may)
    missing = [
        path for path, needed in paths.items() if not {needed, "root"} & set(told.get(path, ()))
    ]
    if missing:
        raise KekUnusable(
            f"The token in JOLDA_KEK_TRANSIT_TOKEN_FILE may not use {', '.join(missing)}. {HOW}"
        )


async def _refuse_unbound(kek: TransitKek) -> None:
    """Refuse an engine that wraps without binding: older ones pass over ``associated_data``."""
    (wrapped,) = await kek.wrap([Bound(bytes(32), b"one place")])
    with suppress(KekGone):
        await kek.unwrap([Bound(wrapped, b"another place")])
        raise KekUnusable(
            "The transit engine is too old: it does not bind what it wraps (associated_data)."
        )


def _told(key: str, data: Any) -> _Named:
    made = sorted((int(number), int(at)) for number, at in data["keys"].items())
    if not made:
        raise ValueError
    return _Named(
        versions=tuple(
            _Version(kek_id=_kek_id(key, number, at), number=number) for number, at in made
        ),
        available_from=int(data["min_available_version"]),
    )


def _as_told(data: Any) -> dict[str, Any]:
    return dict(data)


def _of(versions: Sequence[_Version], kek_id: bytes) -> _Version:
    for one in versions:
        if one.kek_id == kek_id:
            return one
    raise KekGone(ANOTHER)


def _kek_id(key: str, number: int, made_at: int) -> bytes:
    # The time too: a key that was deleted and made again has the same name and numbers.
    return hashlib.sha256(f"jolda kek id transit|{key}|{number}|{made_at}".encode()).digest()[:8]


def _bound(aad: bytes) -> dict[str, object]:
    return {"associated_data": _encoded(aad)}


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
