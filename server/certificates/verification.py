"""Verifying a certificate in a file without us: with no database and no network."""

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from server.certificates.model import KIND, digest, protocol_digest, what_it_says
from server.ledger import documents
from server.ledger.documents import Document
from server.ledger.model import Act


def verify(certificate: Document, trusted: bytes | None = None) -> None:
    """Check everything a certificate says, with the trusted key or else the one it brings.

    Raises
    ------
    DocumentRefused
    """
    documents.refuse(KIND, _faults(certificate, trusted))


def verify_certificate(file: Path, public_key: Path | None) -> list[str]:
    """Check a certificate in a file, with no database and no network; return what it says.

    Raises
    ------
    DocumentRefused
        Naming each thing that is wrong with it.
    FileUnreadable
    """
    certificate = documents.read(KIND, documents.in_file(file))
    trusted = None
    if public_key is not None:
        trusted = documents.read_public_key(documents.in_file(public_key))
    verify(certificate, trusted)
    return documents.said(KIND, _sentences(certificate, trusted))


def _sentences(certificate: Document, trusted: bytes | None) -> Iterator[str]:
    yield f"The certificate holds: {_of_request(certificate)}."
    yield f"Erased from what is in use: {certificate['erased_at']}."
    unreadable_at = certificate["backups_unreadable_at"]
    yield f"What was sealed is unreadable in every backup since: {unreadable_at}."
    yield from _of_restoring(certificate)
    yield from _of_holds(certificate)
    yield from _of_keys(certificate)
    yield from _of_search(certificate)
    yield from _of_residue(certificate)
    yield documents.said_of_place(certificate["ledger"])
    yield documents.said_of_signature(certificate, trusted)
    if trusted is None:
        yield documents.to_compare(KIND)


def _faults(certificate: Document, trusted: bytes | None) -> Iterator[str]:
    yield from documents.faults_of_signature(KIND, certificate, trusted)
    ledger = certificate["ledger"]
    entry = ledger["entry"]
    facts = json.loads(entry["facts"])
    same = facts.get("certificate_sha256") == digest(what_it_says(certificate))
    if not same or entry["act"] != Act.ERASURE_CERTIFIED.value:
        yield "The ledger's entry is of another certificate."
    if entry["company_id"] != certificate["company_id"]:
        yield "The ledger's entry is of another company."
    search = certificate["search"]
    if search is not None and protocol_digest(search["protocol"]) != search["sha256"]:
        yield "What was searched does not match its hash: it was changed."
    yield from documents.faults_of_place(KIND, ledger)


def _of_restoring(certificate: Document) -> Iterator[str]:
    erased, unreadable = (
        datetime.fromisoformat(certificate[name]) for name in ("erased_at", "backups_unreadable_at")
    )
    if unreadable < erased:
        yield (
            "The second of these times is before the first: what was left of the person, or was "
            "brought back by a backup that was restored, was in use for longer, and nothing opened "
            "it."
        )


def _of_holds(certificate: Document) -> Iterator[str]:
    """Say what was kept for a while; certificates of before know of no such thing."""
    held = certificate.get("held")
    if held is None:
        return
    yield f"Erased in part at first, at {held['rest_erased_at']}. Kept until it was let go:"
    for one in held["items"]:
        yield f"- {one['category']}: {one['ground']}, at most until {one['until']}."


def _of_keys(certificate: Document) -> Iterator[str]:
    keys = certificate["keys_destroyed"]
    if keys is None:
        yield "An older release erased the person: it noted neither the keys nor the last search."
    elif not keys:
        yield "No key was left to destroy: that was done before, and named where it was done."
    else:
        yield f"Keys destroyed: {len(keys)}. They are named in the certificate."


def _of_search(certificate: Document) -> Iterator[str]:
    if certificate["search"] is None:
        return
    protocol = certificate["search"]["protocol"]
    columns = sum(len(names) for names in protocol["columns"].values())
    yield (
        f"Searched before the keys went: {columns} columns of {len(protocol['columns'])} tables. "
        "No row was left that the server wrote of the person."
    )
    if not protocol["for_texts"]:
        yield "Not searched for the person's name: it could not be read any more."
    for table, rows in sorted(protocol["alike"].items()):
        yield f"Left to people: {rows} rows of {table} read like the person's name, log-in or id."
    again = protocol.get("again", {"alike": {}})
    for table, rows in sorted(again["alike"].items()):
        yield f"After the keys had gone: {rows} rows of {table} read like the person's id."


def _of_residue(certificate: Document) -> Iterator[str]:
    """Say what backups hold in clear; certificates of before told nothing of it."""
    told = [one for one in certificate["residue"] if "kinds" in one]
    if not told:
        yield (
            "What was never sealed can still be read in backups of the database main from before "
            "the erasure, under ids and no name, until they are deleted: when the person worked, "
            "consented and was told. An older release issued this certificate, which does not say "
            "so."
        )
    for one in told:
        yield f"It can still be read: {one['what']}. Until {one['until']}. By kinds:"
        yield from (f"- {kind}: {what}." for kind, what in sorted(one["kinds"].items()))
    others = [one for one in certificate["residue"] if "kinds" not in one]
    if others:
        yield "Nor does it reach:"
        yield from (f"- {one['what']}. Until {one['until']}." for one in others)


def _of_request(certificate: Document) -> str:
    request = certificate["request"]
    if request["after_restore"]:
        return (
            f"request {request['id']}, written anew after a backup was restored; who had asked for "
            "it, and when, is lost"
        )
    role = request["requested_by_role"].replace("_", " ")
    return f"request {request['id']}, asked for by the {role} at {request['requested_at']}"
