"""A package holds every column of which the comment says so, and nothing of anybody else."""

from server.export_files.model import TABLES
from server.person_requests import service as person_requests
from tests.exports.canaries import (
    ABSENT,
    IN_FILES,
    SELF,
    WITHIN,
    Cell,
    cells,
    exported,
    missing,
)
from tests.exports.made import Opened, asked, content, files, make, stored, tables
from tests.exports.rich import STOP, rich
from tests.http import Clock
from tests.world import World


def text_of(opened: Opened) -> str:
    """Return everything that a person or a program could read in it."""
    from tests.exports.sheets import cells_of  # noqa: PLC0415 - openpyxl, once it is needed

    texts = [data.decode() for name, data in opened.items() if not name.endswith(".xlsx")]
    return "\n".join([*texts, *cells_of(opened["my-data.xlsx"])])


async def test_every_exported_column_of_one_driver_is_in_their_package(world: World) -> None:
    ours, theirs = await rich(world, 1), await rich(world, 2)

    clock = Clock()
    export_id = await asked(world, ours.person.driver_id, clock)
    wanted = await cells(world, ours.person.driver_id)

    assert await make(world, export_id, clock)

    opened = files(await content(world, await stored(world, export_id)))
    told = tables(opened)
    assert missing(wanted, told) == []
    track = opened["track/track.csv"].decode()
    assert track.count("\r\n") == 4  # a head and three positions
    everything = text_of(opened)
    assert [one for one in ours.canaries if one not in everything] == []
    # Nothing of another driver, and nothing of a customer.
    assert [one for one in theirs.canaries if one in everything] == []
    assert STOP not in everything
    _control(wanted, told)


def _control(wanted: list[Cell], told: dict[str, list[dict[str, object]]]) -> None:
    """Leave out one table after the other, and one column after the other: each is missed."""
    for table in {cell.table for cell in wanted}:
        without = {name: rows for name, rows in told.items() if name != table}
        assert any(cell.table == table for cell in wanted)
        assert missing(wanted, without), table
    for cell in wanted:
        rows = [
            {name: value for name, value in row.items() if name != cell.name}
            for row in told[cell.table]
        ]
        assert str(cell) in missing([cell], {**told, cell.table: rows})


async def test_every_table_with_an_exported_column_is_one_of_the_package(world: World) -> None:
    named = {
        WITHIN.get(one.column.table, one.column.table)
        for one in await exported(world.owner)
        if str(one.column).split(": ")[1] not in SELF
    }

    assert named - ABSENT.keys() == TABLES.keys()
    assert all(name.startswith("chunk.") for name in IN_FILES)


def test_requests_past_the_api_are_opened_as_they_are_sealed() -> None:
    sealed = TABLES["person_request"].sealed

    assert {column: one.schema for column, one in sealed.items()} == {
        "said_sealed": person_requests.SAID_SCHEMA,
        "evidence_sealed": person_requests.EVIDENCE_SCHEMA,
        "answer_sealed": person_requests.ANSWER_SCHEMA,
    }
