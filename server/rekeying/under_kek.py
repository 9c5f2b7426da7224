"""What the KEK itself wraps: the companies' keys, the peppers and the signing keys."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from uuid import UUID

from server.kek.model import Bound, Kek, KekGone, KekUnusable
from server.kit.db import Connection
from server.rekeying import store
from server.vault.service import peppers, signing_keys
from server.vault.wrapping import PEPPER_AAD, company_aad, signing_aad

NAMED_MAX: Final = 3


class Kind(StrEnum):
    COMPANY = "company key"
    PEPPER = "pepper"
    SIGNING = "signing key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One key as the key database holds it."""

    kind: Kind
    id: UUID
    """Of the company, where it is a company's."""
    wrapped: bytes = field(repr=False)

    @property
    def aad(self) -> bytes:
        match self.kind:
            case Kind.COMPANY:
                return company_aad(self.id)
            case Kind.PEPPER:
                return PEPPER_AAD
            case Kind.SIGNING:
                return signing_aad(self.id)


class KeysUnreadable(KekUnusable):
    """Something that the KEK has to open does not open: no KEK is destroyed that might mend it."""

    def __init__(self, kept: Sequence[Kept]) -> None:
        named = ", ".join(f"{one.kind} {one.id}" for one in kept[:NAMED_MAX])
        more = f" and {len(kept) - NAMED_MAX} more" if len(kept) > NAMED_MAX else ""
        super().__init__(
            f"The KEK does not open what it should in the key database: {named}{more}. No keys are "
            "exchanged until that is mended. See docs/explanation/keys.md#damage."
        )


async def all_kept(conn: Connection) -> list[Kept]:
    """Return everything that the KEK wraps."""
    return [
        *[
            Kept(kind=Kind.COMPANY, id=company_id, wrapped=wrapped)
            for company_id, wrapped in await store.company_keys(conn)
        ],
        *[
            Kept(kind=Kind.PEPPER, id=one.pepper_id, wrapped=one.wrapped)
            for one in await peppers(conn)
        ],
        *[
            Kept(kind=Kind.SIGNING, id=one.key_id, wrapped=one.wrapped)
            for one in await signing_keys(conn)
        ],
    ]


async def each_secret(kek: Kek, kept: Sequence[Kept]) -> list[bytes | None]:
    """Return each key as it was drawn, None where the KEK does not open it.

    Raises
    ------
    KekUnusable
        It cannot be asked.
    """
    try:
        return list(await kek.unwrap([Bound(one.wrapped, one.aad) for one in kept]))
    except KekGone:
        if len(kept) == 1:
            return [None]
    half = len(kept) // 2
    return [*await each_secret(kek, kept[:half]), *await each_secret(kek, kept[half:])]


async def secrets_of(kek: Kek, kept: Sequence[Kept]) -> list[bytes]:
    """Return every key as it was drawn.

    Raises
    ------
    KeysUnreadable, KekUnusable
    """
    found = await each_secret(kek, kept)
    closed = [one for one, secret in zip(kept, found, strict=True) if secret is None]
    if closed:
        raise KeysUnreadable(closed)
    return [secret for secret in found if secret is not None]


async def wrap(kek: Kek, kept: Sequence[Kept], secrets: Sequence[bytes]) -> list[Kept]:
    """Return the same keys, with these secrets wrapped by this KEK.

    Raises
    ------
    KeysUnreadable, KekUnusable
    """
    wrapped = await kek.wrap(
        [Bound(secret, one.aad) for one, secret in zip(kept, secrets, strict=True)]
    )
    done = [
        Kept(kind=one.kind, id=one.id, wrapped=anew)
        for one, anew in zip(kept, wrapped, strict=True)
    ]
    # Soon nothing else opens them: whoever wrapped them has to show that it does.
    again = await secrets_of(kek, done)
    other = [one for one, was, is_now in zip(done, secrets, again, strict=True) if was != is_now]
    if other:
        raise KeysUnreadable(other)
    return done


async def write(conn: Connection, kek_id: bytes, kept: Sequence[Kept]) -> None:
    """Put the keys, wrapped by the KEK of this name, in the place of those before."""
    companies = [one for one in kept if one.kind is Kind.COMPANY]
    await store.set_company_keys(
        conn, kek_id, [one.id for one in companies], [one.wrapped for one in companies]
    )
    for one in kept:
        if one.kind is Kind.PEPPER:
            await store.set_pepper(conn, one.id, kek_id=kek_id, wrapped=one.wrapped)
        elif one.kind is Kind.SIGNING:
            await store.set_signing_key(conn, one.id, kek_id=kek_id, wrapped=one.wrapped)
