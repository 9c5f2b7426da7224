"""Where the KEK is kept: in a file, in OpenBao, or on the way from the one to the other."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from server.kek.disk import next_of
from server.kek.key_file import KeyFile, lies_at, load
from server.kek.model import Keeping, Kek, KekGone, Keks


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitAt:
    """A key of a transit engine, as the settings name it."""

    url: str
    mount: str
    key: str
    token_file: Path
    """Read whenever OpenBao is asked: whoever renews the token writes it anew."""
    ca_file: Path | None = None
    """Whose certificates are believed; None: those of the public authorities."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KekAt:
    """What the settings say of the KEK."""

    file: Path
    copy: Path | None = None
    transit: TransitAt | None = None
    """Where it is kept; then the file is where it was."""


@dataclass(frozen=True, slots=True)
class Moving:
    """From the file to where the next exchange puts it; until that has ended both are there."""

    here: KeyFile
    there: Keks

    @property
    def kept_in(self) -> frozenset[Keeping]:
        return self.here.kept_in | self.there.kept_in

    async def in_force(self, kek_id: bytes | None) -> Kek:
        if kek_id is None:
            return await self.there.in_force(None)
        try:
            return await self.here.in_force(kek_id)
        except KekGone:
            return await self.there.in_force(kek_id)

    async def refuse_other(self, installation_id: UUID | None) -> None:
        await self.here.refuse_other(installation_id)

    async def claim(self, installation_id: UUID) -> None:
        await self.here.claim(installation_id)

    async def disclaim(self) -> None:
        await self.here.disclaim()

    def alone(self) -> AbstractAsyncContextManager[None]:
        return self.here.alone()

    async def follow(self) -> Kek:
        self.here.refuse_absent_copy()
        return await self.there.follow()

    async def end_others(self, kek_id: bytes) -> bool:
        try:
            # Everything was wrapped anew before the move was asked for: that is ended first.
            return await self.here.end_others(kek_id)
        except KekGone:
            ended = await self.there.end_others(kek_id)
        return await self.here.end_all() or ended


@asynccontextmanager
async def keks_at(at: KekAt, *, may_make: bool) -> AsyncGenerator[Keks]:
    """Give what keeps the KEK, making one where there is none and ``may_make``.

    Raises
    ------
    KekUnusable
    """
    if at.transit is None:
        yield await asyncio.to_thread(load, at.file, may_make=may_make, copy=at.copy)
        return
    # hvac: 8 MB that a KEK in a file never takes.
    from server.kek.transit import open_transit  # noqa: PLC0415

    # A crash may have left the copy alone, with what was in force before.
    moves = not may_make and lies_at(at.file, at.copy)
    async with open_transit(at.transit, may_make=may_make or moves, is_first=may_make) as there:
        if moves:
            yield Moving(await asyncio.to_thread(_left, at), there)
        else:
            yield there


def _left(at: KekAt) -> KeyFile:
    """Return the file that is moved from, of which only the copy may be left."""
    if at.file.exists() or next_of(at.file).exists():
        return load(at.file, may_make=False, copy=at.copy)
    return KeyFile(path=at.file, copy=at.copy)
