"""What may be shown of alerts now: only while the driver shares plan versus fact."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from server.accounts import service as accounts
from server.alerts import store
from server.alerts.model import (
    ALERT_SCHEMA,
    AlertHead,
    AlertMissing,
    Particulars,
    SealedAlert,
    ShownAlert,
    Standing,
    from_bytes,
)
from server.gate import service as gate
from server.gate.model import Gate, Purpose
from server.kit.cursors import cursor_of, page_of, place_of
from server.kit.db import Connection
from server.kit.errors import there
from server.vault.model import DataKey, key_id_of
from server.vault.service import Vault


async def standing(conn: Connection, company_id: UUID, *, now: datetime) -> Standing:
    """Return the open alerts that may be shown now, without any place."""
    found = await store.open_alerts(conn, company_id)
    if not found:
        return {}
    shared = await sharing(conn, company_id, list({one.driver_id for one in found}), now)
    return {one.alert_id: one for one in found if is_shown(one, shared)}


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPage:
    """A page of alerts with the gates it was read under; :func:`opened` opens it."""

    alerts: Sequence[SealedAlert]
    gates: Sequence[Gate]
    """Of everybody in it: it is theirs to withdraw."""
    next_cursor: str | None
    keys: Mapping[UUID, DataKey] = field(repr=False)
    names: Mapping[UUID, str] = field(repr=False)


async def page(
    conn: Connection,
    vault: Vault,
    company_id: UUID,
    *,
    is_open: bool | None,
    route_id: UUID | None,
    driver_id: UUID | None,
    cursor: str | None,
    limit: int,
    now: datetime,
) -> FoundPage:
    """Return a page of the alerts that may be shown now, newest first.

    Raises
    ------
    CursorInvalid
    """
    before = None if cursor is None else place_of(cursor)
    kept_since = (await accounts.company(conn, company_id)).tracks_kept_since(now)
    gates = {one.driver_id: one for one in await gate.read_all(conn, company_id)}
    found = await store.page(
        conn,
        company_id,
        {
            one: since if kept_since is None else max(since, kept_since)
            for one, since in sharing_since(gates.values(), now).items()
        },
        is_open=is_open,
        route_id=route_id,
        driver_id=driver_id,
        before=before,
        limit=limit + 1,
    )
    alerts, following = page_of(found, limit, lambda one: cursor_of(one.head.alert_id))
    acknowledged_by = {
        one.head.acknowledged_by for one in alerts if one.head.acknowledged_by is not None
    }
    return FoundPage(
        alerts=alerts,
        gates=[gates[one] for one in sorted({alert.head.driver_id for alert in alerts})],
        next_cursor=following,
        keys=await vault.keys_of_many(
            company_id, (key_id_of(one.particulars_sealed) for one in alerts)
        ),
        names=await accounts.names(conn, vault, company_id, acknowledged_by),
    )


def opened(found: FoundPage) -> list[ShownAlert]:
    """Open a page; alerts about whose keys are destroyed are left out."""
    return [
        ShownAlert(
            head=one.head,
            particulars=_particulars(key, one),
            acknowledged_by_name=(
                None
                if one.head.acknowledged_by is None
                else found.names.get(one.head.acknowledged_by)
            ),
        )
        for one in found.alerts
        if (key := found.keys.get(key_id_of(one.particulars_sealed))) is not None
    ]


async def acknowledge(
    conn: Connection, company_id: UUID, alert_id: UUID, *, by_member: UUID, now: datetime
) -> AlertHead:
    """Note that a dispatcher sees to an alert. The first one stays; again changes nothing.

    Raises
    ------
    AlertMissing
        There is none, or it may not be shown any more.
    """
    found = there(await store.get(conn, company_id, alert_id), AlertMissing)
    shared = await sharing(conn, company_id, [found.driver_id], now)
    if not is_shown(found, shared):
        raise AlertMissing
    await store.acknowledge(conn, company_id, alert_id, by_member, now=now)
    return there(await store.get(conn, company_id, alert_id), AlertMissing)


async def sharing(
    conn: Connection, company_id: UUID, driver_ids: Sequence[UUID], now: datetime
) -> dict[UUID, datetime]:
    """Return by driver since when they share plan versus fact; who does not is not there."""
    return sharing_since(await gate.read_some(conn, company_id, driver_ids), now)


def sharing_since(gates: Iterable[Gate], now: datetime) -> dict[UUID, datetime]:
    """Return what :func:`sharing` does, by gates that were read."""
    return {
        one.driver_id: since
        for one in gates
        if (since := one.since(Purpose.PLAN_FACT, now)) is not None
    }


def is_shown(head: AlertHead, shared: Mapping[UUID, datetime]) -> bool:
    """Tell whether the company may know of it: what was raised before the consent stays hidden."""
    since = shared.get(head.driver_id)
    return since is not None and head.raised_at >= since


def _particulars(key: DataKey, one: SealedAlert) -> Particulars:
    return from_bytes(
        key.open(one.particulars_sealed, row_id=one.head.alert_id.bytes, schema=ALERT_SCHEMA)
    )
