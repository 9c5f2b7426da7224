"""The bytes at rest: what goes in comes out, at the resolution of the wire."""

from dataclasses import replace
from uuid import UUID

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from server.tracking import codec
from server.tracking.codec import BlobUnreadable
from server.tracking.model import Positions
from server.vault.model import Category, DataKey

RESOLUTION = codec.SCALE[:, 0].astype(np.int64).tolist()
# Whole steps at wire resolution: lat, lon, accuracy, speed, heading, altitude, battery.
STEPS_MAX = [90 * 10**7, 180 * 10**7, 10**6, 60_000, 3_600, 10**6, 100]
STEPS_MIN = [-90 * 10**7, -180 * 10**7, 0, 0, 0, -10_000, 0]
MS_2000, MS_2100 = 946_684_800_000, 4_102_444_800_000
BUFFER_MS = 30 * 86_400_000


def key_of(number: int = 1) -> DataKey:
    return DataKey(
        company_id=UUID(int=number),
        key_id=UUID(int=number + 1),
        subject_id=UUID(int=number + 2),
        category=Category.TRACK,
        period="2026-11",
        cipher=AESGCM(bytes(range(number, number + 32))),
        index_secret=bytes(32),
    )


def positions_of(rows: list[tuple[int, list[int | None], int]]) -> Positions:
    rows = sorted(rows, key=lambda row: row[0])
    steps = np.array([row[1] for row in rows], dtype=np.float64).T
    return Positions(
        time_ms=np.array([row[0] for row in rows], dtype=np.int64),
        values=steps / codec.SCALE,
        flags=np.array([row[2] for row in rows], dtype=np.uint8),
    )


def same(one: Positions, other: Positions) -> bool:
    return (
        np.array_equal(one.time_ms, other.time_ms)
        and np.array_equal(one.values, other.values, equal_nan=True)
        and np.array_equal(one.flags, other.flags)
    )


@st.composite
def uploads(draw: st.DrawFn) -> Positions:
    base = draw(st.integers(MS_2000, MS_2100 - BUFFER_MS))
    values = [
        st.integers(low, high) if column < 2 else st.none() | st.integers(low, high)
        for column, (low, high) in enumerate(zip(STEPS_MIN, STEPS_MAX, strict=True))
    ]
    row = st.tuples(
        st.integers(base, base + BUFFER_MS),
        st.tuples(*values).map(list),
        st.integers(0, 31),
    )
    return positions_of(draw(st.lists(row, min_size=1, max_size=40)))


@given(uploads(), st.integers(0, 255))
def test_what_is_packed_unpacks_to_the_same(positions: Positions, device: int) -> None:
    unpacked = codec.unpack(codec.pack(positions, device))

    assert same(unpacked.positions, positions)
    assert unpacked.device_number == device


@given(uploads())
def test_what_is_sealed_opens_to_the_same(positions: Positions) -> None:
    key = key_of()
    packed = codec.pack(positions, 3)
    upload_id = codec.upload_id_of(key, UUID(int=9), "batch", packed)
    blob = codec.seal(key, packed, row_id=upload_id, schema=codec.CHUNK_SCHEMA)

    assert same(codec.open_chunk(key, blob, upload_id).positions, positions)


def drive(count: int) -> Positions:
    place = np.arange(count)
    values = np.array(
        [
            51.1 + place * 1e-4,
            71.4 + place * 1e-4,
            np.full(count, 4.5),
            10 + place % 7 * 0.25,
            place * 3.5 % 360,
            np.full(count, 350.5),
            np.full(count, 80.0),
        ]
    )
    return Positions(
        time_ms=1_795_000_000_000 + place * 10_000,
        values=np.rint(values * codec.SCALE) / codec.SCALE,
        flags=np.ones(count, np.uint8),
    )


@pytest.mark.parametrize("count", [1, 16, 17, 10_000])
def test_both_layouts_keep_a_drive(count: int) -> None:
    assert same(codec.unpack(codec.pack(drive(count), 0)).positions, drive(count))


def test_a_drive_of_sixty_positions_takes_at_most_twelve_bytes_each() -> None:
    assert len(codec.pack(drive(60), 0)) <= 60 * 12


@given(st.data())
def test_a_changed_byte_is_found(data: st.DataObject) -> None:
    key, upload_id = key_of(), UUID(int=5)
    blob = bytearray(
        codec.seal(key, codec.pack(drive(3), 0), row_id=upload_id, schema=codec.CHUNK_SCHEMA)
    )
    blob[data.draw(st.integers(0, len(blob) - 1))] ^= data.draw(st.integers(1, 255))

    with pytest.raises(BlobUnreadable):
        codec.open_chunk(key, bytes(blob), upload_id)


def test_a_blob_moved_to_another_row_or_driver_does_not_open() -> None:
    key, upload_id = key_of(), UUID(int=5)
    blob = codec.seal(key, codec.pack(drive(3), 0), row_id=upload_id, schema=codec.CHUNK_SCHEMA)

    with pytest.raises(BlobUnreadable):
        codec.open_chunk(key, blob, UUID(int=6))
    with pytest.raises(BlobUnreadable):
        codec.unseal(key, blob, row_id=upload_id, schema=codec.LATEST_SCHEMA)


def test_the_upload_id_is_bound_to_device_batch_and_content() -> None:
    packed, other = codec.pack(drive(3), 0), codec.pack(drive(4), 0)
    ids = {
        codec.upload_id_of(key, device, batch, content)
        for key in (key_of(1), replace(key_of(1), index_secret=b"x" * 32))
        for device in (UUID(int=1), UUID(int=2))
        for batch in (None, "a", "b")
        for content in (packed, other)
    }

    assert len(ids) == 2 * 2 * 3 * 2
    assert codec.upload_id_of(key_of(), UUID(int=1), "a", packed) in ids


@given(st.lists(st.tuples(uploads(), st.integers(0, 255)), min_size=1, max_size=8))
def test_packed_together_each_is_what_it_is_alone(numbered: list[tuple[Positions, int]]) -> None:
    together = codec.pack_many([one for one, _ in numbered], [number for _, number in numbered])

    assert together == [codec.pack(one, number) for one, number in numbered]


def test_nonces_drawn_together_are_different() -> None:
    drawn = codec.nonces(500)

    assert len(set(drawn)) == 500
    assert {len(nonce) for nonce in drawn} == {codec.NONCE_BYTES}
    assert codec.nonces(0) == []
