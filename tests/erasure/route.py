"""What a day on the road leaves behind of a driver: what they said, and what was raised."""

from typing import Final
from uuid import UUID

from server.alerts import choices
from server.alerts import store as alert_store
from server.alerts.model import ALERT_SCHEMA, EVERYTHING, AlertHead, AlertKind, SealedAlert
from server.kit import db
from server.kit.ids import uuid7
from server.stop_events import service as stop_events
from server.stop_events import store as stop_event_store
from server.stop_events.model import SealedEvent
from server.vault.model import Category, SealedText
from tests.world import NOW, World

SAID: Final = "My knee hurts again, I wait at the chemist's"


async def leave(world: World, driver_id: UUID) -> tuple[SealedText, SealedText]:
    """Let the driver say something of a stop and an alert be raised; return both as kept."""
    company_id = world.company_id
    route_id: UUID = await world.owner.fetchval(
        "SELECT route_id FROM route WHERE driver_id = $1", driver_id
    )
    key = await world.vault.key(company_id, driver_id, Category.REPORT, at=NOW)
    event_id, alert_id = uuid7(), uuid7()
    event = SealedEvent(
        stop_event_id=event_id,
        driver_id=driver_id,
        event_id=uuid7(),
        route_id=route_id,
        stop_id=uuid7(),
        received_at=NOW,
        event_sealed=key.seal(
            SAID.encode(), row_id=event_id.bytes, schema=stop_events.EVENT_SCHEMA
        ),
    )
    alert = SealedAlert(
        head=AlertHead(
            alert_id=alert_id,
            kind=AlertKind.LATE,
            route_id=route_id,
            driver_id=driver_id,
            occurrence=1,
            raised_at=NOW,
        ),
        particulars_sealed=key.seal(SAID.encode(), row_id=alert_id.bytes, schema=ALERT_SCHEMA),
    )
    async with db.tenant(world.pool, company_id) as conn:
        await stop_event_store.insert(conn, company_id, event)
        await alert_store.insert(conn, company_id, alert)
        await choices.set_wishes(conn, company_id, driver_id, EVERYTHING, now=NOW)
    return (
        SealedText(sealed=event.event_sealed, row_id=event_id, schema=stop_events.EVENT_SCHEMA),
        SealedText(sealed=alert.particulars_sealed, row_id=alert_id, schema=ALERT_SCHEMA),
    )
