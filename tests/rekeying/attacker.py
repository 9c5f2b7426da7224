"""Whoever holds an old copy of the key database and every key of today."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from server.kek.model import Bound, Kek, Keks, KekUnusable
from server.vault.model import DataKey, WrappedKey
from server.vault.service import peppers
from server.vault.wrapping import PEPPER_AAD, company_aad, unwrapped


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """What a dump of the key database holds."""

    companies: dict[UUID, bytes]
    keys: tuple[tuple[UUID, WrappedKey], ...]
    peppers: tuple[bytes, ...]


async def copied(keys_owner: "asyncpg.Connection[asyncpg.Record]") -> Copy:
    """Copy the key database as it is."""
    companies = await keys_owner.fetch("SELECT company_id, wrapped FROM company_key")
    keys = await keys_owner.fetch(
        "SELECT company_id, key_id, subject_id, category, period, wrapped FROM data_key"
    )
    return Copy(
        companies={row["company_id"]: row["wrapped"] for row in companies},
        keys=tuple(
            (
                row["company_id"],
                WrappedKey(**{name: row[name] for name in row.keys() if name != "company_id"}),  # noqa: SIM118 - a record's keys
            )
            for row in keys
        ),
        peppers=tuple(one.wrapped for one in await peppers(keys_owner)),
    )


async def keys_opened(
    old: Copy, keys_owner: "asyncpg.Connection[asyncpg.Record]", keks: Keks
) -> dict[UUID, DataKey]:
    """Try every key of today on the old copy; return by id the data keys that come out of it."""
    kek = await keks.in_force((await peppers(keys_owner))[0].kek_id)
    today = await copied(keys_owner)
    companies = [
        cipher
        for company_id, wrapped in (*today.companies.items(), *old.companies.items())
        if (cipher := await _company(kek, company_id, wrapped)) is not None
    ]
    return {
        found.key_id: key
        for company_id, found in old.keys
        if (key := _data_key(companies, company_id, found)) is not None
    }


async def peppers_opened(
    old: Copy, keys_owner: "asyncpg.Connection[asyncpg.Record]", keks: Keks
) -> set[bytes]:
    """Return the peppers that come out of the old copy, or are in use today."""
    in_use = await peppers(keys_owner)
    kek = await keks.in_force(in_use[0].kek_id)
    found = set()
    for wrapped in (*old.peppers, *(one.wrapped for one in in_use)):
        try:
            found.update(await kek.unwrap([Bound(wrapped, PEPPER_AAD)]))
        except KekUnusable:
            continue
    return found


async def _company(kek: Kek, company_id: UUID, wrapped: bytes) -> AESGCM | None:
    try:
        (key,) = await kek.unwrap([Bound(wrapped, company_aad(company_id))])
    except KekUnusable:
        return None
    return AESGCM(key)


def _data_key(companies: Sequence[AESGCM], company_id: UUID, found: WrappedKey) -> DataKey | None:
    for cipher in companies:
        try:
            return unwrapped(cipher, company_id, found)
        except KekUnusable:
            continue
    return None
