"""Proof: who was erased is read by nobody, whatever old copies and whichever keys they have.

People live on a real PostgreSQL with a trace in every table that can hold one. Both databases are
copied, one person is erased, all keys above persons' own are exchanged; then a thief with the old
copies and every key that is alive tries to read them. Each guard is left out in turn, and then the
thief must succeed, or the proof proves nothing. Whoever was not erased is read as before, from the
same old copy: that is disaster recovery.

An erasure is also killed at each place of its way, and each of its operations fails in turn. It is
timed, as are the exchange of many keys and the backup and restore of a large database.
"""

import json
import os
import tempfile
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Final, TypeAlias
from unittest.mock import patch
from uuid import UUID

from server.certificates import verification
from server.erasure.model import Step
from server.kek.key_file import KeyFile, load
from server.kek.model import Bound, Kek
from server.kit import db
from server.rekeying import service as rekeying
from server.vault.opening import open_vault
from server.vault.service import Vault, peppers
from server.vault.wrapping import PEPPER_AAD, company_aad
from tests.erasure.person import Person, add_person, everything, opened, sql_dump, traces
from tests.erasure_proof import copies, kills, nth, timed
from tests.erasure_proof import traces as disk
from tests.erasure_proof.copies import Copies, Dumps
from tests.erasure_proof.rows import everything_of, nothing, zero
from tests.erasure_proof.scene import Scene, scene
from tests.faults import scene as faulty
from tests.faults.nth import FAILURES, each_fails
from tests.proofs import Progress, Report, Row
from tests.rekeying.attacker import copied, peppers_opened
from tests.stage import Place

Guard: TypeAlias = Callable[[Scene], AbstractAsyncContextManager[str]]
"""Exchanges without one of its parts; gives its name."""
OPERATIONS_MAX: Final = 2_000
"""Of one erasure: it looks into every table, twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much is done."""

    whole_disk: bool
    """The cluster is the proof's own: its WAL, and a base backup, are looked at as well."""
    places: tuple[str, ...]
    """Where the process that erases is killed."""
    failures: tuple[str, ...]
    step: int
    """Each so many-th operation of an erasure fails, which looks into every table twice."""
    certificate_step: int
    positions: int
    erasures: int
    """So many drivers with so many positions are erased, one after the other."""
    keys: int
    database_bytes: int
    """Of ``main``, at least, when it is backed up and restored."""
    is_timed: bool


SIZES: Final = {
    "smoke": Sizes(
        whole_disk=False,
        places=(f"{Step.DESTROY_KEYS}.worked",),
        failures=("link cut after the commit, and stays away",),
        step=400,
        certificate_step=20,
        positions=12_000,
        erasures=1,
        keys=500,
        database_bytes=5_000_000,
        is_timed=False,
    ),
    "full": Sizes(
        whole_disk=True,
        places=kills.PLACES,
        failures=tuple(one.name for one in FAILURES),
        step=13,
        certificate_step=1,
        positions=1_000_000,
        erasures=5,
        keys=20_000,
        database_bytes=1_000_000_000,
        is_timed=True,
    ),
}


async def prove(place: Place, sizes: Sizes) -> Report:
    """Run everything; every row that may fail says whether it is met."""
    report = Report(name="erasure")
    with tempfile.TemporaryDirectory(prefix="jolda-erasure-") as name:
        folder = Path(name)
        os.chmod(folder, 0o755)  # noqa: PTH101, S103 - the database's user has to get in
        async with scene(place) as at:
            await _old_copies(report, at, sizes, folder)
            await timed.serving(at, report)
            for control in (_kek_alone, _company_key_alone):
                await _control(report, at, folder, control)
            if sizes.whole_disk:
                await _base_backup(report, at, folder)
            await _kills(report, at, sizes)
            await timed.erasures(
                at,
                report,
                positions=sizes.positions,
                times_of=sizes.erasures,
                is_timed=sizes.is_timed,
            )
            await timed.exchange(at, report, keys=sizes.keys, is_timed=sizes.is_timed)
        await _failures(report, place, sizes)
        async with scene(place) as at:
            # Last: whoever looks into every row would look into these as well.
            await timed.recovery(
                at, report, bytes_min=sizes.database_bytes, is_timed=sizes.is_timed
            )
    return report


# ---- old dumps


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """Somebody, and what was there of them before they were erased."""

    person: Person
    dumps: Dumps
    on_disk: set[bytes]
    """What stood in clear in the files of the database."""


