"""What an entry is, what its hash covers, and what a checkpoint says."""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import reduce
from typing import Final, TypeAlias
from uuid import UUID

import rfc8785
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from server.vault.model import DataKey, verifies

Json: TypeAlias = "str | int | float | bool | Sequence[Json] | Mapping[str, Json] | None"

# Each hash and signature begins with what it is of: none of them can be taken for another.
_GENESIS: Final = b"jolda ledger genesis v1\0"
_ENTRY: Final = b"jolda ledger entry v1\0"
_LINK: Final = b"jolda ledger link v1\0"
_CHECKPOINT: Final = b"jolda ledger checkpoint v1\0"
_DETAIL: Final = b"jolda ledger detail v1\0"
_PRIVATE_KEY: Final = b"jolda ledger x25519 v1"

_SUITE: Final = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


class Act(StrEnum):
    """What is written down. A name that was ever used keeps its meaning for good."""

    CONSENT_REQUESTED = "consent_requested"
    CONSENT_GIVEN = "consent_given"
    CONSENT_DECLINED = "consent_declined"
    CONSENT_WITHDRAWN = "consent_withdrawn"
    CONSENT_EXPIRED = "consent_expired"
    CONSENT_SUPERSEDED = "consent_superseded"
    CONSENT_INVALIDATED = "consent_invalidated"
    PERMISSION_DENIED = "permission_denied"
    NOTICE_SENT = "notice_sent"
    NOTICE_ACKNOWLEDGED = "notice_acknowledged"
    ATTESTATION_MADE = "attestation_made"
    ATTESTATION_DISPUTED = "attestation_disputed"
    BIRTH_YEAR_STATED = "birth_year_stated"
    BIRTH_YEAR_DISPUTED = "birth_year_disputed"
    GUARDIAN_CONSENT_RECORDED = "guardian_consent_recorded"
    GUARDIAN_CONSENT_REVOKED = "guardian_consent_revoked"
    SHIFT_ENDED_BY_OTHER = "shift_ended_by_other"
    MEMBER_BLOCKED = "member_blocked"
    MEMBER_UNBLOCKED = "member_unblocked"
    MEMBER_OFFBOARDED = "member_offboarded"
    MEMBER_TAKEN_BACK = "member_taken_back"
    PHONE_LOST = "phone_lost"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - an act, no secret
    ERASURE_REQUESTED = "erasure_requested"
    ERASURE_DECIDED = "erasure_decided"
    ERASURE_CANCELLED = "erasure_cancelled"
    ERASURE_HELD = "erasure_held"
    HOLD_CHANGED = "hold_changed"
    ERASURE_GRACE_WAIVED = "erasure_grace_waived"
    ERASURE_ANSWER_DAYS_SET = "erasure_answer_days_set"
    MEMBER_ERASED = "member_erased"
    ERASURE_CERTIFIED = "erasure_certified"
    EDITION_PUBLISHED = "edition_published"
    EDITION_ACCEPTED = "edition_accepted"
    CONTROLLER_CHANGE_ANNOUNCED = "controller_change_announced"
    CONTROLLER_CHANGE_CANCELLED = "controller_change_cancelled"
    CONTROLLER_AGREED = "controller_agreed"
    CONTROLLER_CHANGED = "controller_changed"
    CLARIFICATION_ASKED = "clarification_asked"
    CLARIFICATION_ANSWERED = "clarification_answered"
    CLARIFICATION_WITHDRAWN = "clarification_withdrawn"
    LINK_CREATED = "link_created"
    LINK_REVOKED = "link_revoked"
    LOCATION_READ_BUCKET = "location_read_bucket"
    BULK_READ_ALERT = "bulk_read_alert"
    UNKNOWN_IDS_ALERT = "unknown_ids_alert"
    READ_REFUSED = "read_refused"
    AREA_SEARCHED = "area_searched"
    TRACKS_EXPIRED = "tracks_expired"
    TRACK_DAYS_SET = "track_days_set"
    REPORT_DAYS_SET = "report_days_set"
    PLAN_DAYS_SET = "plan_days_set"
    EXPORT_ASKED = "export_asked"
    EXPORT_READY = "export_ready"
    EXPORT_FETCHED = "export_fetched"
    IDLE_DAYS_SET = "idle_days_set"
    DEVICE_REVOKED = "device_revoked"
    API_TOKEN_REVOKED = "api_token_revoked"  # noqa: S105 - an act, no secret
    SESSIONS_ENDED = "sessions_ended"
    SECOND_FACTOR_SET = "second_factor_set"
    SECOND_FACTOR_REMOVED = "second_factor_removed"
    SECOND_FACTOR_REQUIRED_SET = "second_factor_required_set"
    RESTORED = "restored"
    DISCLOSURE_RECORDED = "disclosure_recorded"
    DISCLOSURE_RELEASED = "disclosure_released"
    DISCLOSURE_REFUSED = "disclosure_refused"
    DISCLOSURE_CANCELLED = "disclosure_cancelled"
    DISCLOSURE_FILE_MADE = "disclosure_file_made"
    DISCLOSURE_UNSEALED = "disclosure_unsealed"
    INCIDENT_OPENED = "incident_opened"
    INCIDENT_ASSESSED = "incident_assessed"
    INCIDENT_NOTIFIED = "incident_notified"
    INCIDENT_OVERDUE = "incident_overdue"
    INCIDENT_CLOSED = "incident_closed"
    INCIDENT_DISMISSED = "incident_dismissed"
    DATA_CORRECTED = "data_corrected"
    TRACK_DELETED = "track_deleted"
    PERSON_REQUEST_RECORDED = "person_request_recorded"
    PERSON_REQUEST_ANSWERED = "person_request_answered"
    COMPANY_CLOSING = "company_closing"
    COMPANY_KEPT_OPEN = "company_kept_open"
    COMPANY_CLOSED = "company_closed"


