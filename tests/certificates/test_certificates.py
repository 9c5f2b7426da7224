"""The certificate of an erasure: issued once, whole, and when it is true; verified without us."""

import json
from collections.abc import AsyncIterator, Callable
from copy import deepcopy
from datetime import datetime
from pathlib import Path
from subprocess import CompletedProcess
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import pytest
import rfc8785
from aiohttp import ClientSession
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from server.audit.command import counterparts
from server.certificates import store, verification
from server.certificates.model import CATEGORIES, KIND, digest, what_it_says
from server.certificates.web import ENDPOINTS
from server.erasure.web import ENDPOINTS as ERASURE
from server.kit import db
from server.kit.wire import rfc3339
from server.ledger.documents import Document, DocumentRefused
from server.ledger.model import Entry, checkpoint_statement, link
from server.ledger.verify import verify as verify_ledger
from server.rekeying.model import SETTLES
from tests.certificates.conftest import ISSUED, Exchange, Issue, erased
from tests.erasure.person import add_person, traces
from tests.erasure.test_saga import LATER, ask, read, run
from tests.erasure.test_saga import Crash as JobCrash
from tests.http import bearer, serve
from tests.test_commands import jolda, told
from tests.world import World

if TYPE_CHECKING:
    import asyncpg


@pytest.fixture
async def client(world: World) -> AsyncIterator[ClientSession]:
    async with serve(world, ENDPOINTS, ERASURE) as opened:
        yield opened


@pytest.fixture
async def certificate(world: World, exchange: Exchange, issue: Issue) -> Document:
    await erased(world, await add_person(world))
    await exchange()
    assert await issue(world) == 1
    found: Document = json.loads(
        await world.owner.fetchval("SELECT document FROM erasure_certificate")
    )
    return found


def public_key(world: World) -> bytes:
    return world.vault.public_keys()[world.vault.signing_key_id]


def faults(certificate: Document, trusted: bytes | None = None) -> tuple[str, ...]:
    try:
        verification.verify(certificate, trusted)
    except DocumentRefused as refused:
        return refused.faults
    return ()


@pytest.mark.proves("kargo.az:protection", "relog-manager-app:5.3")
async def test_it_says_what_was_done_names_nobody_and_holds_without_us(
    world: World,
    keys_owner: "asyncpg.Connection[asyncpg.Record]",
    exchange: Exchange,
    issue: Issue,
    client: ClientSession,
    tmp_path: Path,
) -> None:
    person = await add_person(world)
    rows = await keys_owner.fetch(
        "SELECT key_id FROM data_key WHERE subject_id = $1", person.driver_id
    )
    request = await erased(world, person)
    await exchange()

    assert await issue(world) == 1

    staff = bearer(await world.session("dispatcher"))
    path = f"/v1/erasure-requests/{request.request_id}"
    answer = await client.get(f"{path}/certificate", headers=staff)
    assert answer.status == 200
    assert answer.headers["Content-Disposition"].startswith("attachment;")
    text = await answer.text()
    made = json.loads(text)
    assert faults(made, public_key(world)) == ()
    assert traces(person, text) == []
    assert str(person.driver_id) not in text
    assert str(person.pseudonym) not in text
    assert made["keys_destroyed"] == sorted(str(row["key_id"]) for row in rows)
    assert (made["erased_at"], made["backups_unreadable_at"]) == (
        rfc3339(LATER),
        rfc3339(LATER + SETTLES),
    )
    # The person disputes what they were told: somebody else of the staff agreed.
    assert (made["request"]["requested_by_role"], made["request"]["decided_by_role"]) == (
        "dispatcher",
        "main_user",
    )
    assert (made["request"]["decided_by_clock"], made["held"]) == (False, None)
    _, done = await read(world, request)
    assert made["erased"] == {name: done[step] for step, name in CATEGORIES.items()}
    assert made["search"]["protocol"]["for_texts"] == 3
    assert made["search"]["protocol"]["alike"] == {}
    assert {"member", "vehicle", "notice"} <= made["search"]["protocol"]["columns"].keys()
    shown = await (await client.get(path, headers=staff)).json()
    assert shown["backups_unreadable_at"] == made["backups_unreadable_at"]
    file, key = tmp_path / "certificate.json", tmp_path / "key.hex"
    file.write_text(text)
    key.write_text(public_key(world).hex())
    said = verification.verify_certificate(file, key)
    assert said[1:3] == [
        f"Erased from what is in use: {made['erased_at']}.",
        f"What was sealed is unreadable in every backup since: {made['backups_unreadable_at']}.",
    ]
    assert said[-1] == "It was signed with the trusted key."