async def _old_copies(report: Report, at: Scene, sizes: Sizes, folder: Path) -> None:
    """Erase one of three people: the second lives on, the third is the same human elsewhere."""
    person = await at.person()
    elsewhere = await at.neighbour()
    human = await add_person(elsewhere, at.persons)
    other = await at.person()
    before = len(traces(person, await sql_dump(at.place.main)))
    clear = [one.encode() for one in person.canaries]
    files = await disk.data_files(at.owner, whole=sizes.whole_disk)
    on_disk = disk.found(files, clear)
    dumps = await copies.dump(at, folder)
    old_peppers = await copied(at.keys_owner)
    async with copies.restored(at, dumps) as old:
        gone = {person.driver_id}
        there = await copies.opens(old, await copies.thief(at, old), person)
        report.add(
            everything_of("control: sealed values opened while the person is there", there, person)
        )
        request = await at.erase(person.driver_id)
        kept = await copies.opens(old, await copies.thief(at, old), person)
        report.add(everything_of("control: rows and keys deleted, nothing exchanged", kept, person))
        hashes = len(await peppers_opened(old_peppers, at.keys_owner, at.keks))
        await at.exchange()
        after = await copies.opens(old, await copies.thief(at, old), person)
        report.add(nothing("old dumps of both databases and all live keys", after))
        found = await peppers_opened(old_peppers, at.keys_owner, at.keks)
        live = await at.keks.in_force((await peppers(at.keys_owner))[0].kek_id)
        report.add(
            zero(
                "peppers of the log-in index out of the old dump",
                len(found) - len(await _peppers_in_use(at, live)),
                control=hashes,
            )
        )
        await _living(report, at, old, gone, folder)
    rows = await everything(at.owner)
    left = traces(person, "\n".join(row for table in rows.values() for row in table))
    left += traces(person, await sql_dump(at.place.main) + await sql_dump(at.place.keys))
    report.add(zero("traces in all tables and new dumps", len(left), control=before))
    await _in_clear(report, at, sizes, folder, Before(person=person, dumps=dumps, on_disk=on_disk))
    await _others(report, at, person, (at.world.company_id, other), (elsewhere.company_id, human))
    issued = await at.certify()
    document = await at.owner.fetchval(
        "SELECT document FROM erasure_certificate WHERE request_id = $1", request.request_id
    )
    verification.verify(json.loads(document))
    report.add(zero("traces in the certificate", len(traces(person, document)), control=issued))


async def _in_clear(report: Report, at: Scene, sizes: Sizes, folder: Path, before: Before) -> None:
    """Look for what the person is known by and said in new and old files, as their bytes."""
    person = before.person
    clear = [one.encode() for one in person.canaries]
    new = await copies.dump(at, folder)
    async with disk.planted(at.owner) as text:
        planted = disk.found((await copies.dump(at, folder)).files, [text])
    report.add(
        zero(
            "in clear in dumps of both databases, before and after",
            len(disk.found((*before.dumps.files, *new.files), clear)),
            control=len(planted),
        )
    )
    files = await disk.data_files(at.owner, whole=sizes.whole_disk)
    found_clear = before.on_disk | disk.found(files, clear)
    where = "the data directory, WAL and log" if sizes.whole_disk else "the database's files"
    in_files = await disk.control(at.owner, whole=sizes.whole_disk)
    report.add(zero(f"in clear in {where}, before and after", len(found_clear), control=in_files))
    sealed = disk.found(files, [one[1:] for one in person.blobs])
    report.add(
        Row(
            figure=f"sealed values of the erased still in {where}",
            value=len(sealed),
            unit=f"of {len(person.blobs)}",
            note="why deleting rows is not enough, and keys are destroyed",
        )
    )


async def _others(
    report: Report,
    at: Scene,
    gone: Person,
    beside: tuple[UUID, Person],
    elsewhere: tuple[UUID, Person],
) -> None:
    """Read who was not erased, with a vault that has read none of their keys."""
    vault = await _fresh_vault(at)
    lost = [*await opened(vault, at.world.company_id, gone)].count(None)
    for figure, (company_id, one) in (
        ("texts of the same human in another company that are lost", elsewhere),
        ("texts of others in the same company that are lost", beside),
    ):
        texts = await opened(vault, company_id, one)
        read = "\n".join(map(str, texts))
        unread = texts.count(None) + sum(canary not in read for canary in one.canaries)
        note = "control: of the erased"
        report.add(zero(figure, unread, unit=f"of {len(texts)}", control=lost, note=note))


async def _fresh_vault(at: Scene) -> Vault:
    """Return a vault that holds nobody's key in memory yet, as after a start."""
    return await open_vault(at.keys_pool, load(at.place.kek), at.at)


async def _peppers_in_use(at: Scene, kek: Kek) -> set[bytes]:
    found = await peppers(at.keys_owner)
    return set(await kek.unwrap([Bound(one.wrapped, PEPPER_AAD) for one in found]))


