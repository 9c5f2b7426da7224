"""How each key is wrapped by the one above it, and what is made of one that was unwrapped."""

import secrets
from collections.abc import Iterable, Sequence
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from server.kek.model import (
    KEY_BYTES,
    Bound,
    Kek,
    KekUnusable,
    KeyDamaged,
    open_bytes,
    seal_bytes,
)
from server.kit.ids import uuid7
from server.vault.model import Category, DataKey, KeyPlace, Pepper, WrappedKey

PEPPER_AAD: Final = b"jolda pepper v1"


def signing_aad(key_id: UUID) -> bytes:
    """Return what the wrapping of a signing key is bound to."""
    return b"jolda signing key v1|" + key_id.bytes


def company_aad(company_id: UUID) -> bytes:
    """Return what the wrapping of a company's key is bound to."""
    return b"jolda company key v1|" + company_id.bytes


def key_aad(company_id: UUID, subject_id: UUID, category: str, period: str, key_id: UUID) -> bytes:
    """Return what the wrapping of a data key is bound to."""
    place = f"|{category}|{period}|".encode()
    return b"jolda data key v1|" + company_id.bytes + subject_id.bytes + place + key_id.bytes


def wrapped_new(company: AESGCM, place: KeyPlace) -> WrappedKey:
    """Return a new key of a place, wrapped by its company's."""
    company_id, subject_id, category, period = place
    key_id = uuid7()
    aad = key_aad(company_id, subject_id, category, period, key_id)
    return WrappedKey(
        key_id=key_id,
        subject_id=subject_id,
        category=category,
        period=period,
        wrapped=seal_bytes(company, secrets.token_bytes(KEY_BYTES), aad=aad),
    )


def each_unwrapped(
    company: AESGCM, company_id: UUID, found: Iterable[WrappedKey]
) -> dict[KeyPlace, DataKey | Exception]:
    """Return by place each key that was found, or why it cannot be used."""
    keys: dict[KeyPlace, DataKey | Exception] = {}
    for one in found:
        place = (company_id, one.subject_id, Category(one.category), one.period)
        try:
            keys[place] = unwrapped(company, company_id, one)
        except KekUnusable as error:  # the others have nothing to do with it
            keys[place] = error
    return keys


def parted(
    company: AESGCM, company_id: UUID, found: Iterable[WrappedKey]
) -> tuple[list[DataKey], dict[UUID, KeyDamaged]]:
    """Return the keys that can be used, and by id what is wrong with the others."""
    usable, damaged = [], {}
    for one in found:
        try:
            usable.append(unwrapped(company, company_id, one))
        except KeyDamaged as error:
            damaged[one.key_id] = error
    return usable, damaged


def secret_of(company: AESGCM, company_id: UUID, found: WrappedKey) -> bytes:
    """Return a data key as it was drawn.

    Raises
    ------
    KeyDamaged
        Somebody changed it, or moved it elsewhere.
    """
    aad = key_aad(company_id, found.subject_id, found.category, found.period, found.key_id)
    try:
        return open_bytes(company, found.wrapped, aad=aad)
    except InvalidTag:
        raise KeyDamaged("A key in the key database was changed or moved.") from None


def unwrapped(company: AESGCM, company_id: UUID, found: WrappedKey) -> DataKey:
    """Return a data key ready to seal and open.

    Raises
    ------
    KeyDamaged
        Somebody changed it, or moved it elsewhere.
    """
    secret = secret_of(company, company_id, found)
    return DataKey(
        company_id=company_id,
        key_id=found.key_id,
        subject_id=found.subject_id,
        category=Category(found.category),
        period=found.period,
        cipher=AESGCM(_derived(secret, b"jolda seal v1")),
        index_secret=_derived(secret, b"jolda index v1"),
    )


async def unwrapped_peppers(kek: Kek, peppers: Sequence[Pepper]) -> tuple[bytes, ...]:
    """Return the peppers, in their order.

    Raises
    ------
    KekUnusable
    """
    return tuple(await kek.unwrap([Bound(one.wrapped, PEPPER_AAD) for one in peppers]))


def blind_index(pepper: bytes, kind: str, canonical: str) -> bytes:
    """Return the HMAC-SHA-256 of the one spelling of a phone or an e-mail."""
    digest = hmac.HMAC(pepper, hashes.SHA256())
    digest.update(f"{kind}:{canonical}".encode())
    return digest.finalize()


def _derived(secret: bytes, purpose: bytes) -> bytes:
    return HKDFExpand(algorithm=hashes.SHA256(), length=KEY_BYTES, info=purpose).derive(secret)
