"""Issuing the certificate of an erasure, once no old copy opens anything of the person."""

from datetime import datetime
from uuid import UUID

import rfc8785
import structlog

from server.certificates import store
from server.certificates.model import (
    KIND,
    Certificate,
    CertificateNotReady,
    digest,
    said,
)
from server.credentials.model import Caller
from server.erasure import search
from server.erasure import service as erasure
from server.kit import db
from server.kit.db import Connection, Pool
from server.kit.errors import there
from server.kit.problem import where
from server.kit.wire import rfc3339
from server.ledger import documents
from server.ledger import service as ledger
from server.ledger.model import SYSTEM, Act, genesis
from server.rekeying import service as rekeying
from server.vault.service import Vault

log = structlog.get_logger(__name__)


async def issue_due(
    pool: Pool, keys_pool: Pool, vault: Vault, company_id: UUID, now: datetime
) -> int:
    """Issue the certificates that can be; return how many. One that fails is tried again."""
    async with db.tenant(pool, company_id, readonly=True) as conn:
        waiting = await erasure.uncertified(conn, company_id)
    issued = 0
    for request_id, driver_id in waiting:
        try:
            ended_at = await rekeying.ended_at(keys_pool, company_id, driver_id)
            if ended_at is None:
                continue
            async with db.tenant(pool, company_id) as conn:
                issued += await issue(
                    conn, vault, company_id, request_id, backups_unreadable_at=ended_at, now=now
                )
        except Exception as error:  # noqa: BLE001 - one that fails must not hold up the others
            log.warning("certificate_not_issued", request=str(request_id), **where(error))
    return issued


async def issue(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    request_id: UUID,
    *,
    backups_unreadable_at: datetime,
    now: datetime,
) -> bool:
    """Issue the certificate of a driver who is erased; return whether it was not there before.

    All in the caller's transaction: the ledger's entry, the checkpoint over it, the signed document
    and the time in the request are there together, or none of them. The key that signs is in
    memory, so nobody else is waited for while the ledger's head is held.

    Raises
    ------
    ErasureMissing
    CertificateNotReady
        The driver is not erased yet.
    """
    request = await erasure.lock(conn, company_id, request_id)
    if request.erased_at is None:
        raise CertificateNotReady
    if request.backups_unreadable_at is not None:
        return False
    steps = await erasure.steps(conn, company_id, [request_id])
    certified = said(
        company_id,
        request,
        steps[request_id],
        await search.result(conn, company_id, request_id),
        await search.part(conn, company_id, request_id),
        backups_unreadable_at=backups_unreadable_at,
        kept_in=vault.keks.kept_in,
    )
    await erasure.set_certified(
        conn, company_id, request, backups_unreadable_at=backups_unreadable_at
    )
    place = await ledger.append(
        conn,
        company_id,
        Act.ERASURE_CERTIFIED,
        actor=SYSTEM,
        subject_id=None,
        facts={"certificate_sha256": digest(certified)},
        now=now,
    )
    await ledger.checkpoint(conn, vault, company_id, now)
    entry, before, inclusion = there(
        await ledger.entry_at(conn, company_id, place.index), CertificateNotReady
    )
    made = {
        "type": KIND.type,
        KIND.version_name: KIND.version,
        "issued_at": rfc3339(now),
        **certified,
        "ledger": documents.shown(
            vault, entry, genesis(company_id) if before is None else before, inclusion
        ),
    }
    document = rfc8785.dumps(documents.signed(vault, KIND, made)).decode()
    certificate = Certificate(
        request_id=request_id, ledger_index=place.index, issued_at=now, document=document
    )
    await store.insert(conn, company_id, certificate)
    return True


async def certificate(
    conn: Connection, company_id: UUID, request_id: UUID, *, caller: Caller
) -> Certificate:
    """Return the certificate of a request.

    Raises
    ------
    ErasureMissing
    CertificateNotReady
    """
    await erasure.request(conn, company_id, request_id, caller=caller)
    return there(await store.certificate(conn, company_id, request_id), CertificateNotReady)
