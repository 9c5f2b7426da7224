"""The data map over HTTP: what is stored about people, where, why and until when."""

from typing import Final

from aiohttp import web
from pydantic import Field

from server.credentials.access import PUBLIC
from server.data_map.model import columns
from server.kit.api import endpoint
from server.kit.wire import Wire


class DataMapColumn(Wire):
    """One column that says something about a person."""

    database: str
    table: str
    column: str
    category: str
    purpose: str = Field(description="Why there has to be any of this category.")
    form: str = Field(description="How it is stored.")
    kept_until: str
    erased_by: str | None = Field(
        description="The step of an erasure that removes it; null: none does, and why not."
    )
    not_erased: str | None
    given_by: str | None = Field(
        description="The operation that gives it to the person; null: none does, and why not."
    )
    not_given: str | None


class PublicDataMapView(Wire):
    items: list[DataMapColumn]


@endpoint("GET", "/v1/data-map", access=PUBLIC)
async def read_public_data_map(request: web.Request) -> PublicDataMapView:  # noqa: ARG001 - every handler has one
    """Read what is stored about people, column by column. No log-in is needed, as for policies."""
    return PublicDataMapView(items=[DataMapColumn(**one) for one in columns()])


ENDPOINTS: Final = (read_public_data_map,)
