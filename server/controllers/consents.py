"""What becomes of a driver's consents under the new controller: they go on, or they end.

A consent is to a named controller. It goes on under another one only where the driver agreed to
that; then a new record names the new controller, and holds since and as long as the one before it.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from server.consent import record
from server.consent.acts import Change, Who, cells_of, enact, take
from server.consent.model import (
    Cells,
    Consent,
    ConsentAct,
    ConsentActor,
    ConsentItem,
    next_consent,
)
from server.gate import service as gate
from server.kit.db import Connection
from server.ledger.model import Actor, ActorKind

_KEEPING: Final = (ConsentAct.SUPERSEDE, ConsentAct.GIVE)
"""As when a driver gives again on other terms: the old record ends, and a new one begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What became of a driver's consents; those that were not given are in neither."""

    kept: tuple[ConsentItem, ...]
    lapsed: tuple[ConsentItem, ...]


async def move(
    conn: Connection,
    company_id: UUID,
    driver_id: UUID,
    *,
    name: str,
    business_number: str,
    agreed: bool,
    guardian_id: UUID | None,
    now: datetime,
) -> Moved:
    """Move the driver's given consents to the controller of this name, or end them.

    Inside ``gate.service.stopping``, one driver in a transaction, after the company's particulars
    changed: new records carry those. Whoever ``agreed`` keeps every consent, since when it was
    given and until when it holds; only the gate's epoch moves. Of anybody else each becomes
    ``superseded``. What names this controller already stays as it is, so again changes nothing;
    unless it rests on ``guardian_id``, who consented to the controller of before.

    Raises
    ------
    GateMissing, ConsentRecordIncomplete
    """
    await gate.lock(conn, company_id, driver_id)
    kept, lapsed = [], []
    found = await cells_of(conn, company_id, driver_id)
    # News first: their preference is locked before the ledger's head, as everywhere.
    for item in sorted(found, key=lambda one: one is not ConsentItem.MARKETING):
        given = found[item].decision if found[item].is_given else None
        if given is None:
            continue
        over = guardian_id is not None and _guardian_of(given) == guardian_id
        if record.names(given, name, business_number) and not over:
            continue
        if agreed and _may_go_on(given, now):
            # Read again for each: the gate's own end depends on what the others became.
            cells = await cells_of(conn, company_id, driver_id)
            await _keep(conn, company_id, cells, given, now=now)
            kept.append(item)
        else:
            who = Who(actor=ConsentActor.SYSTEM)
            await take(conn, company_id, driver_id, item, ConsentAct.SUPERSEDE, who, now=now)
            lapsed.append(item)
    return Moved(kept=tuple(kept), lapsed=tuple(lapsed))


async def _keep(
    conn: Connection, company_id: UUID, cells: Cells, given: Consent, *, now: datetime
) -> None:
    """Write a consent down anew for the controller of now. Nobody gives it but the driver."""
    states, state = [], given.state
    for act in _KEEPING:
        state = next_consent(state, act, ConsentActor.DRIVER)
        states.append(state)
    change = Change(
        driver_id=given.driver_id,
        item=given.item,
        states=states,
        who=Who(
            actor=ConsentActor.DRIVER,
            ledger=Actor(kind=ActorKind.DRIVER, member_id=given.driver_id),
        ),
        notice=given.notice,
        terms=given.terms,
        held=given,
        until=given.valid_until,
    )
    await enact(conn, company_id, cells, change, now=now)


def _may_go_on(given: Consent, now: datetime) -> bool:
    """Tell whether there is a record to go on from, not run out, of a driver who alone decides.

    A minor's guardian consented to the controller of then: the minor's word is not enough.
    """
    if given.record is None or given.notice is None or given.valid_until is None:
        return False
    return given.valid_until > now and _guardian_of(given) is None


def _guardian_of(given: Consent) -> UUID | None:
    """Return the record of a guardian that a minor's consent rests on."""
    return None if given.record is None else record.guardian_of(json.loads(given.record))
