"""What the certificate of an erasure says. Pure, and about nobody: it names no person.

It is made once, of what the erasing job wrote down, when no copy of the keys opens anything of the
person any more. The ledger's entry about it holds the hash of what it says, and it brings the way
from that entry to a signed checkpoint.
"""

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias
from uuid import UUID

import rfc8785

from server.erasure.model import Part, Request, Search, Step, StepDone
from server.kek.model import Keeping
from server.kit.errors import NotFound
from server.kit.wire import rfc3339
from server.ledger.documents import Document, Kind

Said: TypeAlias = dict[str, Any]

KIND: Final = Kind(
    type="ErasureCertificate",
    version="1",
    word="certificate",
    of="an erasure",
    prefix=b"jolda erasure certificate v1\0",
)
KEYS_HELD_S_MAX: Final = 60
"""So long a process may hold a key in memory that was destroyed meanwhile."""

# What a step removed, by what it is of. Steps that remove nothing are not among them.
CATEGORIES: Final = {
    Step.END_SESSIONS: "sessions_and_devices",
    Step.ERASE_INCIDENTS: "entries_about_incidents",
    Step.ERASE_DISCLOSURES: "entries_about_disclosures",
    Step.ERASE_EXPORTS: "export_packages",
    Step.ERASE_LINKS: "customer_links",
    Step.ERASE_ALERTS: "alerts",
    Step.ERASE_STOP_EVENTS: "stop_events",
    Step.ERASE_ATTESTATIONS: "attestations",
    Step.ERASE_REPORTS: "reports",
    Step.ERASE_ROUTES: "assignments_to_routes",
    Step.ERASE_UPLOADS: "counters_of_uploads",
    Step.ERASE_TRACKING: "tracks",
    Step.ERASE_DEVICES: "device_notices",
    Step.ERASE_CONTROLLERS: "agreements_to_controllers",
    Step.ERASE_CONSENT: "consents_and_shifts",
    Step.ERASE_GUARDIANS: "guardians",
    Step.ERASE_CLARIFICATIONS: "questions",
    Step.ERASE_CORRECTIONS: "corrections",
    Step.ERASE_PERSON_REQUESTS: "requests_past_the_api",
    Step.ERASE_POLICIES: "policies_accepted",
    Step.ERASE_HOLDS: "holds_and_refusals",
    Step.ERASE_NOTICES: "notices",
    Step.ERASE_GATE: "recording_windows",
    Step.ERASE_LEDGER: "link_to_the_ledger",
    Step.ERASE_ACCOUNT: "account",
    Step.DESTROY_KEYS: "keys",
}
_WITHOUT_NAME: Final = (
    "under a pseudonym; whose it was stands nowhere but in copies of the database main from before "
    "erased_at (see residue)"
)
IN_CLEAR: Final = {
    "identity": "the id without a name; that a year of birth and who consents for the person were "
    "stated, when and how",
    "contact": "of which company a log-in is",
    "account": "role, state, language, the hash of the password; when the account, log-ins, "
    "invitations and devices were made and ended; what a device may do",
    "consent": "records of consents with what opens their commitments; what was agreed to, "
    "disputed, accepted, asked and answered in which edition, and when",
    "work": "shifts and windows of recording from when to when; which routes and which vehicles; "
    "which links of customers; when stops were told of; who of the staff did something for the "
    "person",
    "track": "when positions were taken and stored, how many, how many were refused and why; of "
    "what time they were deleted before; never where",
    "live": "when the last position was taken and stored; never where",
    "report": "when reports were made, which kinds of alerts were raised, and when",
    "disclosure": "that data were given out, and that an incident concerned the person",
    "export": "when packages of their own data were asked for and made, and how large they were",
    "notice": "which kinds of notices were queued, with their facts, and how each went out",
    "ledger": "whose pseudonym it is: with it the entries and reads that are retained",
}
"""What lies unsealed in `main` until somebody is erased, by the classes of the data map."""
RESIDUE: Final[tuple[Said, ...]] = (
    {
        "what": "what was never sealed, under ids and no name, in copies of the database main from "
        "before erased_at: dumps, base backups, WAL, and what PostgreSQL has not overwritten yet",
        "kinds": IN_CLEAR,
        "until": "whoever has such a copy deletes it; on the server's disk, until it is "
        "overwritten",
    },
    {
        "what": "keys in the memory of running processes",
        "until": f"{KEYS_HELD_S_MAX} s after they were destroyed",
    },
    {
        "what": "what other people wrote or uploaded about the person, under their own names",
        "until": "their own data is erased or its time is over",
    },
    {
        "what": "copies that were handed out before: exports, reports, receipts, messages sent",
        "until": "whoever has them deletes them",
    },
)
# Of the KEK that was destroyed, by what kept it. None of it is within reach of the server.
RESIDUE_OF_KEK: Final = {
    Keeping.FILE: {
        "what": "copies of the KEK's file, of any time when it was kept in one, that others than "
        "Jolda took before backups_unreadable_at, each with a copy of the key database of its time",
        "until": "whoever has one of the two deletes it",
    },
    Keeping.TRANSIT: {
        "what": "snapshots of OpenBao (or Vault) from before backups_unreadable_at, each with a "
        "copy of the key database of its time",
        "until": "whoever has one of the two deletes it",
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A certificate as it is kept."""

    request_id: UUID
    ledger_index: int
    issued_at: datetime
    document: str


class CertificateNotReady(NotFound):
    slug = "certificate-not-ready"
    title = "There is no certificate of this erasure yet"

    def __init__(self) -> None:
        super().__init__(
            "The certificate is issued once the driver is erased and copies of the keys are "
            "worthless: within a day, as a rule within two hours."
        )


def said(
    company_id: UUID,
    request: Request,
    steps: Sequence[StepDone],
    search: Search | None,
    part: Part | None = None,
    *,
    backups_unreadable_at: datetime,
    kept_in: Collection[Keeping],
) -> Said:
    """Return what a certificate says, before it has its place in the ledger.

    ``kept_in`` is what keeps the KEK today. Of a request that was written anew after a backup was
    restored it does not say who asked, for nobody knows. Without a ``search`` the person was
    erased by an older release, which noted neither that nor the keys; the certificate says so.
    """
    rows = {one.step: one.rows for one in steps}
    return {
        "company_id": str(company_id),
        "request": {
            "id": str(request.request_id),
            "after_restore": request.after_restore,
            "requested_by_role": None if request.after_restore else request.requested_by.value,
            "requested_at": None if request.after_restore else rfc3339(request.requested_at),
            "reason": None if request.reason is None else request.reason.value,
            "decided_by_role": None if request.decided_by is None else request.decided_by.value,
            "decided_by_clock": request.decided_by is None and request.decided_at is not None,
            "decided_at": _instant(request.decided_at),
            "grace_until": _instant(request.grace_until),
        },
        "erased_at": _instant(request.erased_at),
        "backups_unreadable_at": rfc3339(backups_unreadable_at),
        "erased": _erased(rows, search, part),
        "held": None if part is None else _held(part),
        "retained": _retained(search),
        "keys_destroyed": None if search is None else _keys(search, part),
        "search": _search(search),
        "residue": [*RESIDUE, *(RESIDUE_OF_KEK[one] for one in sorted(_ever_kept_in(kept_in)))],
    }


def digest(certified: Said) -> str:
    """Return the SHA-256 of what a certificate says, as the ledger's entry holds it."""
    return hashlib.sha256(rfc8785.dumps(certified)).hexdigest()


def what_it_says(certificate: Document) -> Said:
    """Return of a whole certificate what the ledger's entry holds the hash of."""
    return {name: value for name, value in certificate.items() if name not in _AROUND}


def protocol_digest(protocol: Said) -> str:
    """Return the SHA-256 of what was searched and found."""
    return hashlib.sha256(rfc8785.dumps(protocol)).hexdigest()


_AROUND: Final = frozenset({"type", KIND.version_name, "issued_at", "ledger", "proof"})


def _ever_kept_in(kept_in: Collection[Keeping]) -> set[Keeping]:
    """Return what may have kept the KEK at any time.

    It moves from a file into OpenBao and never back, and nothing is kept of the move: of a KEK in
    OpenBao nobody can tell that it never was in a file.
    """
    return {*kept_in, *((Keeping.FILE,) if Keeping.TRANSIT in kept_in else ())}


def _held(part: Part) -> Said:
    """Return what was kept for a while, and since when the rest was gone."""
    return {"rest_erased_at": rfc3339(part.done_at), "items": json.loads(part.held)}


def _keys(search: Search, part: Part | None) -> list[str]:
    """Return every key that was destroyed, with the rest or before it."""
    return sorted({str(one) for one in (*search.key_ids, *(part.key_ids if part else ()))})


def _erased(rows: dict[Step, int], search: Search | None, part: Part | None) -> Said:
    erased: Said = {name: rows[step] for step, name in CATEGORIES.items() if step in rows}
    if search is not None and Step.DESTROY_KEYS in rows:
        # The step counts what its last run destroyed; after a crash that is nothing.
        erased[CATEGORIES[Step.DESTROY_KEYS]] = len(_keys(search, part))
    return erased


def _retained(search: Search | None) -> list[Said]:
    return [
        {
            "category": "ledger_entries",
            "count": None if search is None else search.ledger_entries,
            "why": f"show that the company kept the law; {_WITHOUT_NAME}, details do not open",
            "until": "the company's ledger ends",
        },
        {
            "category": "reads_of_positions",
            "count": None,
            "why": f"show who looked at whom; {_WITHOUT_NAME}",
            "until": "365 days after each",
        },
        {
            "category": "consent_commitments",
            "count": None,
            "why": "let the person prove what they agreed to: a hash that nothing opens but their "
            "receipt, and copies of the database main from before erased_at (see residue)",
            "until": "the company's ledger ends",
        },
        {
            "category": "routes_and_vehicles",
            "count": None,
            "why": "facts of orders and machines, without the person",
            "until": "the company's own time for them",
        },
        {
            "category": "request",
            "count": 1,
            "why": "show that the erasure was asked for, decided and done",
            "until": "the company ends",
        },
    ]


def _search(search: Search | None) -> Said | None:
    if search is None or search.protocol is None:
        return None
    protocol: Said = json.loads(search.protocol)
    return {"protocol": protocol, "sha256": protocol_digest(protocol)}


def _instant(at: datetime | None) -> str | None:
    return None if at is None else rfc3339(at)
