"""The signed list of a package's files, and checking a package without us.

With no database and no network: the list is signed with Ed25519 over its canonical form (RFC 8785),
and names each file with its size and SHA-256.
"""

import hashlib
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final
from uuid import UUID

import rfc8785

from server.export_files.zipping import Packed
from server.ledger import documents
from server.ledger.documents import Document, DocumentRefused, Kind
from server.vault.service import Vault

MANIFEST: Final = "manifest.json"
MANIFEST_BYTES_MAX: Final = documents.DOCUMENT_BYTES_MAX
KIND: Final = Kind(
    type="ExportManifest",
    version="1",
    word="manifest",
    of="an export package",
    prefix=b"jolda export manifest v1\0",
)
_READ_BYTES: Final = 1024 * 1024
_BROKEN: Final = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    OSError,
    RuntimeError,
    ValueError,
)
"""What reading a damaged archive may raise."""


def made(
    vault: Vault,
    company_id: UUID,
    driver_id: UUID,
    export_id: UUID,
    about: Mapping[str, str],
    files: Sequence[Packed],
) -> bytes:
    """Return the signed list of these files, in canonical JSON."""
    unsigned: Document = {
        "type": KIND.type,
        KIND.version_name: KIND.version,
        "export_id": str(export_id),
        "company_id": str(company_id),
        "driver_id": str(driver_id),
        **about,
        "files": [
            {"name": one.name, "size_bytes": one.size_bytes, "sha256": one.sha256} for one in files
        ],
    }
    return rfc8785.dumps(documents.signed(vault, KIND, unsigned))


def verify_export(file: Path, public_key: Path | None) -> list[str]:
    """Check a package in a file, with no database and no network; return what it says.

    Raises
    ------
    DocumentRefused
        Naming the first thing that is wrong with it.
    OSError
    """
    trusted = None
    if public_key is not None:
        trusted = documents.read_public_key(documents.in_file(public_key))
    with file.open("rb") as opened:
        try:
            archive = zipfile.ZipFile(opened)
        except _BROKEN:
            raise DocumentRefused(
                (f"{file.name} is not a ZIP file, or its end is missing.",)
            ) from None
        with archive:
            manifest = _manifest(archive)
            documents.refuse(KIND, _faults(archive, manifest, trusted))
    sentences = [
        f"The package holds: {len(manifest['files'])} files, made at {manifest['made_at']}.",
        documents.said_of_signature(manifest, trusted),
    ]
    if trusted is None:
        sentences.append(documents.to_compare(KIND))
    return sentences


def _manifest(archive: zipfile.ZipFile) -> Document:
    try:
        with archive.open(MANIFEST) as listed:
            data = listed.read(MANIFEST_BYTES_MAX + 1)
    except KeyError:
        raise DocumentRefused((f"There is no {MANIFEST} in it.",)) from None
    except _BROKEN:
        raise DocumentRefused((f"{MANIFEST} is damaged.",)) from None
    return documents.read(KIND, data)


def _faults(archive: zipfile.ZipFile, manifest: Document, trusted: bytes | None) -> Iterator[str]:
    """Say the first thing that is wrong: what comes after a fault is not worth reading."""
    for fault in documents.faults_of_signature(KIND, manifest, trusted):
        yield fault
        return
    listed = {one["name"]: one for one in manifest["files"]}
    there = [one.filename for one in archive.infolist()]
    if len(set(there)) != len(there):
        yield "A file stands twice in it."
        return
    for name in sorted({*listed, MANIFEST} ^ set(there)):
        yield f"{name} is missing." if name in listed else f"{name} is not of the package."
        return
    for name, one in listed.items():
        wrong = _fault_of_file(archive, name, documents.number(one["size_bytes"]), one["sha256"])
        if wrong is not None:
            yield wrong
            return


def _fault_of_file(archive: zipfile.ZipFile, name: str, size_bytes: int, sha256: str) -> str | None:
    digest, size = hashlib.sha256(), 0
    try:
        with archive.open(name) as opened:
            while part := opened.read(_READ_BYTES):
                size += len(part)
                if size > size_bytes:  # a small file may unpack into a very large one
                    break
                digest.update(part)
    except _BROKEN:
        return f"{name} is damaged."
    if size != size_bytes or digest.hexdigest() != sha256:
        return f"{name} was changed: it is not what the signed list names."
    return None
