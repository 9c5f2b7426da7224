"""What an administrator says a driver was told, and the driver's dispute of it. Pure."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from server.kit.errors import Invalid, NotFound
from server.policies.model import Document


class How(StrEnum):
    """How the driver was told."""

    IN_PERSON = "in_person"
    BY_PHONE = "by_phone"
    IN_WRITING = "in_writing"
    BY_MESSAGE = "by_message"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What is attested: of which editions the driver was told, when and how."""

    at: datetime
    how: How
    editions: tuple[tuple[Document, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestation:
    """A record of its own: it is no consent and opens no gate."""

    driver_id: UUID
    attested_by: UUID
    told: Told
    attested_at: datetime
    disputed_at: datetime | None = None


class Disputed(StrEnum):
    """What a driver says is not true."""

    EVERYTHING = "everything"
    """That they were told, and the birth year, if one was stated."""
    BIRTH_YEAR = "birth_year"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """What became of a dispute."""

    disputed_at: datetime
    invalidated: tuple[str, ...]
    """The consents that were given and are void now."""
    set_apart: int
    """How many positions the company never sees again."""


class AttestationMissing(NotFound):
    slug = "attestation-not-found"
    title = "Nobody attested anything of this driver"


class AttestationInFuture(Invalid):
    slug = "attestation-in-future"
    title = "The driver cannot have been told yet"
