"""Reading a body: both shapes say the same, and nothing is said twice."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.kit.body import JsonKeyTwice
from server.uploads.wire import parse_upload

steps: dict[str, st.SearchStrategy[Any]] = {
    "lat": st.integers(-90 * 10**7, 90 * 10**7).map(lambda n: n / 1e7),
    "lon": st.integers(-180 * 10**7, 180 * 10**7).map(lambda n: n / 1e7),
}
optional: dict[str, st.SearchStrategy[Any]] = {
    "accuracy_m": st.integers(0, 10**6).map(lambda n: n / 10),
    "speed_mps": st.integers(0, 60_000).map(lambda n: n / 100),
    "heading_deg": st.integers(0, 3_600).map(lambda n: n / 10),
    "altitude_m": st.integers(-10_000, 10**6).map(lambda n: n / 10),
    "battery_pct": st.integers(0, 100),
    "source": st.sampled_from(["gps", "wifi", "cell", "fused"]),
    "mock": st.booleans(),
}
times_ms: st.SearchStrategy[Any] = st.integers(946_684_800_000, 4_102_444_799_999)
rows = st.lists(
    st.fixed_dictionaries(
        {"recorded_at_ms": times_ms} | steps,
        optional={name: st.none() | values for name, values in optional.items()},
    ),
    min_size=1,
    max_size=20,
)
heads = st.fixed_dictionaries(
    {},
    optional={
        "batch_id": st.none() | st.text(st.sampled_from('ab"\\:,{}[] ж\U0001f69a'), min_size=1),
        "sent_at": st.none() | st.just("2026-11-22T12:00:00+05:00"),
    },
)


def rfc3339(ms: int) -> str:
    return f"{np.datetime_as_string(np.datetime64(ms, 'ms'), timezone='UTC')}"


def objects(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"recorded_at": rfc3339(one["recorded_at_ms"])}
        | {name: value for name, value in one.items() if name != "recorded_at_ms"}
        for one in found
    ]


def columns(found: list[dict[str, Any]]) -> dict[str, list[Any]]:
    names = {name for one in found for name in one}
    return {name: [one.get(name) for one in found] for name in names}


@given(found=rows, head=heads, indent=st.none() | st.integers(0, 3), ascii_only=st.booleans())
def test_objects_and_columns_say_the_same(
    *, found: list[dict[str, Any]], head: dict[str, Any], indent: int | None, ascii_only: bool
) -> None:
    def parsed(body: dict[str, Any]) -> Any:
        return parse_upload(json.dumps(body, indent=indent, ensure_ascii=ascii_only).encode())

    one = parsed(head | {"positions": objects(found)})
    other = parsed({"columns": columns(found)} | head)

    assert np.array_equal(one.positions.time_ms, other.positions.time_ms)
    assert np.array_equal(one.positions.values, other.positions.values, equal_nan=True)
    assert np.array_equal(one.positions.flags, other.positions.flags)
    assert one.positions.time_ms.tolist() == [row["recorded_at_ms"] for row in found]
    assert (one.batch_id, one.sent_at) == (other.batch_id, other.sent_at)


@given(found=rows, head=heads, by_column=st.booleans(), data=st.data())
def test_a_member_given_twice_is_found_wherever_it_stands(
    *, found: list[dict[str, Any]], head: dict[str, Any], by_column: bool, data: st.DataObject
) -> None:
    shape = {"columns": columns(found)} if by_column else {"positions": objects(found)}
    body = json.dumps(head | shape)
    members = [
        name
        for name in ("batch_id", "recorded_at", "recorded_at_ms", "lat", "speed_mps", "source")
        if f'"{name}": ' in body and "\\" not in body
    ]
    if not members:
        return
    name = data.draw(st.sampled_from(members))
    value = data.draw(st.sampled_from(["null", '"x"', "0", "[]", "{}"]))
    place = data.draw(st.integers(1, body.count(f'"{name}": ')))
    parts = body.split(f'"{name}": ')
    # Before the real one, which then wins and makes the body valid.
    doubled = f'"{name}": '.join(parts[:place])
    doubled += f'"{name}": {value}, "{name}": ' + f'"{name}": '.join(parts[place:])

    with pytest.raises(JsonKeyTwice):
        parse_upload(doubled.encode())
