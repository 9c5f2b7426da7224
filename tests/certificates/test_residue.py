"""What a certificate says that copies of before still give away, and to whom."""

import hashlib
import json
from pathlib import Path
from typing import Final

import pytest

from server.certificates import model, verification
from server.certificates.model import IN_CLEAR
from server.certificates.model import said as certified
from server.kek.model import Keeping
from tests.certificates.conftest import Exchange, Issue, erased
from tests.erasure.person import add_person, traces
from tests.erasure.test_saga import LATER
from tests.world import World


@pytest.mark.parametrize(
    ("kept_in", "said"),
    [
        ([Keeping.FILE], (True, False)),
        # It may have been moved there: copies of the file and dumps of that time open all the same.
        ([Keeping.TRANSIT], (True, True)),
        ([Keeping.FILE, Keeping.TRANSIT], (True, True)),
    ],
)
async def test_it_says_which_copies_of_the_kek_are_out_of_reach(
    world: World, kept_in: list[Keeping], said: tuple[bool, bool]
) -> None:
    request = await erased(world, await add_person(world))

    made = certified(
        world.company_id, request, [], None, backups_unreadable_at=LATER, kept_in=kept_in
    )

    residue = " ".join(one["what"] for one in made["residue"])
    assert ("copies of the KEK's file" in residue, "snapshots of OpenBao" in residue) == said


CLEAR: Final = """
    SELECT c.relname || '.' || a.attname AS name, col_description(c.oid, a.attnum) AS map
      FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
     WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
       AND col_description(c.oid, a.attnum) LIKE '%form=clear%'
       AND col_description(c.oid, a.attnum) ~ 'class=personal/.* eraser=(erase|end)_'
"""


async def test_it_says_of_every_kind_what_old_copies_of_main_hold_in_clear(world: World) -> None:
    """By the data map: each kind that is unsealed until the person is erased."""
    rows = await world.owner.fetch(CLEAR)

    kinds = {row["map"].split("class=personal/")[1].split()[0] for row in rows}

    assert {"consent_record.nonce", "ledger_subject.pseudonym", "shift.started_at"} <= {
        row["name"] for row in rows
    }
    assert kinds == IN_CLEAR.keys()


async def test_an_old_copy_of_main_alone_opens_commitments_and_knows_the_pseudonym_as_is_told(
    world: World, exchange: Exchange, issue: Issue, tmp_path: Path
) -> None:
    person = await add_person(world)
    records = await world.owner.fetch(
        "SELECT nonce, record FROM consent_record WHERE driver_id = $1", person.driver_id
    )

    await erased(world, person)
    await exchange()
    await issue(world)

    # What the thief has: rows of before, and no key at all.
    rows = await world.owner.fetch("SELECT commitment FROM consent_commitment")
    opened = {hashlib.sha256(one["nonce"] + one["record"].encode()).digest() for one in records}
    assert opened & {row["commitment"] for row in rows}
    assert await world.owner.fetchval(
        "SELECT count(*) FROM ledger_entry WHERE subject_id = $1", person.pseudonym
    )
    made = json.loads(await world.owner.fetchval("SELECT document FROM erasure_certificate"))
    told = next(one for one in made["residue"] if "kinds" in one)
    assert "copies of the database main from before erased_at" in told["what"]
    assert "opens their commitments" in told["kinds"]["consent"]
    assert "pseudonym" in told["kinds"]["ledger"]
    assert traces(person, json.dumps(made)) == []
    for claim in ("points to nobody", "only their receipt"):
        assert claim not in json.dumps(made)
    file = tmp_path / "certificate.json"
    file.write_text(json.dumps(made))
    said = verification.verify_certificate(file, None)
    assert any(one.startswith("It can still be read: what was never sealed") for one in said)
    assert f"- work: {IN_CLEAR['work']}." in said
    # And of all else that nobody can take back: each by itself.
    for residue in made["residue"]:
        assert any(residue["what"] in one and residue["until"] in one for one in said)
    assert any("copies of the KEK's file" in one for one in said)


async def test_of_a_certificate_that_says_nothing_of_old_copies_of_main_the_command_does(
    world: World,
    exchange: Exchange,
    issue: Issue,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(model, "RESIDUE", [one for one in model.RESIDUE if "kinds" not in one])
    await erased(world, await add_person(world))
    await exchange()
    await issue(world)

    file = tmp_path / "certificate.json"
    file.write_text(await world.owner.fetchval("SELECT document FROM erasure_certificate"))
    said = verification.verify_certificate(file, None)

    assert any(one.startswith("What was never sealed can still be read") for one in said)
