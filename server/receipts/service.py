"""Receipts of a driver's own records."""

import json
from datetime import datetime
from uuid import UUID

from server.accounts import service as accounts
from server.consent import service as consent
from server.consent.model import Consent, ConsentRecordMissing
from server.kit.db import Connection
from server.kit.wire import rfc3339
from server.ledger import documents
from server.ledger import service as ledger
from server.ledger.model import Entry, Inclusion, genesis
from server.receipts.model import CONTEXT, KIND, Receipt
from server.vault.service import Vault


async def receipt(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    driver_id: UUID,
    record_id: UUID,
    *,
    now: datetime,
) -> Receipt:
    """Return the signed receipt of one of the driver's own records.

    Raises
    ------
    ConsentRecordMissing
        There is none, or it is older than records.
    """
    found = await consent.record(conn, company_id, driver_id, record_id)
    index = found.ledger_index
    if index is None:
        raise ConsentRecordMissing
    inclusion = await ledger.place_of(conn, company_id, index)
    if inclusion is None:
        await ledger.checkpoint(conn, vault, company_id, now)
        inclusion = await ledger.place_of(conn, company_id, index)
    entries = await ledger.entries_about(conn, company_id, driver_id, after=index - 1, limit=1)
    if inclusion is None or not entries or entries[0].index != index:
        raise ConsentRecordMissing
    earlier = await ledger.place_of(conn, company_id, index - 1)
    profile = await accounts.driver(conn, vault, company_id, driver_id)
    return issue(
        vault,
        found,
        subject_name=profile.name,
        entry=entries[0],
        before=genesis(company_id) if earlier is None else earlier.place.hash,
        inclusion=inclusion,
        now=now,
    )


def issue(
    vault: Vault,
    consent: Consent,
    *,
    subject_name: str,
    entry: Entry,
    before: bytes,
    inclusion: Inclusion,
    now: datetime,
) -> Receipt:
    """Return the signed receipt of a record. ``before`` is the chain's hash before the entry."""
    if consent.record is None or consent.nonce is None or consent.record_sha256 is None:
        raise ValueError("there is nothing to sign in what is older than records")
    made = {
        "@context": CONTEXT,
        "type": KIND.type,
        KIND.version_name: KIND.version,
        "issued_at": rfc3339(now),
        "subject": {"id": str(consent.driver_id), "name": subject_name},
        "record": json.loads(consent.record),
        "record_sha256": consent.record_sha256.hex(),
        "nonce": consent.nonce.hex(),
        "ledger": documents.shown(vault, entry, before, inclusion),
    }
    return documents.signed(vault, KIND, made)
