"""Importing routes over HTTP: the template, and what comes back filled in."""

import asyncio
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Annotated, Final
from uuid import UUID

from aiohttp import web
from pydantic import FailFast, Field, TypeAdapter, ValidationError

from server.accounts.model import Locale
from server.credentials.access import CALLER, VAULT, staff
from server.credentials.model import Scope
from server.kit.api import LONG_BYTES, Media, endpoint, validated
from server.kit.body import read_file, read_json, refuse_doubled_keys
from server.kit.downloads import attachment
from server.kit.ids import uuid7
from server.kit.web import COMPANY, now, transaction
from server.kit.wire import Instant, Wire
from server.roads.web import roads
from server.route_imports import reading, service, sheet
from server.route_imports.layout import laid_out
from server.route_imports.model import (
    FAULTS_SHOWN_MAX,
    ROUTES_MAX,
    Column,
    FaultKind,
    LaidOut,
    RouteFault,
    RouteImportDiffers,
    RouteImportRefused,
    Sheet,
    SheetFault,
)
from server.route_imports.reading import ImportsBusy, SheetTooLarge, SheetUnreadable
from server.route_imports.service import Imported, Named, Setting
from server.route_imports.template import EXAMPLES, HEADERS, header, sentence, template
from server.routes.model import LineSource, NewRoute
from server.routes.wire import RoutePlan, new_route

XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
FILE_BYTES_MAX: Final = sheet.FILE_BYTES_MAX
FILE: Final = Media(content_type=XLSX, schema={"type": "string", "maxLength": FILE_BYTES_MAX})

_MEMBERS: Final[Mapping[str, Column]] = {
    "date": Column.DATE,
    "planned_start": Column.START,
    "driver_id": Column.DRIVER,
    "vehicle_id": Column.VEHICLE,
    "stops": Column.ROUTE,
    "lat": Column.LAT,
    "lon": Column.LON,
    "radius_m": Column.RADIUS,
    "service_s": Column.SERVICE,
    "planned_arrival": Column.ARRIVAL,
    "window_start": Column.WINDOW_FROM,
    "window_end": Column.WINDOW_TO,
    "reference": Column.REFERENCE,
    "contact/name": Column.CONTACT,
    "contact/phone": Column.PHONE,
}
_KINDS: Final[Mapping[str, FaultKind]] = {
    "missing": FaultKind.MISSING,
    "string_too_short": FaultKind.MISSING,
    "string_too_long": FaultKind.TOO_LONG,
    "string_pattern_mismatch": FaultKind.UNSAFE_TEXT,
    "value_error": FaultKind.UNSAFE_TEXT,
    "national_id": FaultKind.NATIONAL_ID,
    "phone_unreadable": FaultKind.PHONE,
    "greater_than_equal": FaultKind.OUT_OF_RANGE,
    "less_than_equal": FaultKind.OUT_OF_RANGE,
    "too_long": FaultKind.TOO_MANY_STOPS,
}


class RouteImport(Wire):
    # Of the first route that does not fit, all faults are named; of all there could be a million.
    routes: Annotated[list[RoutePlan], FailFast()] = Field(min_length=1, max_length=ROUTES_MAX)


_IMPORT: Final = TypeAdapter(RouteImport)
_PLAN: Final = TypeAdapter(RoutePlan)


class TemplateQuery(Wire):
    language: Locale | None = Field(None, description="Without it: the caller's own.")


class ImportQuery(TemplateQuery):
    dry_run: bool = Field(default=False, description="Show what would be made, and make nothing.")
    import_id: UUID | None = Field(
        None, description="Made by the client; the same again is answered as before."
    )


class ImportedRoute(Wire):
    route_id: UUID | None = Field(description="Null in a dry run.")
    name: str
    date: date
    starts_at: Instant
    ends_at: Instant
    driver_id: UUID | None
    vehicle_id: UUID | None
    stop_count: int
    planned_m: float
    line_source: LineSource = Field(
        description="`straight`: it came without a line, and no router drew one."
    )


class RouteImportView(Wire):
    import_id: UUID | None
    stored: bool
    repeated: bool
    """It was stored by an earlier request with this ``import_id``; these routes are left."""
    routes: list[ImportedRoute]


@endpoint(
    "GET",
    "/v1/route-imports/template.xlsx",
    access=staff(Scope.ROUTES_WRITE),
    media=(Media(content_type=XLSX),),
)
async def get_import_template(request: web.Request, query: TemplateQuery) -> web.StreamResponse:
    """Download the workbook to fill in with routes.

    It has the headers in the language asked for, a row for example, which is not imported, and a
    sheet that says how each column is filled in.
    """
    known = await _setting(request, query)
    today = now(request).astimezone(known.zone).date()
    body = await asyncio.to_thread(template, known.language, zone=known.zone.key, today=today)
    return web.Response(
        body=body,
        content_type=XLSX,
        headers={
            "Cache-Control": "no-store",
            "Content-Disposition": attachment(f"routes_{known.language.value}.xlsx"),
        },
    )


