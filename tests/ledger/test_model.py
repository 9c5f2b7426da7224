"""What is hashed, sealed and signed, without a database."""

import hashlib
import json
from dataclasses import fields, replace
from datetime import timedelta, timezone
from uuid import UUID, uuid4

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from server.ledger.model import (
    Act,
    Checkpoint,
    Entry,
    Inclusion,
    Place,
    checkpoint_statement,
    genesis,
    link,
    linked,
    open_detail,
    seal_detail,
)
from tests.world import NOW

ENTRY = Entry(
    company_id=UUID(int=1),
    index=7,
    recorded_at=NOW,
    act="consent_given",
    actor_kind="driver",
    actor_id=UUID(int=2),
    subject_id=UUID(int=3),
    detail_sealed=b"\x00\xff",
    facts='{"epoch":3}',
)


def test_the_canonical_form_is_written_down_for_those_who_check_it_themselves() -> None:
    assert ENTRY.canonical() == (
        b'{"act":"consent_given","actor_id":"00000000-0000-0000-0000-000000000002",'
        b'"actor_kind":"driver","company_id":"00000000-0000-0000-0000-000000000001",'
        b'"detail":"AP8=","facts":"{\\"epoch\\":3}","index":7,'
        b'"recorded_at":"2026-11-22T12:00:00.000000Z",'
        b'"subject_id":"00000000-0000-0000-0000-000000000003"}'
    )
    digest = hashlib.sha256(b"jolda ledger entry v1\0" + ENTRY.canonical()).digest()
    assert ENTRY.digest() == digest
    chain = hashlib.sha256(b"jolda ledger link v1\0" + bytes(32) + digest).digest()
    assert link(bytes(32), digest) == chain
    assert (
        genesis(UUID(int=1))
        == hashlib.sha256(b"jolda ledger genesis v1\0" + UUID(int=1).bytes).digest()
    )


def test_every_field_of_an_entry_is_hashed() -> None:
    others = {
        "company_id": uuid4(),
        "index": 8,
        "recorded_at": NOW + timedelta(microseconds=1),
        "act": "consent_declined",
        "actor_kind": "device",
        "actor_id": None,
        "subject_id": uuid4(),
        "detail_sealed": None,
        "facts": '{"epoch":4}',
    }
    assert others.keys() == {field.name for field in fields(Entry)}

    digests = {replace(ENTRY, **{name: value}).digest() for name, value in others.items()}  # type: ignore[arg-type]

    assert len(digests | {ENTRY.digest()}) == len(others) + 1


def test_the_same_moment_in_another_zone_is_the_same_entry() -> None:
    almaty = NOW.astimezone(timezone(timedelta(hours=5)))

    assert replace(ENTRY, recorded_at=almaty).digest() == ENTRY.digest()


@given(
    st.dictionaries(
        st.text(max_size=5), st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1)
    )
)
def test_a_detail_opens_for_its_subject_only_and_nowhere_else(detail: dict[str, int]) -> None:
    key, other = X25519PrivateKey.generate(), X25519PrivateKey.generate()
    sealed = seal_detail(
        key.public_key().public_bytes_raw(),
        detail,
        company_id=ENTRY.company_id,
        subject_id=UUID(int=3),
        act=ENTRY.act,
        at=NOW,
    )
    entry = replace(ENTRY, detail_sealed=sealed)

    opened = open_detail(key, entry)

    assert opened is not None
    assert json.loads(opened) == detail
    for private_key, moved in (
        (other, entry),
        (key, replace(entry, company_id=uuid4())),
        (key, replace(entry, subject_id=uuid4())),
        (key, replace(entry, act=Act.MEMBER_BLOCKED)),
        (key, replace(entry, recorded_at=NOW + timedelta(microseconds=1))),
        (key, replace(entry, detail_sealed=sealed[:-1] + bytes([sealed[-1] ^ 1]))),
    ):
        with pytest.raises(InvalidTag):
            open_detail(private_key, moved)
    assert open_detail(key, replace(entry, detail_sealed=None)) is None
    assert open_detail(key, replace(entry, subject_id=None)) is None


def signed(place: Place, key: Ed25519PrivateKey, key_id: UUID) -> Checkpoint:
    said = checkpoint_statement(UUID(int=1), place.index, place.hash, NOW)
    return Checkpoint(
        company_id=UUID(int=1),
        index=place.index,
        hash=place.hash,
        made_at=NOW,
        key_id=key_id,
        signature=key.sign(said),
    )


@pytest.mark.proves("qoldau:9")
def test_an_inclusion_holds_only_as_it_was_made() -> None:
    key, key_id = Ed25519PrivateKey.generate(), uuid4()
    public_keys = {key_id: key.public_key().public_bytes_raw()}
    place = Place(index=5, hash=hashlib.sha256(b"5").digest())
    later = tuple(hashlib.sha256(bytes([number])).digest() for number in range(3))
    end = Place(index=8, hash=linked(place.hash, later))
    shown = Inclusion(place=place, later=later, checkpoint=signed(end, key, key_id))

    assert shown.holds(public_keys)

    assert not shown.holds({})
    assert not shown.holds({key_id: Ed25519PrivateKey.generate().public_key().public_bytes_raw()})
    for other in (
        replace(shown, later=later[:-1]),
        replace(shown, later=later[::-1]),
        replace(shown, place=replace(place, index=6)),
        replace(shown, place=replace(place, hash=bytes(32))),
        replace(shown, checkpoint=replace(shown.checkpoint, index=9)),
        replace(shown, checkpoint=replace(shown.checkpoint, made_at=NOW + timedelta(days=1))),
        replace(shown, checkpoint=replace(shown.checkpoint, company_id=uuid4())),
    ):
        assert not other.holds(public_keys)
