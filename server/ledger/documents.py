"""Documents that leave the house: signed, with their place in the ledger.

Whoever holds one can show without us that it is ours, and that the ledger was not rewritten: it
brings the way from its own entry to a signed checkpoint. Each is JSON, signed with Ed25519 over its
canonical form (RFC 8785).
"""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeAlias
from uuid import UUID

import rfc8785
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from server.ledger.model import Entry, Inclusion, checkpoint_statement, genesis, link, linked
from server.vault.model import verifies
from server.vault.service import Vault

Document: TypeAlias = dict[str, Any]

KEYS_PATH: Final = "/v1/signing-keys"
"""Where every installation shows its public keys."""
DOCUMENT_BYTES_MAX: Final = 1024 * 1024
DAMAGED: Final = (
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    RecursionError,
    OverflowError,
    rfc8785.CanonicalizationError,
)
"""What reading a part of a changed file may raise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What a document is: nothing signed as one kind can be taken for another."""

    type: str
    version: str
    word: str
    """What a person calls it."""
    of: str
    prefix: bytes

    @property
    def version_name(self) -> str:
        return f"{self.word}_version"

    def statement(self, unsigned: Document) -> bytes:
        """Return what is signed: everything in the document but the signature itself."""
        return self.prefix + rfc8785.dumps(unsigned)


class DocumentRefused(Exception):
    """A document that does not hold. ``str`` says of each thing what is wrong with it."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        self.faults = faults
        super().__init__(" ".join(faults))


class FileUnreadable(DocumentRefused):
    """A file that was named cannot be read: nothing is said of what it may hold."""

    def __init__(self, file: Path, error: OSError) -> None:
        super().__init__((on_one_line(f"{file} cannot be read: {error.strerror}."),))


def signed(vault: Vault, kind: Kind, made: Document) -> Document:
    """Return the document with the installation's signature."""
    proof = {
        "type": "Ed25519",
        "canonical_form": "RFC 8785",
        "key_id": str(vault.signing_key_id),
        "public_key": vault.public_keys()[vault.signing_key_id].hex(),
        # No host: whoever forges a document would name their own.
        "compare_with": f"GET {KEYS_PATH}",
    }
    signature = vault.sign(kind.statement({**made, "proof": proof})).hex()
    return {**made, "proof": {**proof, "signature": signature}}


def shown(vault: Vault, entry: Entry, before: bytes, inclusion: Inclusion) -> Document:
    """Return an entry's place in the ledger; ``before`` is the chain's hash before the entry."""
    checkpoint = inclusion.checkpoint
    return {
        "index": inclusion.place.index,
        "hash": inclusion.place.hash.hex(),
        "before": before.hex(),
        "entry": json.loads(entry.canonical()),
        "later": [one.hex() for one in inclusion.later],
        "checkpoint": {
            "index": checkpoint.index,
            "hash": checkpoint.hash.hex(),
            "made_at": checkpoint.made_at.isoformat(),
            "key_id": str(checkpoint.key_id),
            "public_key": vault.public_keys()[checkpoint.key_id].hex(),
            "signature": checkpoint.signature.hex(),
        },
    }


