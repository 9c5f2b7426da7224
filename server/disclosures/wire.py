"""The wire schemas of the register of disclosures."""

from datetime import date, timedelta
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from server.disclosures.model import (
    DEFAULT_CATEGORIES,
    TWO_PERSONS,
    Category,
    Claim,
    Evidence,
    Ground,
    MadeFile,
    NewDisclosure,
    ShownDisclosure,
    Span,
    State,
)
from server.kit.countries import COUNTRIES
from server.kit.wire import Instant, PageQuery, ProfileText, Text, Wire
from server.tracking.model import TRACK_SPAN_DAYS_MAX, TrackSpanInvalid

NAME_CHARS_MAX: Final = 200
CODE_CHARS_MAX: Final = 100
GIVEN_CHARS_MAX: Final = 2_000
CATEGORIES_MAX: Final = len(Category)
SPAN_DAYS_MAX: Final = 3_660
"""Of what is no track."""
Short = Annotated[str, Text(CODE_CHARS_MAX)]


def _country(value: str) -> str:
    if value not in COUNTRIES:
        kind, message = "country", "Input should be the two letters of a country, as in ISO 3166-1"
        raise PydanticCustomError(kind, message)
    return value


class EvidenceWire(Wire):
    """To whom and by which document. No name of a driver belongs in it."""

    recipient: Annotated[str, Text(NAME_CHARS_MAX)]
    """The organisation, or the official, that is given it."""
    country: Annotated[str, Text(2, 2), AfterValidator(_country)] = Field("KZ", examples=["KZ"])
    document_number: Short | None = None
    document_date: date | None = Field(None, strict=False)
    legal_article: Annotated[str, Text(NAME_CHARS_MAX)] | None = None
    service: Annotated[str, Text(NAME_CHARS_MAX)] | None = None
    """Of the ground `functionality`: which function of the service needs it."""
    purpose: Annotated[str, Text(NAME_CHARS_MAX)] | None = None
    """Of the ground `purpose`: as the notice to drivers names it."""
    claim: Claim | None = None
    case_id: Short | None = None


class SpanWire(Wire):
    since: Instant = Field(alias="from")
    until: Instant = Field(alias="to")


class DisclosureBody(Wire):
    driver_id: UUID
    ground: Ground
    categories: list[Category] = Field(
        list(DEFAULT_CATEGORIES), min_length=1, max_length=CATEGORIES_MAX
    )
    """What is given; no track unless it is named."""
    span: SpanWire | None = None
    """Of which time; a track needs it, of at most 31 days."""
    sealed_until: Instant | None = None
    """An authority's order of secrecy: until then the driver is not told."""
    evidence: EvidenceWire
    given: Annotated[str, ProfileText(GIVEN_CHARS_MAX, lines=True)]
    """What is given, in words."""


class FileView(Wire):
    file_id: UUID
    format: str
    positions: int
    size_bytes: int
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    made_at: Instant


class OwnDisclosureView(Wire):
    """As the driver sees it."""

    disclosure_id: UUID
    ground: Ground
    categories: list[Category]
    span: SpanWire | None
    sealed_until: Instant | None
    """Until when it was kept from the driver by an order of secrecy."""
    evidence: EvidenceWire
    given: str | None
    recorded_at: Instant
    recorded_by: str | None
    """The name; null where the person was erased."""
    decided_at: Instant | None
    decided_by: str | None
    files: list[FileView]


class DisclosureView(OwnDisclosureView):
    """As the company sees it."""

    driver_id: UUID | None
    """Null once the driver was erased: the disclosure stays, and is nobody's."""
    driver_name: str | None
    state: State
    second_person: bool
    """Whether somebody other than who recorded it has to release it."""
    told_at: Instant | None
    """When the driver was told; null before, and while it is sealed."""


class DisclosuresQuery(PageQuery):
    driver_id: UUID | None = None
    state: State | None = None


class DisclosureFileQuery(Wire):
    format: Literal["geojson", "gpx", "csv"] = "geojson"


def new_of(body: DisclosureBody) -> NewDisclosure:
    """Return what is to be recorded.

    Raises
    ------
    TrackSpanInvalid
    """
    span = None
    if body.span is not None:
        span = Span(since=body.span.since, until=body.span.until)
        days = TRACK_SPAN_DAYS_MAX if Category.TRACK in body.categories else SPAN_DAYS_MAX
        if not timedelta(0) < span.until - span.since <= timedelta(days=days):
            raise TrackSpanInvalid(f"More than nothing and at most {days} days.")
    return NewDisclosure(
        driver_id=body.driver_id,
        ground=body.ground,
        categories=tuple(dict.fromkeys(body.categories)),
        span=span,
        sealed_until=body.sealed_until,
        evidence=Evidence(**dict(body.evidence)),
        given=body.given,
    )


def own_view(shown: ShownDisclosure) -> OwnDisclosureView:
    return OwnDisclosureView(**_said(shown))


def view(shown: ShownDisclosure) -> DisclosureView:
    one = shown.disclosure
    return DisclosureView(
        **_said(shown),
        driver_id=one.driver_id,
        driver_name=shown.driver_name,
        state=one.state,
        second_person=one.ground in TWO_PERSONS,
        told_at=one.told_at,
    )


def _said(shown: ShownDisclosure) -> dict[str, Any]:
    one = shown.disclosure
    span = one.span
    return {
        "disclosure_id": one.disclosure_id,
        "ground": one.ground,
        "categories": list(one.categories),
        "span": None if span is None else SpanWire(since=span.since, until=span.until),
        "sealed_until": one.sealed_until,
        "evidence": EvidenceWire.model_validate(shown.evidence),
        "given": shown.given,
        "recorded_at": one.recorded_at,
        "recorded_by": shown.recorded_by,
        "decided_at": one.decided_at,
        "decided_by": shown.decided_by,
        "files": [_file_view(made) for made in shown.files],
    }


def _file_view(made: MadeFile) -> FileView:
    return FileView(
        file_id=made.file_id,
        format=made.format,
        positions=made.positions,
        size_bytes=made.size_bytes,
        sha256=made.sha256.hex(),
        made_at=made.made_at,
    )
