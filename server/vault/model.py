"""What is sealed under what: categories, periods, and what each sealed value is bound to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, TypeAlias
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from server.kek.model import open_bytes, seal_bytes
from server.kit.errors import Conflict

SEAL_VERSION: Final = b"\x01"
HEADER_BYTES: Final = 1 + 16


class Category(StrEnum):
    """Each has keys of its own, so that one can be destroyed without the others."""

    IDENTITY = "identity"
    CONTACT = "contact"
    TRACK = "track"
    REPORT = "report"
    LIVE = "live"
    PLAN = "plan"
    LEDGER = "ledger"
    EXPORT = "export"


KeyPlace: TypeAlias = tuple[UUID, UUID, Category, str]
"""Company, subject, category and period: of each there is one key."""


def period_of(category: Category, at: datetime) -> str:
    """Return the period whose key seals something of the time ``at`` (UTC)."""
    match category:
        case Category.TRACK:
            return f"{at.year:04}-{at.month:02}"  # strftime takes four times as long
        case Category.LIVE | Category.EXPORT:
            return at.strftime("%Y-%m-%d")
        case _:
            return "all"


class SubjectErased(Conflict):
    slug = "subject-erased"
    title = "This person was erased"

    def __init__(self) -> None:
        super().__init__("Keys of an erased person are never made again.")


class KeysNotNoted(Exception):
    """A key was made after the subject's keys had been noted: they are to be noted again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataKey:
    """An unwrapped key of one category and period of one subject. Never stored, never logged."""

    company_id: UUID
    key_id: UUID
    subject_id: UUID
    category: Category
    period: str
    cipher: AESGCM = field(repr=False)
    index_secret: bytes = field(repr=False)
    """Independent of the cipher's key; for identifiers bound to content."""
    _keyed: hmac.HMAC = field(init=False, repr=False)
    """Made once: to take the key in costs as much as to digest an upload."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_keyed", hmac.HMAC(self.index_secret, hashes.SHA256()))

    @property
    def place(self) -> KeyPlace:
        return (self.company_id, self.subject_id, self.category, self.period)

    def aad(self, row_id: bytes, schema: str) -> bytes:
        """Return what a sealed value is bound to: company, subject, category, row and schema."""
        return b"|".join(
            (
                self.company_id.bytes,
                self.subject_id.bytes,
                self.category.encode(),
                self.key_id.bytes,
                row_id,
                schema.encode(),
            )
        )

    def seal(self, plain: bytes, *, row_id: bytes, schema: str) -> bytes:
        """Return a self-describing sealed value: version, key id, nonce, AES-256-GCM text."""
        body = seal_bytes(self.cipher, plain, aad=self.aad(row_id, schema))
        return SEAL_VERSION + self.key_id.bytes + body

    def open(self, sealed: bytes, *, row_id: bytes, schema: str) -> bytes:
        """Return what :meth:`seal` sealed; ``InvalidTag`` if anything was changed or moved."""
        body = sealed[HEADER_BYTES:]
        return open_bytes(self.cipher, body, aad=self.aad(row_id, schema))

    def mac(self, *parts: bytes) -> bytes:
        """Return an HMAC-SHA-256 of the parts under this key's own index secret."""
        digest = self._keyed.copy()
        digest.update(b"".join([len(part).to_bytes(8, "big") + part for part in parts]))
        return digest.finalize()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pepper:
    """The secret of the log-in index, wrapped by the KEK."""

    pepper_id: UUID
    kek_id: bytes
    wrapped: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompanyKey:
    """A company's key, wrapped by the KEK."""

    kek_id: bytes
    wrapped: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class WrappedKey:
    """A data key, wrapped by its company's."""

    key_id: UUID
    subject_id: UUID
    category: str
    period: str
    wrapped: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """An Ed25519 key, the private half wrapped by the KEK."""

    key_id: UUID
    public_key: bytes
    kek_id: bytes
    wrapped: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerWitness:
    """How far a company's ledger had come, kept where whoever cuts the ledger does not reach."""

    index: int
    hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Signer:
    """The installation's signature, for checkpoints of the ledger, receipts, certificates.

    Ed25519: the newest key, unwrapped, and the public halves of all there ever were.
    """

    key_id: UUID
    private: Ed25519PrivateKey = field(repr=False)
    public_keys: Mapping[UUID, bytes]

    def sign(self, data: bytes) -> bytes:
        """Return the 64 bytes of the signature. ``data`` begins with what it is a statement of."""
        return self.private.sign(data)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedText:
    """A sealed text with the row and the column it belongs to."""

    sealed: bytes
    row_id: UUID
    schema: str

    @property
    def key_id(self) -> UUID:
        return key_id_of(self.sealed)

    def text(self, key: DataKey | None) -> str | None:
        """Return the text; None without its key. ``InvalidTag`` if it was changed or moved."""
        if key is None:
            return None
        return key.open(self.sealed, row_id=self.row_id.bytes, schema=self.schema).decode()


def key_id_of(sealed: bytes) -> UUID:
    """Return the id of the key that a self-describing sealed value needs."""
    return UUID(bytes=bytes(sealed[1:HEADER_BYTES]))


def verifies(public_key: bytes, signature: bytes, data: bytes) -> bool:
    """Tell whether the holder of ``public_key`` (32 bytes) signed exactly this."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True
