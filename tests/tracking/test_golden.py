"""Bytes that were written once can be read for good: every kind of row, in every version.

A file is named by what was sealed and by the version: ``chunk_v1.json``. One that was ever in
a release is never written again.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import UUID

import pytest

from server.tracking import codec
from server.tracking.codec import CHUNK_SCHEMA, LATEST_SCHEMA, VERSION, BlobUnreadable, Unpacked
from tests.tracking.test_codec import drive, key_of, positions_of, same

GOLDEN: Final = Path(__file__).parent / "golden"
KINDS: Final = {
    "chunk": CHUNK_SCHEMA,  # as an upload wrote it
    "merged": CHUNK_SCHEMA,  # as compaction did
    "latest_position": LATEST_SCHEMA,
}
SHORT: Final = {1: 0, 2: 2}
"""By version, the layout of few positions; that of many is 1 in both."""
WIDTHS: Final = {4, 8}


class Case(NamedTuple):
    kind: str
    version: int
    name: str
    blob: bytes
    said: Mapping[str, Any]

    @property
    def row_id(self) -> UUID:
        return UUID(self.said["driver_id" if self.kind == "latest_position" else "upload_id"])


def cases() -> Iterator[Case]:
    for path in sorted(GOLDEN.iterdir()):
        named = re.fullmatch(r"([a-z_]+)_v([0-9]+)", path.stem)
        assert named, path
        for name, said in json.loads(path.read_text()).items():
            yield Case(named[1], int(named[2]), name, bytes.fromhex(said["blob"]), said)


CASES: Final = tuple(cases())


def opened(case: Case, blob: bytes) -> Unpacked:
    """Open as the server does what it finds in a row of that kind."""
    if case.kind == "latest_position":
        return codec.unpack(codec.unseal(key_of(), blob, row_id=case.row_id, schema=LATEST_SCHEMA))
    return codec.open_chunk(key_of(), blob, case.row_id)


@pytest.mark.parametrize("case", CASES, ids=lambda one: f"{one.kind}-v{one.version}-{one.name}")
def test_what_was_ever_written_is_read(case: Case) -> None:
    unpacked = opened(case, case.blob)

    assert case.blob[0] == case.version
    assert unpacked.device_number == case.said["device_number"]
    assert same(unpacked.positions, positions_of([tuple(row) for row in case.said["rows"]]))


def missing(version: int) -> set[tuple[str, int]]:
    """Return of which kinds and versions up to this one there are no bytes."""
    written = {(kind, number) for kind in KINDS for number in range(1, version + 1)}
    return written - {(case.kind, case.version) for case in CASES}


def test_every_kind_of_row_has_bytes_of_every_version() -> None:
    assert missing(VERSION) == set()
    assert {case.kind for case in CASES} == KINDS.keys()
    assert {case.version for case in CASES} == set(range(1, VERSION + 1))


def test_control_a_new_version_without_bytes_of_it_is_found() -> None:
    assert missing(VERSION + 1) == {(kind, VERSION + 1) for kind in KINDS}


@pytest.mark.parametrize("version", range(1, VERSION + 1))
def test_every_layout_and_width_of_a_version_has_bytes(version: int) -> None:
    found: dict[str, set[int]] = {kind: set() for kind in KINDS}
    widths = set()
    for case in CASES:
        if case.version == version:
            packed = codec.unseal(key_of(), case.blob, row_id=case.row_id, schema=KINDS[case.kind])
            found[case.kind].add(packed[0])
            widths |= {packed[3]} if packed[0] == 1 else set()

    short = SHORT[version]
    assert found == {"chunk": {short, 1}, "merged": {short, 1}, "latest_position": {short}}
    assert widths == WIDTHS


def test_a_layout_that_never_was_is_refused() -> None:
    packed = codec.pack(drive(3), 0)

    for layout in {*range(256)} - {0, 1, 2}:
        with pytest.raises(BlobUnreadable):
            codec.unpack(bytes([layout]) + packed[1:])


@pytest.mark.parametrize("case", CASES, ids=lambda one: f"{one.kind}-v{one.version}-{one.name}")
def test_a_version_that_never_was_is_refused(case: Case) -> None:
    for version in {*range(256)} - {*range(1, VERSION + 1)}:
        with pytest.raises(BlobUnreadable):
            opened(case, bytes([version]) + case.blob[1:])


@pytest.mark.parametrize("case", CASES, ids=lambda one: f"{one.kind}-v{one.version}-{one.name}")
def test_bytes_that_were_cut_off_are_refused(case: Case) -> None:
    for length in {*range(min(60, len(case.blob))), len(case.blob) - 1}:
        with pytest.raises(BlobUnreadable):
            opened(case, case.blob[:length])


def test_what_is_written_now_says_the_version_and_what_it_is() -> None:
    for schema in KINDS.values():
        row_id = UUID(int=5)
        blob = codec.seal(key_of(), codec.pack(drive(3), 0), row_id=row_id, schema=schema)

        assert blob[0] == VERSION
        assert schema.endswith(".v1")  # part of what is authenticated: it does not change