async def _living(report: Report, at: Scene, old: Copies, gone: set[UUID], folder: Path) -> None:
    """Read everybody else from the old ``main``: with today's keys, and with their newest dump."""
    wanted = await copies.living(old.keys, gone)
    company_ids = [row["company_id"] for row in await at.owner.fetch("SELECT * FROM company")]
    everybody = await copies.living(old.keys, ())
    sealed = await copies.sealed_with(old.main)
    values = [one for one in sealed if one in wanted]
    of_gone = [one for one in sealed if one in everybody - wanted]
    vault = await _fresh_vault(at)
    today = {key for one in company_ids for key in await vault.keys(one, everybody)}
    report.add(
        zero(
            "of the living unreadable: old dump of main, today's keys",
            sum(one not in today for one in values),
            unit=f"of {len(values)} values",
            control=sum(one not in today for one in of_gone),
            note="control: those of the erased",
        )
    )
    async with (
        copies.restored(at, await copies.dump(at, folder)) as newest,
        db.pool(newest.keys_dsn, role=db.ROLE_KEYS, size_max=2) as pool,
    ):
        vault = await open_vault(pool, load(at.place.kek), at.at)
        restored = {key for one in company_ids for key in await vault.keys(one, everybody)}
    report.add(
        zero(
            "of the living unreadable: old dump of main, newest dump of keys, the KEK",
            sum(one not in restored for one in values),
            unit=f"of {len(values)} values",
            control=sum(one not in restored for one in of_gone),
            note="control: those of the erased",
        )
    )


# ---- guards left out


@asynccontextmanager
async def _kek_alone(at: Scene) -> AsyncGenerator[str]:
    kek = await at.keks.in_force((await peppers(at.keys_owner))[0].kek_id)
    rows = await at.keys_owner.fetch("SELECT * FROM company_key ORDER BY company_id")
    same = iter(
        await kek.unwrap([Bound(row["wrapped"], company_aad(row["company_id"])) for row in rows])
    )
    drawn = SimpleNamespace(token_bytes=lambda _bytes: next(same))
    with patch.object(rekeying, "secrets", drawn):
        yield "control: only the KEK exchanged"


@asynccontextmanager
async def _company_key_alone(at: Scene) -> AsyncGenerator[str]:
    kek = await at.keks.in_force((await peppers(at.keys_owner))[0].kek_id)

    async def the_same(_keks: KeyFile) -> Kek:
        return kek

    with patch.object(KeyFile, "follow", the_same):
        yield "control: only the companies' keys exchanged"


async def _control(report: Report, at: Scene, folder: Path, without: Guard) -> None:
    person = await at.person()
    dumps = await copies.dump(at, folder)
    await at.erase(person.driver_id)
    async with without(at) as name:
        await at.exchange()
    async with copies.restored(at, dumps) as old:
        found = await copies.opens(old, await copies.thief(at, old), person)
    report.add(everything_of(name, found, person))


# ---- a base backup and the WAL since


async def _base_backup(report: Report, at: Scene, folder: Path) -> None:
    """Let the person come after the backup: all of them is in the WAL alone."""
    data = Path(await at.owner.fetchval("SELECT current_setting('data_directory')"))
    backup = await copies.base_backup(at, folder)
    person = await at.person()
    await at.owner.execute("SELECT pg_create_restore_point($1)", copies.TARGET)
    await at.erase(person.driver_id)
    await copies.keep_wal(at, data, backup)
    async with copies.recovered(data, backup) as old:
        kept = await copies.opens(old, await copies.thief(at, old), person)
        report.add(everything_of("control: base backup and WAL, nothing exchanged", kept, person))
        await at.exchange()
        after = await copies.opens(old, await copies.thief(at, old), person)
    report.add(nothing("base backup, WAL and all live keys", after))


# ---- kills, failures


async def _kills(report: Report, at: Scene, sizes: Sizes) -> None:
    killed = await kills.rounds(at, sizes.places)
    report.add(
        Row(
            figure="did not go on to the same end: killed (SIGKILL) on the way",
            value=len(killed.wrong),
            unit=f"of {killed.rounds} kills",
            target="= 0",
            met=not killed.wrong and killed.rounds == len(sizes.places),
            note="; ".join(killed.wrong[:3]),
        )
    )


async def _failures(report: Report, place: Place, sizes: Sizes) -> None:
    failures = [one for one in FAILURES if one.name in sizes.failures]
    progress = Progress("failures", 2 * len(failures))
    async with faulty.scene(place) as at:
        flows = ((nth.Erasing(at), sizes.step), (nth.Certifying(at), sizes.certificate_step))
        for flow, step in flows:
            found = []
            for one in failures:
                found.append(await each_fails(at, flow, one, step=step, most=OPERATIONS_MAX))
                progress.step()
            broken = [text for one in found for text in one.broken]
            reached = max(one.operations for one in found)
            note = f"{reached} operations, one in {step}; {len(failures)} kinds of failure"
            report.add(
                Row(
                    figure=f"did not hold: an operation fails, {flow.name}",
                    value=len(broken),
                    unit=f"of {sum(one.runs for one in found)} runs",
                    target="= 0",
                    met=not broken and reached > 0,
                    note="; ".join([note, *broken[:3]]),
                )
            )