def in_file(file: Path) -> bytes:
    """Return the bytes of a file, not many more than a document may have.

    Raises
    ------
    FileUnreadable
    """
    try:
        with file.open("rb") as opened:
            return opened.read(DOCUMENT_BYTES_MAX + 1)
    except OSError as error:
        raise FileUnreadable(file, error) from None


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a file of any size.

    Raises
    ------
    FileUnreadable
    """
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise FileUnreadable(file, error) from None


def read(kind: Kind, data: bytes) -> Document:
    """Return the document in a file's bytes.

    Raises
    ------
    DocumentRefused
        It is none of this kind.
    """
    what = f"This is not a {kind.word}"
    if len(data) > DOCUMENT_BYTES_MAX:
        raise DocumentRefused((f"{what}: it is too large.",))
    try:
        found = json.loads(data.decode("utf-8"), object_pairs_hook=_once_each)
    except (ValueError, RecursionError):
        raise DocumentRefused((f"{what}: it is not JSON that can be read.",)) from None
    if not isinstance(found, dict) or found.get("type") != kind.type:
        raise DocumentRefused((f"{what} of {kind.of}.",))
    if found.get(kind.version_name) != kind.version:
        raise DocumentRefused((f"This {kind.word} is of a version that this Jolda does not know.",))
    return found


def read_public_key(data: bytes) -> bytes:
    """Return the 32 bytes of an Ed25519 public key, from PEM or hexadecimal digits.

    Raises
    ------
    DocumentRefused
        It is none.
    """
    try:
        key: object
        if data.lstrip().startswith(b"-----"):
            key = load_pem_public_key(data)
        else:
            key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(data.decode("ascii").strip()))
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise DocumentRefused(("This is not an Ed25519 public key.",))
    return key.public_bytes_raw()


def refuse(kind: Kind, faults: Iterator[str]) -> None:
    """Check what there is to check, to the end or to where the document is damaged.

    Raises
    ------
    DocumentRefused
    """
    found: list[str] = []
    try:
        found.extend(faults)
    except DAMAGED:
        found.append(_damaged(kind))
    if found:
        raise DocumentRefused(tuple(found))


def faults_of_signature(kind: Kind, document: Document, trusted: bytes | None) -> Iterator[str]:
    """Say what is wrong with the signature, by the trusted key or else the one it brings."""
    proof = document["proof"]
    key = bytes_of(proof["public_key"])
    signature = bytes_of(proof["signature"])
    if trusted is not None and trusted != key:
        yield f"It was signed with another key ({key.hex()}) than the trusted one."
    unsigned = {**document, "proof": {k: v for k, v in proof.items() if k != "signature"}}
    if not verifies(trusted or key, signature, kind.statement(unsigned)):
        yield (
            f"The signature does not match: the {kind.word} was changed, or another key signed it."
        )


def faults_of_place(kind: Kind, ledger: Mapping[str, Any]) -> Iterator[str]:
    """Say what is wrong with the entry's place in the ledger."""
    entry = ledger["entry"]
    company_id = UUID(entry["company_id"])
    before = bytes_of(ledger["before"])
    if entry["index"] == 1 and before != genesis(company_id):
        yield "The ledger's entry does not follow its beginning."
    place = link(before, _entry_of(entry).digest())
    if (number(entry["index"]), place.hex()) != (ledger["index"], ledger["hash"]):
        yield (
            f"The ledger's entry was changed: it does not lead to the place the {kind.word} names."
        )
    checkpoint = ledger["checkpoint"]
    later = [bytes_of(one) for one in ledger["later"]]
    led = linked(place, later).hex()
    if (number(ledger["index"]) + len(later), led) != (checkpoint["index"], checkpoint["hash"]):
        yield "The ledger's entry does not lead to the checkpoint."
    statement = checkpoint_statement(
        company_id,
        number(checkpoint["index"]),
        bytes_of(checkpoint["hash"]),
        datetime.fromisoformat(checkpoint["made_at"]),
    )
    key = bytes_of(checkpoint["public_key"])
    if not verifies(key, bytes_of(checkpoint["signature"]), statement):
        yield "The checkpoint's signature does not match."


def said(kind: Kind, sentences: Iterator[str]) -> list[str]:
    """Return what a document that holds says, for a terminal.

    Whoever signs with a key of their own may sign anything: also what is not of its form, and what
    a terminal obeys.

    Raises
    ------
    DocumentRefused
    """
    try:
        return [on_one_line(one) for one in sentences]
    except DAMAGED:
        raise DocumentRefused((_damaged(kind),)) from None


def on_one_line(sentence: str) -> str:
    """Return it without what a terminal obeys."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in sentence)


def said_of_place(ledger: Mapping[str, Any]) -> str:
    """Say where in the ledger a document that holds stands."""
    place, checkpoint = ledger["index"], ledger["checkpoint"]["index"]
    return f"It stands in the ledger as entry {place}, under the signed checkpoint at {checkpoint}."


def said_of_signature(document: Document, trusted: bytes | None) -> str:
    """Say with whose key a document that holds was signed."""
    key = document["proof"]["public_key"]
    by = "the trusted key" if trusted is not None else f"a key that it brings itself: {key}"
    return f"It was signed with {by}."


def to_compare(kind: Kind) -> str:
    """Tell whoever brought no key of their own what is left to do."""
    return (
        f"Compare that key with those at {KEYS_PATH} of the company's Jolda, at an address "
        f"that you know from elsewhere than this {kind.word}."
    )


def bytes_of(text: str) -> bytes:
    """Return the bytes; ``fromhex`` alone would also read capitals and blanks."""
    found = bytes.fromhex(text)
    if found.hex() != text:
        raise ValueError("not lower-case hexadecimal digits")
    return found


def number(value: object) -> int:
    """Return the number; ``1.0`` and ``true`` are equal to it and are not what was signed."""
    if type(value) is not int:
        raise TypeError("not a whole number")
    return value


def _entry_of(entry: Mapping[str, Any]) -> Entry:
    """Return the ledger's entry as its hash covers it."""
    detail = entry["detail"]
    return Entry(
        company_id=UUID(entry["company_id"]),
        index=entry["index"],
        recorded_at=datetime.fromisoformat(entry["recorded_at"]),
        act=entry["act"],
        actor_kind=entry["actor_kind"],
        actor_id=_uuid(entry["actor_id"]),
        subject_id=_uuid(entry["subject_id"]),
        detail_sealed=None if detail is None else base64.b64decode(detail, validate=True),
        facts=entry["facts"],
    )


def _damaged(kind: Kind) -> str:
    return f"The {kind.word} is damaged: a part of it is missing or is not of its form."


def _uuid(text: str | None) -> UUID | None:
    return None if text is None else UUID(text)


def _once_each(pairs: list[tuple[str, object]]) -> dict[str, object]:
    whole = dict(pairs)
    if len(whole) != len(pairs):
        raise ValueError("a member stands twice")
    return whole
