"""Two more drivers of a company: one who goes on, and one who was erased."""

from typing import Any
from uuid import UUID

from server.demo.api import Api
from server.demo.company import DemoCompany, DemoDriver
from server.erasure import saga
from tests.api.matrix import OF_ANOTHER, OF_ERASED
from tests.api.people import (
    QUESTION,
    People,
    commented,
    on_shift,
    packed,
    planned,
    wished,
    written_in,
)
from tests.running import Demo


async def others_of(
    served: Demo, company: DemoCompany, people: People
) -> tuple[dict[str, str], dict[str, str]]:
    """Return what another driver has, and what one had who was erased since, by its name."""
    dispatcher = await served.dispatcher()
    another = await _things_of(served, dispatcher, company.drivers[1])
    another["request_id"] = people.things["request_id"]
    erased = await _things_of(served, dispatcher, company.drivers[4])
    asked = await dispatcher.post("/v1/erasure-requests", {"driver_id": erased["driver_id"]})
    opened = served.running.opened
    request_id = UUID(asked["request_id"])
    await saga.run(opened.pool, opened.vault, people.company_id, request_id, served.clock())
    return (
        {name: another[name] for name in OF_ANOTHER},
        {name: erased[name] for name in OF_ERASED},
    )


async def _things_of(served: Demo, dispatcher: Api, driver: DemoDriver) -> dict[str, str]:
    """Make one of each thing that is a driver's own."""
    own = await served.api.log_in(driver.phone, driver.password)
    await on_shift(served, own, driver.device_token)
    route, _ = await planned(served, dispatcher, driver)
    stop_id = route["stops"][0]["stop_id"]

    async def first(path: str, name: str) -> str:
        found: Any = await own.get(path)
        return str(found["items"][0][name])

    question = await own.post("/v1/me/clarifications", QUESTION)
    return {
        "driver_id": driver.driver_id,
        "member_id": driver.driver_id,
        "device_id": await first("/v1/me/devices", "device_id"),
        "session_id": await first("/v1/me/sessions", "session_id"),
        "record_id": await first("/v1/me/consents/records", "record_id"),
        "notice_id": await first("/v1/me/notices", "notice_id"),
        "clarification_id": question["clarification_id"],
        "event_id": await commented(served, own, route),
        "export_id": await packed(own),
        "hold_id": await wished(own, driver.driver_id),
        "person_request_id": await written_in(dispatcher, driver),
        **await _given_and_reported(dispatcher, own, driver),
        "route_id": route["route_id"],
        "stop_id": stop_id,
    }


async def _given_and_reported(dispatcher: Api, own: Api, driver: DemoDriver) -> dict[str, str]:
    """Give something of the driver to somebody outside, and let them report an incident."""
    evidence = {"recipient": "Insurer", "document_number": "7", "document_date": "2020-01-01"}
    told = {"driver_id": driver.driver_id, "ground": "consent", "evidence": evidence}
    given = {"categories": ["identity"], "given": "The name"}
    made = await dispatcher.post("/v1/disclosures", {**told, **given})
    reported = await own.post("/v1/incidents", {"what": "A phone is lost"})
    return {"disclosure_id": made["disclosure_id"], "incident_id": reported["incident_id"]}
