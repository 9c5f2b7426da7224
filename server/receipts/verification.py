"""Verifying a receipt in a file without us: with no database and no network."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import rfc8785

from server.consent import record
from server.ledger import documents
from server.receipts.model import KIND, Receipt


def read(data: bytes) -> Receipt:
    """Return the receipt in a file's bytes.

    Raises
    ------
    DocumentRefused
        It is none.
    """
    return documents.read(KIND, data)


def verify(
    receipt: Receipt, trusted: bytes | None = None, signature_sha256: str | None = None
) -> None:
    """Check everything a receipt says, with the trusted key or else the one it brings.

    ``signature_sha256`` is of a file that should be the driver's signature that it names.

    Raises
    ------
    DocumentRefused
    """
    documents.refuse(KIND, _faults(receipt, trusted, signature_sha256))


def verify_receipt(file: Path, public_key: Path | None, signature: Path | None = None) -> list[str]:
    """Check a receipt in a file, with no database and no network; return what it says.

    Raises
    ------
    DocumentRefused
        Naming each thing that is wrong with it.
    FileUnreadable
    """
    receipt = read(documents.in_file(file))
    trusted = None
    if public_key is not None:
        trusted = documents.read_public_key(documents.in_file(public_key))
    verify(receipt, trusted, None if signature is None else documents.sha256_of(signature))
    return documents.said(KIND, _sentences(receipt, trusted, signature))


def _sentences(receipt: Receipt, trusted: bytes | None, signature: Path | None) -> Iterator[str]:
    event = receipt["record"]["event"]
    record_id, state, at = (
        receipt["record"]["record_id"],
        event["event_state"],
        event["event_time"],
    )
    yield f"The receipt holds: record {record_id}, {state} at {at}."
    yield documents.said_of_place(receipt["ledger"])
    yield documents.said_of_signature(receipt, trusted)
    if signature is not None:
        yield (
            f"{signature.name} is the signature that came with the consent. Not checked: whether "
            "it is valid or qualified, whose it is, and what it signs."
        )
    if trusted is None:
        yield documents.to_compare(KIND)


def _faults(receipt: Receipt, trusted: bytes | None, signature_sha256: str | None) -> Iterator[str]:
    yield from documents.faults_of_signature(KIND, receipt, trusted)
    text = rfc8785.dumps(receipt["record"]).decode()
    digest = record.digest(text).hex()
    if digest != receipt["record_sha256"]:
        yield f"The record does not match its hash: it was changed, its SHA-256 is {digest}."
    ledger, nonce = receipt["ledger"], documents.bytes_of(receipt["nonce"])
    facts = json.loads(ledger["entry"]["facts"])
    if facts.get("commitment") != record.commitment(nonce, text).hex():
        yield "The ledger's entry is of another record."
    yield from documents.faults_of_place(KIND, ledger)
    if signature_sha256 is not None:
        yield from _faults_of_signature(receipt["record"]["event"], signature_sha256)


def _faults_of_signature(event: Mapping[str, Any], sha256: str) -> Iterator[str]:
    if "signature" not in event:
        yield "No signature came with this consent."
    elif event["signature"]["sha256"] != sha256:
        yield (
            f"The file is not the signature that came with this consent: its SHA-256 is {sha256}."
        )
