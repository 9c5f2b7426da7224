"""A package is checked without us; whatever is changed in it is told in one sentence."""

import io
import json
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import rfc8785

from server.export_files.manifest import MANIFEST, verify_export
from server.export_files.zipping import Packed, Packing, directory, header
from server.ledger import documents
from server.ledger.documents import DocumentRefused
from server.vault.service import Vault
from tests.exports.made import package
from tests.world import NOW, World


@pytest.fixture
async def made(world: World) -> bytes:
    return await package(world, world.driver.member_id)


def rewritten(data: bytes, change: Callable[[str, bytes], tuple[str, bytes] | None]) -> bytes:
    """Write the archive anew, each file as it is changed; None leaves it out."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            changed = change(name, old.read(name))
            if changed is not None:
                new.writestr(*changed)
    return out.getvalue()


def refused(tmp_path: Path, data: bytes, key: Path | None = None) -> str:
    file = tmp_path / "package.zip"
    file.write_bytes(data)
    with pytest.raises(DocumentRefused) as error:
        verify_export(file, key)
    return str(error.value)


async def test_a_package_as_it_was_made_holds(made: bytes, tmp_path: Path, vault: Vault) -> None:
    file, key = tmp_path / "package.zip", tmp_path / "key"
    file.write_bytes(made)
    key.write_text(vault.public_keys()[vault.signing_key_id].hex())

    by_itself, by_key = verify_export(file, None), verify_export(file, key)

    assert by_itself[0].startswith("The package holds: ")
    assert "/v1/signing-keys" in by_itself[-1]
    assert by_key[1] == "It was signed with the trusted key."


async def test_each_change_is_told_in_one_sentence(made: bytes, tmp_path: Path) -> None:
    def changed(name: str, data: bytes) -> tuple[str, bytes]:
        return name, data.replace(b"recorded_at", b"Recorded_at", 1)

    def added(name: str, data: bytes) -> tuple[str, bytes]:
        return ("data/more.json" if name == "README.txt" else name), data

    def relisted(name: str, data: bytes) -> tuple[str, bytes]:
        if name != MANIFEST:
            return name, data
        said = json.loads(data)
        said["files"][0]["sha256"] = "0" * 64
        return name, rfc8785.dumps(said)

    cases = {
        "data/track.json is missing.": lambda n, d: None if n == "data/track.json" else (n, d),
        "README.txt is missing.": added,
        "was changed: it is not what the signed list names.": changed,
        "The signature does not match": relisted,
        "There is no manifest.json in it.": lambda n, d: None if n == MANIFEST else (n, d),
        "This is not a manifest of an export package.": lambda n, d: (
            n,
            b"{}" if n == MANIFEST else d,
        ),
    }
    for sentence, change in cases.items():
        said = refused(tmp_path, rewritten(made, change))
        assert sentence in said
        assert said.count(". ") == 0, said

    assert "is not a ZIP file" in refused(tmp_path, made[:-10])
    assert "is not a ZIP file" in refused(tmp_path, b"")
    # The control: written anew without a change it holds.
    (tmp_path / "same.zip").write_bytes(rewritten(made, lambda n, d: (n, d)))
    assert verify_export(tmp_path / "same.zip", None)


async def test_no_flipped_byte_makes_another_package(made: bytes, tmp_path: Path) -> None:
    file = tmp_path / "package.zip"
    passed = 0
    for place in range(0, len(made), max(len(made) // 300, 1)):
        damaged = bytearray(made)
        damaged[place] ^= 0x20
        file.write_bytes(bytes(damaged))
        with suppress(DocumentRefused):
            verify_export(file, None)
            # Times, attributes and versions of entries say nothing of what is in a file.
            passed += 1
    assert passed < 300 / 4


async def test_signed_as_something_else_or_by_another_key_is_refused(
    made: bytes, tmp_path: Path, vault: Vault
) -> None:
    other = tmp_path / "key"
    other.write_text("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    assert "another key" in refused(tmp_path, made, other)

    def resigned(name: str, data: bytes) -> tuple[str, bytes]:
        if name != MANIFEST:
            return name, data
        said = json.loads(data)
        del said["proof"]
        kind = documents.Kind(type=said["type"], version="1", word="manifest", of="", prefix=b"x\0")
        return name, rfc8785.dumps(documents.signed(vault, kind, said))

    assert "signature does not match" in refused(tmp_path, rewritten(made, resigned))


def test_more_than_32_bits_are_told_in_the_way_of_zip64(tmp_path: Path) -> None:
    large = Packed(name="a", size_bytes=5 << 32, sha256="", crc=1, packed_bytes=1 << 32)
    small = Packed(name="b", size_bytes=1, sha256="", crc=1, packed_bytes=3)
    offset = large.archive_bytes + small.archive_bytes
    file = tmp_path / "large.zip"
    with file.open("wb") as opened:
        opened.seek(offset)  # what stands there is not on the disk
        opened.write(directory([large, small], NOW))

    with zipfile.ZipFile(file) as archive:
        found = [
            (one.file_size, one.compress_size, one.header_offset) for one in archive.infolist()
        ]

    assert found == [(5 << 32, 1 << 32, 0), (1, 3, large.archive_bytes)]
    assert len(header(large, NOW)) == len(header(small, NOW)) + 20


def test_what_is_packed_in_parts_is_the_same_file() -> None:
    whole, parts = Packing("x"), Packing("x")
    data = b"".join(str(number).encode() for number in range(5_000))

    one = whole.add(data)
    last, packed = whole.end()
    pieces = b"".join(parts.add(data[at : at + 7]) for at in range(0, len(data), 7))
    end, other = parts.end()

    assert one + last == pieces + end
    assert (packed.sha256, packed.crc, packed.size_bytes) == (
        other.sha256,
        other.crc,
        other.size_bytes,
    )