async def test_keys_whose_destruction_a_crash_left_unwritten_are_counted(
    world: World, exchange: Exchange, issue: Issue
) -> None:
    request = await ask(world, await add_person(world))
    with pytest.raises(JobCrash):
        await run(world, request, crash_at="destroy_keys.worked")
    await run(world, request)
    # As an older release wrote it down.
    await world.owner.execute("UPDATE erasure_step SET rows = 0 WHERE step = 'destroy_keys'")
    await exchange()

    await issue(world)

    made = json.loads(await world.owner.fetchval("SELECT document FROM erasure_certificate"))
    assert made["erased"]["keys"] == len(made["keys_destroyed"]) > 0


async def test_there_is_none_before_copies_of_the_keys_are_worthless(
    world: World, exchange: Exchange, issue: Issue, client: ClientSession
) -> None:
    request = await erased(world, await add_person(world))
    staff = bearer(await world.session("dispatcher"))
    path = f"/v1/erasure-requests/{request.request_id}"

    assert await issue(world) == 0

    answer = await client.get(f"{path}/certificate", headers=staff)
    assert (answer.status, (await answer.json())["code"]) == (404, "certificate-not-ready")
    shown = await (await client.get(path, headers=staff)).json()
    assert (shown["state"], shown.get("backups_unreadable_at")) == ("erased", None)
    await exchange()
    assert await issue(world) == 1
    assert (await client.get(f"{path}/certificate", headers=staff)).status == 200


async def test_it_is_issued_once_and_cannot_be_changed(
    world: World, certificate: Document, issue: Issue
) -> None:
    assert await issue(world) == 0

    assert await world.owner.fetchval("SELECT count(*) FROM erasure_certificate") == 1
    assert certificate["issued_at"] == rfc3339(ISSUED)
    async with db.tenant(world.pool, world.company_id) as conn:
        with pytest.raises(Exception, match="permission denied"):
            await conn.execute("UPDATE erasure_certificate SET document = ''")


async def test_the_ledger_holds_its_hash_and_the_chain_holds(
    world: World, certificate: Document
) -> None:
    facts = await world.owner.fetchval(
        "SELECT facts FROM ledger_entry WHERE act = 'erasure_certified'"
    )

    assert json.loads(facts) == {"certificate_sha256": digest(what_it_says(certificate))}
    async with db.tenant(world.pool, world.company_id) as conn:
        found = await verify_ledger(
            conn,
            world.company_id,
            public_keys=world.vault.public_keys(),
            counterparts=counterparts(ISSUED),
        )
    assert found.sound


class Crash(Exception):
    """The process died here."""


