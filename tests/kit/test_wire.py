"""What may stand on the wire, tried with what should not."""

import json
import unicodedata
from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter, ValidationError

from server.kit.wire import Instant, Latitude, Longitude, Text, Wire, rfc3339

NAME: TypeAdapter[str] = TypeAdapter(Annotated[str, Text(10)])
INSTANT: TypeAdapter[datetime] = TypeAdapter(Instant)


class Fix(Wire):
    lat: Latitude
    lon: Longitude = 0.0
    count: Annotated[int, Field(ge=0, le=9)] = 0
    mock: bool = False


def fix(**members: Any) -> Fix:
    return Fix.model_validate_json(json.dumps(members))


@pytest.mark.parametrize(
    "body",
    [
        '{"lat": NaN}', '{"lat": Infinity}', '{"lat": -Infinity}', '{"lat": 1e400}',
        '{"lat": 90.0000001}', '{"lat": -91}', '{"lat": true}', '{"lat": "1"}', '{"lat": null}',
        '{"lat": [1]}', '{"lat": 1, "lon": 180.1}', '{"lat": 1, "count": 1.0}',
        '{"lat": 1, "count": true}', '{"lat": 1, "count": "1"}', '{"lat": 1, "count": 1e0}',
        '{"lat": 1, "mock": 1}', '{"lat": 1, "mock": "true"}', '{"lat": 1, "more": 1}', "{}",
        '{"lat": 1, "count": 99999999999999999999999999}',
    ],
)  # fmt: skip
def test_numbers_are_numbers_finite_and_in_bounds_and_nothing_more_is_taken(body: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Fix.model_validate_json(body)

    assert "input_value" not in str(refused.value)


def test_whole_numbers_are_numbers_too() -> None:
    assert fix(lat=-90, lon=180) == Fix(lat=-90.0, lon=180.0)


@pytest.mark.parametrize(
    "char",
    [
        "\x00", "\x01", "\n", "\r", "\t", "\x1f", "\x7f", "\x80", "\x9f",  # control
        "\u061c", "\u200e", "\u200f", "\u202a", "\u202e", "\u2066", "\u2069",  # direction
        "\u2028", "\u2029",  # lines
        "\ue000", "\uf8ff", "\U000f0000", "\U0010fffd",  # private use
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", ["{}", "a{}", "{}a", "a{}a"])
def test_what_hides_or_reorders_text_is_refused(char: str, place: str) -> None:
    with pytest.raises(ValidationError):
        NAME.validate_json(json.dumps(place.format(char)))


def test_half_a_surrogate_is_refused() -> None:
    with pytest.raises(ValidationError):
        NAME.validate_json(r'"\ud800"')


@pytest.mark.parametrize(
    "name",
    [
        "Айдос",
        "Ғани Қ.",
        "O'Neil-Ö",
        "ナビ",
        "\U0001f469\u200d\U0001f692",
        "a b",
        "<b>",
        "-",
        "\u00b2",
        "\u0667",
    ],
)
def test_names_of_people_and_places_pass(name: str) -> None:
    assert NAME.validate_json(json.dumps(name)) == unicodedata.normalize("NFC", name)


def test_one_spelling_of_one_text() -> None:
    assert NAME.validate_python("e\u0301") == NAME.validate_python("\u00e9") == "\u00e9"


def test_the_length_holds_after_composing() -> None:
    with pytest.raises(ValidationError, match="at most 10 characters"):
        NAME.validate_python("\u0958" * 10)


@pytest.mark.parametrize("name", ["", "a" * 11])
def test_a_text_has_bounds(name: str) -> None:
    with pytest.raises(ValidationError):
        NAME.validate_python(name)


@settings(max_examples=500, deadline=None)
@given(st.text(max_size=12))
def test_a_text_that_passes_can_be_stored_and_passes_again(name: str) -> None:
    try:
        taken = NAME.validate_python(name)
    except ValidationError:
        return
    assert NAME.validate_python(taken) == taken
    assert 1 <= len(taken) <= 10
    assert len(taken.encode("utf-8")) <= 40
    assert "\x00" not in taken


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-11-22T12:00:00Z", datetime(2026, 11, 22, 12, tzinfo=UTC)),
        ("2026-11-22T12:00:00+05:00", datetime(2026, 11, 22, 7, tzinfo=UTC)),
        ("2026-11-22T12:00:00.5-14:00", datetime(2026, 11, 23, 2, 0, 0, 500_000, tzinfo=UTC)),
        ("2000-01-01T00:00:00Z", datetime(2000, 1, 1, tzinfo=UTC)),
        ("2099-12-31T23:59:59.999999Z", datetime(2099, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
        ("2024-02-29T00:00:00-00:00", datetime(2024, 2, 29, tzinfo=UTC)),
    ],
)
def test_a_time_with_an_offset_is_taken_in_utc(text: str, utc: datetime) -> None:
    for taken in (INSTANT.validate_json(json.dumps(text)), INSTANT.validate_strings(text)):
        assert taken == utc
        assert taken.tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        '"2026-11-22T12:00:00"', '"2026-11-22 12:00:00Z"', '"2026-11-22"', '"12:00:00Z"',
        '"2026-11-22T12:00Z"', '"2026-11-22t12:00:00z"', '"20261122T120000Z"', '"2026-W47-7"',
        '"2026-11-22T12:00:00+0500"', '"2026-11-22T12:00:00+05"', '"2026-11-22T12:00:00+15:00"',
        '"2026-11-22T12:00:00.1234567Z"', '"2026-11-22T12:00:60Z"', '"2026-11-22T24:00:00Z"',
        '"2026-02-30T00:00:00Z"', '"2026-13-01T00:00:00Z"', '"2026-00-10T00:00:00Z"',
        '"0001-01-01T00:00:00+14:00"', '"9999-12-31T23:59:59-14:00"', '"1999-12-31T23:59:59Z"',
        '"2100-01-01T00:00:00Z"', '"2000-01-01T00:00:00+14:00"', '"2099-12-31T23:00:00-01:00"',
        '"-62135596800"', '"1763812800"', "1763812800", "1763812800.5", "NaN", "true", "null",
        '" 2026-11-22T12:00:00Z"', '"2026-11-22T12:00:00Z "', '"2026-11-22T12:00:00Z\\n"',
        '"٢٠٢٦-11-22T12:00:00Z"', '""', "[]", "{}",
    ],
)  # fmt: skip
def test_every_other_time_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        INSTANT.validate_json(text)


INSTANTS = st.datetimes(
    datetime(1990, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    datetime(2110, 1, 1),  # noqa: DTZ001
    timezones=st.integers(-899, 899).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)


@settings(max_examples=500, deadline=None)
@given(INSTANTS)
def test_a_time_is_refused_or_comes_back_as_the_same_moment(moment: datetime) -> None:
    try:
        taken = INSTANT.validate_json(json.dumps(moment.isoformat()))
    except ValidationError:
        edge = not 2000 < moment.year < 2099
        assert edge or abs(moment.utcoffset() or timedelta()) >= timedelta(hours=14)
        return
    assert taken == moment
    written = rfc3339(taken)
    assert INSTANT.validate_python(written) == taken.replace(
        microsecond=taken.microsecond // 1000 * 1000
    )
    assert written.endswith("Z")


def test_times_are_written_in_utc_with_milliseconds_only_if_there_are_any() -> None:
    moment = datetime(2026, 11, 22, 17, 0, tzinfo=timezone(timedelta(hours=5)))

    assert rfc3339(moment) == "2026-11-22T12:00:00Z"
    assert rfc3339(moment.replace(microsecond=7_999)) == "2026-11-22T12:00:00.007Z"
    assert INSTANT.dump_json(moment) == b'"2026-11-22T12:00:00Z"'
