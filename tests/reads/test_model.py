"""What is hashed of reads, without a database."""

import json
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from server.reads.model import ClosedBucket, ReadRow, bucket_of, set_hash
from tests.world import NOW


def test_a_bucket_is_five_minutes_by_the_clock() -> None:
    assert bucket_of(datetime(2026, 11, 22, 12, 4, 59, 999_999, UTC)) == NOW
    assert bucket_of(NOW) == NOW
    assert bucket_of(NOW - timedelta(microseconds=1)) == NOW - timedelta(minutes=5)


ROW = ReadRow(
    viewer_kind="dispatcher",
    viewer_id=UUID(int=4),
    purpose="dispatch_tracking",
    screen="live_map",
    set_hash=bytes(32),
    read_at=NOW,
)


def test_the_hash_of_a_bucket_is_of_its_rows_whatever_their_order() -> None:
    other = replace(ROW, viewer_id=UUID(int=5))
    closed = ClosedBucket.of(NOW, [ROW, other])

    assert closed == ClosedBucket.of(NOW, [other, ROW])
    assert closed.hash != ClosedBucket.of(NOW, [ROW]).hash
    assert closed.hash != ClosedBucket.of(NOW + timedelta(minutes=5), [ROW, other]).hash
    changes = {
        "viewer_kind": "main_user",
        "viewer_id": uuid4(),
        "purpose": "plan_fact",
        "screen": "track",
        "set_hash": b"x" * 32,
        "read_at": NOW + timedelta(microseconds=1),
    }
    assert changes.keys() == {field.name for field in fields(ReadRow)}
    for name, value in changes.items():
        changed = replace(ROW, **{name: value})  # type: ignore[arg-type]
        assert ClosedBucket.of(NOW, [changed, other]).hash != closed.hash


@pytest.mark.parametrize(
    "facts",
    ["", "[]", "7", "{}", '{"bucket_at":7}', '{"bucket_at":"x"}', '{"bucket_at":"2026-11-22"}'],
)
def test_facts_of_no_bucket_are_no_error(facts: str) -> None:
    assert ClosedBucket.began(facts) is None


def test_the_facts_of_a_bucket_tell_which_it_is() -> None:
    facts = json.dumps(ClosedBucket.of(NOW, [ROW]).facts())

    assert ClosedBucket.began(facts) == NOW


def test_a_set_is_named_for_its_company_and_members() -> None:
    company, drivers = UUID(int=1), [UUID(int=2), UUID(int=3)]

    names = {
        set_hash(company, drivers),
        set_hash(uuid4(), drivers),
        set_hash(company, drivers[:1]),
        set_hash(company, [*drivers, UUID(int=4)]),
    }

    assert len(names) == 4
