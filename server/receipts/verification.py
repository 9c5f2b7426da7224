"""Verifying a receipt in a file without us: with no database and no network."""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import rfc8785
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from server.consent import record
from server.ledger.model import Entry, checkpoint_statement, genesis, link, linked
from server.receipts.model import KEYS_PATH, KIND, VERSION, Receipt, statement
from server.vault.model import verifies

RECEIPT_BYTES_MAX: Final = 1024 * 1024
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


class ReceiptRefused(Exception):
    """A receipt that does not hold. ``str`` says of each thing what is wrong with it."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        self.faults = faults
        super().__init__(" ".join(faults))


def read(data: bytes) -> Receipt:
    """Return the receipt in a file's bytes.

    Raises
    ------
    ReceiptRefused
        It is none.
    """
    if len(data) > RECEIPT_BYTES_MAX:
        raise ReceiptRefused(("This is not a receipt: it is too large.",))
    try:
        found = json.loads(data.decode("utf-8"), object_pairs_hook=_once_each)
    except (ValueError, RecursionError):
        raise ReceiptRefused(("This is not a receipt: it is not JSON that can be read.",)) from None
    if not isinstance(found, dict) or found.get("type") != KIND:
        raise ReceiptRefused(("This is not a receipt of a consent.",))
    if found.get("receipt_version") != VERSION:
        raise ReceiptRefused(("This receipt is of a version that this Jolda does not know.",))
    return found


def read_public_key(data: bytes) -> bytes:
    """Return the 32 bytes of an Ed25519 public key, from PEM or hexadecimal digits.

    Raises
    ------
    ReceiptRefused
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
        raise ReceiptRefused(("This is not an Ed25519 public key.",))
    return key.public_bytes_raw()


def verify(
    receipt: Receipt, trusted: bytes | None = None, signature_sha256: str | None = None
) -> None:
    """Check everything a receipt says, with the trusted key or else the one it brings.

    ``signature_sha256`` is of a file that should be the driver's signature that it names.

    Raises
    ------
    ReceiptRefused
    """
    faults: list[str] = []
    try:
        faults += _faults(receipt, trusted)
        if signature_sha256 is not None:
            faults += _faults_of_signature(receipt["record"]["event"], signature_sha256)
    except DAMAGED:
        faults.append("The receipt is damaged: a part of it is missing or is not of its form.")
    if faults:
        raise ReceiptRefused(tuple(faults))


def verify_receipt(file: Path, public_key: Path | None, signature: Path | None = None) -> list[str]:
    """Check a receipt in a file, with no database and no network; return what it says.

    Raises
    ------
    ReceiptRefused
        Naming each thing that is wrong with it.
    OSError
    """
    receipt = read(_bytes(file))
    trusted = None if public_key is None else read_public_key(_bytes(public_key))
    verify(receipt, trusted, None if signature is None else _sha256(signature))
    event, entry = receipt["record"]["event"], receipt["ledger"]
    key = receipt["proof"]["public_key"]
    by = "the trusted key" if trusted is not None else f"a key that it brings itself: {key}"
    record_id, state, at = (
        receipt["record"]["record_id"],
        event["event_state"],
        event["event_time"],
    )
    place, checkpoint = entry["index"], entry["checkpoint"]["index"]
    sentences = [
        f"The receipt holds: record {record_id}, {state} at {at}.",
        f"It stands in the ledger as entry {place}, under the signed checkpoint at {checkpoint}.",
        f"It was signed with {by}.",
    ]
    if signature is not None:
        sentences.append(
            f"{signature.name} is the signature that came with the consent. Not checked: whether "
            "it is valid or qualified, whose it is, and what it signs."
        )
    if trusted is None:
        sentences.append(
            f"Compare that key with those at {KEYS_PATH} of the company's Jolda, at an address "
            "that you know from elsewhere than this receipt."
        )
    return sentences


def _bytes(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(RECEIPT_BYTES_MAX + 1)


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _faults(receipt: Receipt, trusted: bytes | None) -> Iterator[str]:
    proof = receipt["proof"]
    key = _bytes_of(proof["public_key"])
    signature = _bytes_of(proof["signature"])
    if trusted is not None and trusted != key:
        yield f"It was signed with another key ({key.hex()}) than the trusted one."
    unsigned = {**receipt, "proof": {k: v for k, v in proof.items() if k != "signature"}}
    if not verifies(trusted or key, signature, statement(unsigned)):
        yield "The signature does not match: the receipt was changed, or another key signed it."
    text = rfc8785.dumps(receipt["record"]).decode()
    digest = record.digest(text).hex()
    if digest != receipt["record_sha256"]:
        yield f"The record does not match its hash: it was changed, its SHA-256 is {digest}."
    yield from _faults_of_ledger(receipt["ledger"], text, _bytes_of(receipt["nonce"]))


def _faults_of_signature(event: Mapping[str, Any], sha256: str) -> Iterator[str]:
    if "signature" not in event:
        yield "No signature came with this consent."
    elif event["signature"]["sha256"] != sha256:
        yield (
            f"The file is not the signature that came with this consent: its SHA-256 is {sha256}."
        )


def _faults_of_ledger(ledger: Mapping[str, Any], text: str, nonce: bytes) -> Iterator[str]:
    entry = ledger["entry"]
    if json.loads(entry["facts"]).get("commitment") != record.commitment(nonce, text).hex():
        yield "The ledger's entry is of another record."
    company_id = UUID(entry["company_id"])
    before = _bytes_of(ledger["before"])
    if entry["index"] == 1 and before != genesis(company_id):
        yield "The ledger's entry does not follow its beginning."
    place = link(before, _entry_of(entry).digest())
    if (_number(entry["index"]), place.hex()) != (ledger["index"], ledger["hash"]):
        yield "The ledger's entry was changed: it does not lead to the place the receipt names."
    checkpoint = ledger["checkpoint"]
    later = [_bytes_of(one) for one in ledger["later"]]
    led = linked(place, later).hex()
    if (_number(ledger["index"]) + len(later), led) != (checkpoint["index"], checkpoint["hash"]):
        yield "The ledger's entry does not lead to the checkpoint."
    signed = checkpoint_statement(
        company_id,
        _number(checkpoint["index"]),
        _bytes_of(checkpoint["hash"]),
        datetime.fromisoformat(checkpoint["made_at"]),
    )
    key = _bytes_of(checkpoint["public_key"])
    if not verifies(key, _bytes_of(checkpoint["signature"]), signed):
        yield "The checkpoint's signature does not match."


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


def _uuid(text: str | None) -> UUID | None:
    return None if text is None else UUID(text)


def _once_each(pairs: list[tuple[str, object]]) -> dict[str, object]:
    whole = dict(pairs)
    if len(whole) != len(pairs):
        raise ValueError("a member stands twice")
    return whole


def _bytes_of(text: str) -> bytes:
    """Return the bytes; ``fromhex`` alone would also read capitals and blanks."""
    found = bytes.fromhex(text)
    if found.hex() != text:
        raise ValueError("not lower-case hexadecimal digits")
    return found


def _number(value: object) -> int:
    """Return the number; ``1.0`` and ``true`` are equal to it and are not what was signed."""
    if type(value) is not int:
        raise TypeError("not a whole number")
    return value