async def test_it_is_never_half_there(
    world: World, exchange: Exchange, issue: Issue, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = await erased(world, await add_person(world))
    await exchange()
    insert = store.insert

    async def die(*_args: object) -> None:
        raise Crash

    monkeypatch.setattr(store, "insert", die)
    assert await issue(world) == 0
    assert await traces_of_one(world, request.request_id) == (0, 0, 0)

    monkeypatch.setattr(store, "insert", insert)
    assert await issue(world) == 1
    assert await traces_of_one(world, request.request_id) == (1, 1, 1)


async def traces_of_one(world: World, request_id: object) -> tuple[int, int, int]:
    """Count what comes with a certificate: itself, its entry, the time in the request."""
    return (
        await world.owner.fetchval("SELECT count(*) FROM erasure_certificate"),
        await world.owner.fetchval(
            "SELECT count(*) FROM ledger_entry WHERE act = 'erasure_certified'"
        ),
        await world.owner.fetchval(
            "SELECT count(backups_unreadable_at) FROM erasure_request WHERE request_id = $1",
            request_id,
        ),
    )


async def test_whoever_was_erased_by_an_older_release_gets_one_that_says_so(
    world: World, exchange: Exchange, issue: Issue, tmp_path: Path
) -> None:
    await erased(world, await add_person(world))
    await world.owner.execute("DELETE FROM erasure_search")
    await exchange()

    assert await issue(world) == 1

    file = tmp_path / "certificate.json"
    file.write_text(await world.owner.fetchval("SELECT document FROM erasure_certificate"))
    said = verification.verify_certificate(file, None)
    assert any("older release" in one for one in said)
    assert "Compare that key" in said[-1]


def change(*way: Any, to: Any) -> Callable[[Document], None]:
    def apply(certificate: Document) -> None:
        inside: Any = certificate
        for step in way[:-1]:
            inside = inside[step]
        inside[way[-1]] = to

    return apply


CHANGES: Final = (
    (change("erased_at", to="2026-11-22T12:00:00Z"), ["signature", "another certificate"]),
    (change("erased", "tracks", to=0), ["signature", "another certificate"]),
    (change("keys_destroyed", to=[]), ["signature", "another certificate"]),
    (
        change("search", "protocol", "alike", to={"vehicle": 1}),
        ["signature", "another certificate", "searched does not match"],
    ),
    (
        change("ledger", "entry", "recorded_at", to="2026-11-22T12:00:01.000000Z"),
        ["signature", "entry was changed", "does not lead to the checkpoint"],
    ),
    (change("issued_at", to="2026-11-22T12:00:00Z"), ["signature"]),
    (change("proof", "signature", to="00" * 64), ["signature"]),
    (change("search", to={}), ["signature", "another certificate", "damaged"]),
)


async def test_a_changed_certificate_is_refused_and_told_what_is_wrong(
    world: World, certificate: Document
) -> None:
    assert faults(certificate, public_key(world)) == ()
    for changed, wrong in CHANGES:
        another = deepcopy(certificate)

        changed(another)

        found = faults(another, public_key(world))
        assert len(found) == len(wrong)
        for fault, part in zip(found, wrong, strict=True):
            assert part in fault


async def test_a_receipt_is_no_certificate_and_a_forged_one_needs_the_trusted_key(
    world: World, certificate: Document
) -> None:
    private = Ed25519PrivateKey.generate()
    certificate["erased_at"] = "2026-11-22T12:00:00Z"
    proof = {k: v for k, v in certificate["proof"].items() if k != "signature"}
    proof["public_key"] = private.public_key().public_bytes_raw().hex()
    signature = private.sign(KIND.statement({**certificate, "proof": proof})).hex()
    forged = {**certificate, "proof": {**proof, "signature": signature}}

    found = faults(forged, public_key(world))

    assert "another key" in found[0]
    # Also to who brings no key: the ledger's entry is of the certificate that was issued.
    assert faults(forged) == ("The ledger's entry is of another certificate.",)


def signed_by_nobody_we_know(certificate: Document, change: Callable[[Document], None]) -> Document:
    """Return it as somebody forged it who has a ledger of their own: all of it fits together."""
    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw().hex()
    made = deepcopy(certificate)
    change(made)
    shown = made["ledger"]
    shown["entry"]["facts"] = rfc8785.dumps(
        {"certificate_sha256": digest(what_it_says(made))}
    ).decode()
    entry = shown["entry"]
    place = link(
        bytes.fromhex(shown["before"]),
        Entry(
            company_id=UUID(entry["company_id"]),
            index=entry["index"],
            recorded_at=datetime.fromisoformat(entry["recorded_at"]),
            act=entry["act"],
            actor_kind=entry["actor_kind"],
            actor_id=None,
            subject_id=None,
            detail_sealed=None,
            facts=entry["facts"],
        ).digest(),
    )
    at = datetime.fromisoformat(shown["checkpoint"]["made_at"])
    statement = checkpoint_statement(UUID(entry["company_id"]), entry["index"], place, at)
    shown |= {"hash": place.hex(), "later": []}
    shown["checkpoint"] |= {
        "index": entry["index"],
        "hash": place.hex(),
        "public_key": public,
        "signature": private.sign(statement).hex(),
    }
    proof = {k: v for k, v in made["proof"].items() if k != "signature"} | {"public_key": public}
    signature = private.sign(KIND.statement({**made, "proof": proof})).hex()
    return {**made, "proof": {**proof, "signature": signature}}


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (change("request", "requested_by_role", to=None), "is damaged"),
        (change("erased_at", to=None), "is damaged"),
        (change("residue", to=[{}]), "is damaged"),
        (change("request", "requested_at", to="\x1b[2J\r\nnow"), None),
    ],
)
def test_what_a_stranger_signed_breaks_no_command_and_moves_no_terminal(
    certificate: Document,
    changed: Callable[[Document], None],
    sentence: str | None,
    tmp_path: Path,
    world: World,
) -> None:
    file, key = tmp_path / "certificate.json", tmp_path / "key.hex"
    file.write_text(json.dumps(signed_by_nobody_we_know(certificate, changed)))
    key.write_text(public_key(world).hex())

    if sentence is None:
        said = verification.verify_certificate(file, None)
        assert all(one.isprintable() for one in said)
        assert "Compare that key" in said[-1]
    else:
        with pytest.raises(DocumentRefused, match=sentence):
            verification.verify_certificate(file, None)
    with pytest.raises(DocumentRefused, match="another key"):
        verification.verify_certificate(file, key)


def test_the_command_tells_in_sentences_whether_it_holds(
    certificate: Document, tmp_path: Path
) -> None:
    file = tmp_path / "certificate.json"

    def verified(text: str) -> CompletedProcess[str]:
        file.write_text(text)
        return jolda("certificate", "verify", str(file), home=tmp_path)

    good = verified(json.dumps(certificate))
    changed = verified(json.dumps({**certificate, "issued_at": "2026-11-22T12:00:00Z"}))
    nothing = verified("{}")

    assert good.returncode == 0
    assert good.stdout.startswith("The certificate holds: request ")
    assert "The signature does not match" in told(changed)
    assert "This is not a certificate of an erasure." in told(nothing)
    absent = jolda("certificate", "verify", str(tmp_path / "absent.json"), home=tmp_path)
    assert "absent.json cannot be read: No such file or directory." in told(absent, 2)
    file.write_text(json.dumps(certificate))
    key = jolda("certificate", "verify", str(file), "--public-key", str(tmp_path), home=tmp_path)
    assert "cannot be read: Is a directory." in told(key, 2)
