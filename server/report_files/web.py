"""A report as a file, over HTTP."""

from collections.abc import Callable, Mapping
from typing import Final
from uuid import UUID

from aiohttp import web
from pydantic import Field

from server.accounts import service as accounts
from server.accounts.model import Company, Locale
from server.credentials.access import VAULT, staff
from server.credentials.model import Scope
from server.credentials.viewers import viewer
from server.gate import handover
from server.gate.drawing import Turns, in_thread
from server.gate.handover import Drawn, ReadsBusy
from server.kit.api import Media, endpoint
from server.kit.downloads import attachment
from server.kit.web import COMPANY, now, transaction
from server.kit.wire import Wire
from server.reads.model import ReadPurpose, Screen
from server.report_files import lines, pdf, sheets
from server.report_files.model import (
    CONTENT_TYPES,
    FileFormat,
    PdfNotInstalled,
    PdfNotMade,
    Subject,
)
from server.reports import drawing
from server.reports import service as reports
from server.reports.model import PLAN_VERSION_MAX
from server.reports.service import Gathered
from server.reports.wire import PlanFactView
from server.routes import service as routes
from server.routes.model import PlanVersionNotFound, RouteNotFound
from server.tracking.model import TrackTooLong

# Setting a PDF keeps a core busy for about a second: nobody's map waits behind one.
_setting: Final = Turns(1, waiting_max=8, company_max=4)


def _json(subject: Subject) -> bytes:
    return subject.report.model_dump_json().encode()


_WRITERS: Final[Mapping[FileFormat, Callable[[Subject], bytes]]] = {
    FileFormat.JSON: _json,
    FileFormat.GEOJSON: lines.geojson,
    FileFormat.GPX: lines.gpx,
    FileFormat.CSV: sheets.csv_of_stops,
    FileFormat.XLSX: sheets.xlsx,
}


class FileQuery(Wire):
    format: FileFormat = FileFormat.JSON
    language: Locale = Locale.RU
    """Of the words in CSV, XLSX and PDF, and of their numbers."""
    plan_version: int | None = Field(
        None,
        ge=1,
        le=PLAN_VERSION_MAX,
        strict=False,
        description="An earlier version of the plan; the present one if absent.",
    )


def _schema(kind: FileFormat) -> dict[str, str]:
    return {"type": "object" if kind is FileFormat.GEOJSON else "string"}


@endpoint(
    "GET",
    "/v1/routes/{route_id}/plan-fact/file",
    access=staff(Scope.TRACKS_READ),
    answer=PlanFactView,
    media=tuple(
        Media(content_type=CONTENT_TYPES[kind], schema=_schema(kind))
        for kind in FileFormat
        if kind is not FileFormat.JSON
    ),
    raises=(
        RouteNotFound,
        PlanVersionNotFound,
        TrackTooLong,
        ReadsBusy,
        PdfNotInstalled,
        PdfNotMade,
    ),
    purposes=(ReadPurpose.PLAN_FACT,),
)
async def get_plan_fact_file(
    request: web.Request, *, route_id: UUID, query: FileQuery
) -> web.StreamResponse:
    """Read the report of a route as a file: JSON, GeoJSON, GPX, CSV, XLSX or PDF.

    What stands in it is what `GET /v1/routes/{route_id}/plan-fact` answers at that moment, for the
    same purpose. It is made while it is asked for and never stored; the driver is told that it
    was a file. Times that people read are in the company's zone, which the file names.
    """
    if query.format is FileFormat.PDF:
        pdf.refuse_where_not_installed()

    async def draw() -> Drawn:
        async with transaction(request, readonly=True) as conn:
            company = await accounts.company(conn, request[COMPANY])
            found = await reports.gather(
                conn,
                request.app[VAULT],
                request[COMPANY],
                route_id,
                plan_version=query.plan_version,
                now=now(request),
            )
        # The connection is back by here: uploads and withdrawals wait for no file.
        subject = await in_thread(_subject, found, company, query.language)
        availability = subject.report.availability
        return Drawn(
            body=await _written(subject, query.format),
            content_type=CONTENT_TYPES[query.format],
            headers={"Content-Disposition": attachment(subject.file_name(query.format))},
            gate=found.fence(availability),
            refused=found.refused(availability),
        )

    seen = handover.viewing(request, viewer(request), ReadPurpose.PLAN_FACT, Screen.EXPORT)
    turns = _setting if query.format is FileFormat.PDF else None
    return await handover.answer(request, seen, draw, turns=turns)


def _subject(found: Gathered, company: Company, language: Locale) -> Subject:
    return Subject(
        report=drawing.view(found),
        route=routes.opened(found.route),
        company=company.name,
        language=language,
    )


async def _written(subject: Subject, kind: FileFormat) -> bytes:
    if kind is FileFormat.PDF:
        return await pdf.pdf(await in_thread(pdf.content, subject))
    return await in_thread(_WRITERS[kind], subject)


ENDPOINTS: Final = (get_plan_fact_file,)
