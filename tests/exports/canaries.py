"""What stands in the rows of one driver, column by column, as the comments say that it is exported.

The rows are read as the owner of the tables, past everything of ours that reads them for a package.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import asyncpg

from server.export_files.model import plain
from tests.data_map.catalogue import Mapped, columns, read
from tests.data_map.words import NONE
from tests.world import World

ABSENT: Final = {
    "erasure_search": "is there only while the driver is erased, who can ask for nothing then",
    "consent_commitment": "is what is left of a record that was erased",
}
"""Tables of which no driver who can ask for a package has a row."""
OTHERWISE: Final[Mapping[str, str]] = {
    "plan_fact_report.sealed": "report",
    "latest_position.blob": "position",
    "guardian_consent.document_sealed": "document_reference",
    "vehicle.name": "vehicle_name",
    "vehicle.plate": "vehicle_plate",
    "location_read.viewer_id": "viewer_name",
}
"""Columns that the package calls something else."""
STAFF: Final = frozenset(
    {
        "attestation.attested_by",
        "birth_year.stated_by",
        "guardian_consent.recorded_by",
        "clarification.answered_by",
        "correction.by_member",
        "disclosure.recorded_by",
        "disclosure.decided_by",
        "disclosure_file.made_by",
        "person_request.recorded_by",
        "person_request.answered_by",
        "location_read.viewer_id",
    }
)
"""Ids of somebody of the company: the package tells their name."""
WITHIN: Final[Mapping[str, str]] = {"vehicle": "route"}
"""Tables whose columns stand in the rows of another one."""
IN_FILES: Final = frozenset({"chunk.driver_id", "chunk.last_at", "chunk.first_at", "chunk.blob"})
"""Of the track: they are looked for in its files."""
OF_THE_MAKING: Final = frozenset(
    {f"export_package.{name}" for name in ("state", "rows_done", "size_bytes", "ready_at")}
)
"""Change as the package is made."""
SELF: Final = frozenset({"location_read_set.drivers"})
"""Say of a row that it is of the driver: then it is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One value of the driver's that has to be in the package."""

    table: str
    """Under which it stands there."""
    name: str
    column: str
    value: Any
    """None: it is sealed, and something has to stand there."""

    def __str__(self) -> str:
        return f"{self.column} = {self.value!r}"


async def exported(owner: "asyncpg.Connection[asyncpg.Record]") -> list[Mapped]:
    """Return the columns of ``main`` of which the comment says that the person gets them."""
    mapped = [read(one) for one in await columns(owner, "main")]
    return [one for one in mapped if one.exporter is not None and not one.exporter.startswith(NONE)]


async def cells(world: World, driver_id: UUID) -> list[Cell]:
    """Return every value of the driver's that their package has to hold."""
    by_table: dict[str, list[Mapped]] = {}
    for one in await exported(world.owner):
        by_table.setdefault(one.column.table, []).append(one)
    found: list[Cell] = []
    for table, mapped in by_table.items():
        rows = await rows_of(world, table, driver_id)
        assert bool(rows) is (table not in ABSENT), f"{table}: {len(rows)} rows of the driver"
        names = await staff_names(world)
        found += [
            _cell(one, row[one.column.name], names)
            for one in mapped
            for row in rows
            if str(one.column).split(": ")[1] not in IN_FILES | OF_THE_MAKING | SELF
        ]
    return found


def _cell(mapped: Mapped, value: Any, names: Mapping[UUID, str]) -> Cell:
    column = f"{mapped.column.table}.{mapped.column.name}"
    if mapped.form == "sealed":
        value = None if value is None else ...
    elif column in STAFF:
        value = None if value is None else names[value]
    elif column in {"notice.facts", "consent_record.record", "ledger_entry.facts"}:
        value = ...
    else:
        value = plain(value)
    return Cell(
        table=WITHIN.get(mapped.column.table, mapped.column.table),
        name=OTHERWISE.get(column, mapped.column.name.removesuffix("_sealed")),
        column=column,
        value=value,
    )


async def rows_of(world: World, table: str, driver_id: UUID) -> list[asyncpg.Record]:
    """Return a driver's rows of a table, however it names them."""
    told = {
        "ledger_entry": "subject_id = (SELECT pseudonym FROM ledger_subject WHERE member_id = $1)",
        "location_read": "set_hash IN (SELECT set_hash FROM location_read_set"
        " WHERE (SELECT pseudonym FROM ledger_subject WHERE member_id = $1) = ANY(drivers))",
        "location_read_set": "(SELECT pseudonym FROM ledger_subject WHERE member_id = $1)"
        " = ANY(drivers)",
        "vehicle": "vehicle_id IN (SELECT vehicle_id FROM route WHERE driver_id = $1)",
        "policy_controller": "$1::uuid IS NOT NULL",
        "controller_change": "$1::uuid IS NOT NULL",
        "consent_commitment": "$1::uuid IS NULL",
        "disclosure_file": "disclosure_id IN (SELECT disclosure_id FROM disclosure"
        " WHERE driver_id = $1)",
        "erasure_search": "$1::uuid IS NULL",
    }
    names = await world.owner.fetch(
        "SELECT column_name AS name FROM information_schema.columns WHERE table_name = $1", table
    )
    whose = next(
        (one for one in ("driver_id", "member_id") if one in {row["name"] for row in names}), None
    )
    where = told.get(table) or f"{whose} = $1"
    statement = f"SELECT * FROM {table} WHERE company_id = $2 AND {where}"  # noqa: S608 - the catalogue's own names
    return await world.owner.fetch(statement, driver_id, world.company_id)


async def staff_names(world: World) -> dict[UUID, str]:
    """Return everybody's name, by their id and by how the ledger knows them."""
    from server.accounts import service as accounts  # noqa: PLC0415
    from server.kit import db  # noqa: PLC0415

    rows = await world.owner.fetch(
        "SELECT member_id, pseudonym FROM member LEFT JOIN ledger_subject USING (member_id)"
    )
    async with db.tenant(world.pool, world.company_id, readonly=True) as conn:
        names = await accounts.names(
            conn, world.vault, world.company_id, [row["member_id"] for row in rows]
        )
    return names | {row["pseudonym"]: names[row["member_id"]] for row in rows}


def missing(found: list[Cell], tables: Mapping[str, list[dict[str, Any]]]) -> list[str]:
    """Return the values that do not stand in the package under the name of their column."""
    lost = []
    for cell in found:
        there = [row[cell.name] for row in tables.get(cell.table, ()) if cell.name in row]
        is_sealed = cell.value is ...
        if not (any(one is not None for one in there) if is_sealed else cell.value in there):
            lost.append(str(cell))
    return lost