@endpoint(
    "POST",
    "/v1/route-imports",
    access=staff(Scope.ROUTES_WRITE),
    raw_body=RouteImport,
    takes=(FILE,),
    raises=(
        SheetUnreadable,
        SheetTooLarge,
        ImportsBusy,
        RouteImportRefused,
        RouteImportDiffers,
    ),
    body_bytes_max=FILE_BYTES_MAX,
)
async def import_routes(request: web.Request, query: ImportQuery) -> RouteImportView:
    """Plan many routes at once, from a workbook or from JSON: all of them, or none.

    Where something does not fit, nothing is stored and `faults` names each place: of a workbook
    its sheet, row and column, of JSON its path, each with a sentence in the caller's language.
    """
    asked = await _asked(request, query)
    if asked.before is not None:
        return _view(asked.before, import_id=query.import_id, repeated=True)
    plans, faults = asked.plans, asked.faults
    drafts, unmeasured = await service.drafted(plans)
    faults += unmeasured
    if not faults:
        drafts = await service.on_roads(request[COMPANY], drafts, roads(request))
    async with transaction(request) as conn:
        heads, unplaced = await service.outlined(conn, request[COMPANY], drafts)
        if faults or unplaced or asked.sheet_faults:
            raise await asyncio.to_thread(_refusal, [*faults, *unplaced], asked)
        made = [(heads[place], drafts[place]) for place in sorted(heads)]
        if query.dry_run:
            return _view([service.outline(*one) for one in made], import_id=None)
        import_id = query.import_id or uuid7()
        stored = await service.carry_out(
            conn,
            request.app[VAULT],
            request[COMPANY],
            import_id,
            asked.digest,
            made,
            now=now(request),
        )
        if stored is not None:
            return _view(stored, import_id=import_id)
        before = await service.repeated(
            conn, request.app[VAULT], request[COMPANY], import_id, asked.digest
        )
    return _view(before or [], import_id=import_id, repeated=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What an import asks for, and where in it that stands."""

    language: Locale
    digest: bytes
    before: list[Imported] | None = None
    """What an earlier request with this id had stored; then nothing else is looked at."""
    plans: Mapping[int, NewRoute] = field(default_factory=dict)
    """By their places in the import; those with faults are not among them."""
    faults: list[RouteFault] = field(default_factory=list)
    sheet: Sheet | None = None
    laid: Sequence[LaidOut] = ()
    sheet_faults: Sequence[SheetFault] = ()


async def _asked(request: web.Request, query: ImportQuery) -> _Asked:
    vault, company_id = request.app[VAULT], request[COMPANY]
    is_sheet = request.content_type == XLSX
    if is_sheet:
        raw = await read_file(request, content_type=XLSX, bytes_max=FILE_BYTES_MAX)
    else:
        raw = await read_json(request, bytes_max=FILE_BYTES_MAX)
    digest = hashlib.sha256(raw).digest()
    known = await _setting(request, query)
    if query.import_id is not None and not query.dry_run:
        async with transaction(request, readonly=True) as conn:
            before = await service.repeated(conn, vault, company_id, query.import_id, digest)
        if before is not None:
            return _Asked(language=known.language, digest=digest, before=before)
    if not is_sheet:
        if len(raw) <= LONG_BYTES:
            plans = await asyncio.to_thread(_of_body, raw)
        else:
            async with reading.turn(company_id):
                plans = await asyncio.to_thread(_of_body, raw)
        return _Asked(language=known.language, digest=digest, plans=plans)
    found = await reading.read(company_id, raw)
    laid, sheet_faults = await asyncio.to_thread(
        laid_out, found, headers=HEADERS, examples=EXAMPLES, zone=known.zone
    )
    async with transaction(request, readonly=True) as conn:
        named = await service.named(conn, vault, company_id, laid)
    plans, faults = await asyncio.to_thread(_plans, laid, named)
    return _Asked(
        language=known.language,
        digest=digest,
        plans=plans,
        faults=faults,
        sheet=found,
        laid=laid,
        sheet_faults=sheet_faults,
    )


async def _setting(request: web.Request, query: TemplateQuery) -> Setting:
    async with transaction(request, readonly=True) as conn:
        return await service.setting(
            conn,
            request.app[VAULT],
            request[COMPANY],
            request[CALLER].member_id,
            query.language,
        )


def _of_body(raw: bytes) -> dict[int, NewRoute]:
    """Return the routes of JSON. Up to 100,000 stops take their time: it belongs in a thread."""
    refuse_doubled_keys(raw)
    body: RouteImport = validated(_IMPORT, raw)
    return {place: new_route(plan) for place, plan in enumerate(body.routes)}


def _plans(laid: Sequence[LaidOut], named: Named) -> tuple[dict[int, NewRoute], list[RouteFault]]:
    """Check the routes of a workbook by the very rules of ``POST /v1/routes``."""
    plans = {}
    faults = []
    for place, one in enumerate(laid):
        driver_id = None if one.driver is None else named.drivers.get(one.driver)
        vehicle_id = None if one.vehicle is None else named.vehicles.get(one.vehicle)
        found = [
            RouteFault(route=place, stop=None, member=member, kind=kind)
            for member, kind, is_unknown in (
                ("driver_id", FaultKind.DRIVER_UNKNOWN, one.driver and driver_id is None),
                ("vehicle_id", FaultKind.VEHICLE_UNKNOWN, one.vehicle and vehicle_id is None),
            )
            if is_unknown
        ]
        try:
            plan = _PLAN.validate_python(
                {**one.plan, "driver_id": driver_id, "vehicle_id": vehicle_id}
            )
        except ValidationError as error:
            found += _faults(place, error)
        else:
            if not found:
                plans[place] = new_route(plan)
        faults += found
    return plans, faults


def _faults(route: int, error: ValidationError) -> Iterable[RouteFault]:
    for found in error.errors(include_input=False, include_url=False, include_context=False):
        loc = found["loc"]
        stop = loc[1] if loc[0] == "stops" and len(loc) > 1 else None
        kind = _KINDS.get(found["type"], FaultKind.UNFIT)
        yield RouteFault(
            route=route,
            stop=stop if isinstance(stop, int) else None,
            member="/".join(map(str, loc if stop is None else loc[2:])),
            kind=kind,
        )


def _refusal(faults: Sequence[RouteFault], asked: _Asked) -> RouteImportRefused:
    """Return what is told of an import that does not fit; each cell may be a fault."""
    if asked.sheet is None:
        told = [_of_json(one, asked.language) for one in faults[:FAULTS_SHOWN_MAX]]
        return RouteImportRefused(told, total=len(faults))
    by_place = {(one.row, one.column): one for one in reversed(_of_rows(faults, asked))}
    rows = sorted(by_place.values(), key=lambda one: one.row)
    shown = [_of_sheet(one, asked.sheet, asked.language) for one in rows[:FAULTS_SHOWN_MAX]]
    return RouteImportRefused(shown, total=len(rows))


def _of_rows(faults: Iterable[RouteFault], asked: _Asked) -> list[SheetFault]:
    """Return all faults by their rows, those found first at the front: others follow from them."""
    located = [
        SheetFault(
            row=asked.laid[one.route].rows[one.stop or 0], column=_column(one), kind=one.kind
        )
        for one in faults
    ]
    return [*asked.sheet_faults, *located]


def _column(fault: RouteFault) -> Column | None:
    if fault.member == "name":
        return Column.ROUTE if fault.stop is None else Column.STOP
    return _MEMBERS.get(fault.member)


def _of_json(fault: RouteFault, language: Locale) -> dict[str, object]:
    stop = "" if fault.stop is None else f"/stops/{fault.stop}"
    member = f"/{fault.member}" if fault.member else ""
    return {
        "path": f"/routes/{fault.route}{stop}{member}",
        "code": fault.kind.value,
        "message": sentence(fault.kind, language),
    }


def _of_sheet(fault: SheetFault, found: Sheet, language: Locale) -> dict[str, object]:
    column = fault.column
    return {
        "sheet": found.name,
        "row": fault.row,
        "column": None if column is None else header(column, language),
        "field": None if column is None else column.value,
        "code": fault.kind.value,
        "message": sentence(fault.kind, language),
    }


def _view(
    routes: Sequence[Imported], *, import_id: UUID | None, repeated: bool = False
) -> RouteImportView:
    """Return the routes of an import; without an id nothing was stored."""
    stored = import_id is not None
    return RouteImportView(
        import_id=import_id,
        stored=stored,
        repeated=repeated,
        routes=[_imported(one, one.head.route_id if stored else None) for one in routes],
    )


def _imported(one: Imported, route_id: UUID | None) -> ImportedRoute:
    head = one.head
    return ImportedRoute(
        route_id=route_id,
        name=one.name,
        date=head.date,
        starts_at=head.starts_at,
        ends_at=head.ends_at,
        driver_id=head.driver_id,
        vehicle_id=head.vehicle_id,
        stop_count=head.stop_count,
        planned_m=head.planned_m,
        line_source=one.line_source,
    )


ENDPOINTS: Final = (get_import_template, import_routes)