class ActorKind(StrEnum):
    DRIVER = "driver"
    DISPATCHER = "dispatcher"
    MAIN_USER = "main_user"
    API_TOKEN = "api_token"  # noqa: S105 - a kind of caller, no secret
    DEVICE = "device"
    SYSTEM = "system"
    OPERATOR = "operator"
    CUSTOMER = "customer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who acts. A member stands in the ledger under a pseudonym, anything else under its own id."""

    kind: ActorKind
    member_id: UUID | None = None
    reference_id: UUID | None = None
    """Of what acts and is no person: an API token, a customer's link."""


SYSTEM: Final = Actor(kind=ActorKind.SYSTEM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A member as the ledger knows them."""

    member_id: UUID
    pseudonym: UUID
    public_key: bytes | None
    """X25519; None until the key database was there to make one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an entry stands in the chain, and the chain's hash up to and with it."""

    index: int
    hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    company_id: UUID
    index: int
    recorded_at: datetime
    act: str
    """An :class:`Act`; kept as text, so that what was changed to nonsense can still be hashed."""
    actor_kind: str
    actor_id: UUID | None
    subject_id: UUID | None
    """A pseudonym, never a member's id."""
    detail_sealed: bytes | None = field(repr=False)
    facts: str
    """Canonical JSON."""

    def canonical(self) -> bytes:
        """Return the entry as JSON by RFC 8785. ``facts`` stands in it as the text it is."""
        detail = self.detail_sealed
        return rfc8785.dumps(
            {
                "act": self.act,
                "actor_id": _text(self.actor_id),
                "actor_kind": self.actor_kind,
                "company_id": str(self.company_id),
                "detail": None if detail is None else base64.b64encode(detail).decode(),
                "facts": self.facts,
                "index": self.index,
                "recorded_at": instant_text(self.recorded_at),
                "subject_id": _text(self.subject_id),
            }
        )

    def digest(self) -> bytes:
        """Return the SHA-256 of the entry alone. It tells nothing of what is in it."""
        return hashlib.sha256(_ENTRY + self.canonical()).digest()


def facts_text(facts: Mapping[str, Json]) -> str:
    """Return the facts as they are stored and hashed."""
    return rfc8785.dumps(facts).decode()


def genesis(company_id: UUID) -> bytes:
    """Return the hash before a company's first entry."""
    return hashlib.sha256(_GENESIS + company_id.bytes).digest()


def link(before: bytes, digest: bytes) -> bytes:
    """Return the chain's hash after an entry, from the hash before it."""
    return hashlib.sha256(_LINK + before + digest).digest()


def linked(before: bytes, digests: Iterable[bytes]) -> bytes:
    """Return the chain's hash after several entries."""
    return reduce(link, digests, before)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What the chain was at an entry, signed by the installation."""

    company_id: UUID
    index: int
    hash: bytes
    made_at: datetime
    key_id: UUID
    signature: bytes

    def is_signed(self, public_keys: Mapping[UUID, bytes]) -> bool:
        """Tell whether one of these keys (32 bytes each, by id) signed just this."""
        public_key = public_keys.get(self.key_id)
        statement = checkpoint_statement(self.company_id, self.index, self.hash, self.made_at)
        return public_key is not None and verifies(public_key, self.signature, statement)


def checkpoint_statement(company_id: UUID, index: int, chain: bytes, made_at: datetime) -> bytes:
    """Return what the signature of a checkpoint is over."""
    said: dict[str, Json] = {
        "company_id": str(company_id),
        "hash": chain.hex(),
        "index": index,
        "made_at": instant_text(made_at),
    }
    return _CHECKPOINT + rfc8785.dumps(said)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inclusion:
    """Shows without the ledger that an entry stands in what a checkpoint signs."""

    place: Place
    later: tuple[bytes, ...]
    """Digests of the entries after it, up to the checkpoint's; nothing can be read from them."""
    checkpoint: Checkpoint

    def holds(self, public_keys: Mapping[UUID, bytes]) -> bool:
        """Tell whether the entry leads to the checkpoint and the checkpoint is signed."""
        return (
            self.place.index + len(self.later) == self.checkpoint.index
            and linked(self.place.hash, self.later) == self.checkpoint.hash
            and self.checkpoint.is_signed(public_keys)
        )


def private_key_of(key: DataKey) -> X25519PrivateKey:
    """Return what opens a member's details, from their key of the category ``ledger``."""
    return X25519PrivateKey.from_private_bytes(key.mac(_PRIVATE_KEY))


def seal_detail(
    public_key: bytes,
    detail: Mapping[str, Json],
    *,
    company_id: UUID,
    subject_id: UUID,
    act: str,
    at: datetime,
) -> bytes:
    """Seal to a member's public key (HPKE, RFC 9180), bound to company, pseudonym, act and time."""
    return _SUITE.encrypt(
        rfc8785.dumps(detail),
        X25519PublicKey.from_public_bytes(public_key),
        info=_bound_to(company_id, subject_id, act, at),
    )


def open_detail(private_key: X25519PrivateKey, entry: Entry) -> bytes | None:
    """Return the detail as canonical JSON, None where there is none.

    ``InvalidTag`` if it was sealed to somebody else or anything was changed.
    """
    if entry.detail_sealed is None or entry.subject_id is None:
        return None
    return _SUITE.decrypt(
        entry.detail_sealed,
        private_key,
        info=_bound_to(entry.company_id, entry.subject_id, entry.act, entry.recorded_at),
    )


def _bound_to(company_id: UUID, subject_id: UUID, act: str, at: datetime) -> bytes:
    return _DETAIL + company_id.bytes + subject_id.bytes + f"|{act}|{instant_text(at)}".encode()


def _text(of: UUID | None) -> str | None:
    return None if of is None else str(of)


def instant_text(at: datetime) -> str:
    """Return the time as it is hashed: UTC, always six digits of the second."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
