"""The demo's drivers: each replays a recorded run through the public API, shift after shift."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, Final

import structlog

from server.demo import notices
from server.demo.api import Api, ApiRefused
from server.demo.clock import FastClock
from server.demo.company import DemoCompany, DemoDriver
from server.demo.plans import Road, plan_of, road_of
from server.demo.tracks import Run, whole_runs
from server.kit.wire import rfc3339

log = structlog.get_logger(__name__)

START_APART: Final = timedelta(minutes=4)
BREAK: Final = timedelta(minutes=5)
RETRY_S: Final = 2.0
NEEDED: Final = frozenset({"location", "dispatch_tracking", "plan_fact"})
WITHDRAWING_DRIVER: Final = 2
WITHDRAW_AT: Final = 0.4
"""How far into the run that driver withdraws the location consent."""
GONE: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND})


@dataclass(frozen=True, slots=True, kw_only=True)
class Van:
    """One driver with what they drive."""

    number: int
    driver: DemoDriver
    run: Run
    pace: Run
    road: Road


class AccountGone(Exception):
    """The driver's log-in or device is no longer known: a dispatcher deleted the account."""


async def drive(api: Api, company: DemoCompany, clock: FastClock) -> None:
    """Let every driver of the company drive until cancelled."""
    runs = whole_runs()
    road = road_of(runs)
    async with asyncio.TaskGroup() as group:
        for number, driver in enumerate(company.drivers):
            van = Van(
                number=number,
                driver=driver,
                run=runs[number % len(runs)],
                pace=runs[(number + 1) % len(runs)],
                road=road,
            )
            group.create_task(_shifts(api, company, van, clock))


async def _shifts(api: Api, company: DemoCompany, van: Van, clock: FastClock) -> None:
    await clock.sleep(START_APART * van.number)
    while True:
        try:
            await _shift(api, company, van, clock)
        except AccountGone:
            return
        except (ApiRefused, OSError, TimeoutError) as error:
            # A phone without a connection: wait and begin again.
            log.warning("demo_shift_interrupted", error=type(error).__name__)
            await asyncio.sleep(RETRY_S)
        await clock.sleep(BREAK)


async def _shift(api: Api, company: DemoCompany, van: Van, clock: FastClock) -> None:
    """Drive one run: consents, a plan, the shift, every fix as its time comes, the end."""
    person = await _log_in(api, van.driver)
    await notices.acknowledge(person)
    await _consent(person)
    if (await person.get("/v1/me/shift"))["state"] != "off":
        await person.post("/v1/me/shift/end")
    started = clock()
    await _plan(api.acting_with(company.api_token), van, started)
    await person.post("/v1/me/shift/start")
    phone = api.acting_with(van.driver.device_token)
    withdraw_s = van.run.duration_s * WITHDRAW_AT if van.number == WITHDRAWING_DRIVER else None
    started = clock()
    for index, elapsed_s in enumerate(van.run.elapsed_s):
        recorded_at = started + timedelta(seconds=float(elapsed_s))
        await clock.sleep_until(recorded_at)
        if withdraw_s is not None and elapsed_s >= withdraw_s:
            await person.post("/v1/me/consents/location/withdraw")
            await clock.sleep(timedelta(seconds=van.run.duration_s - withdraw_s))
            return
        if not await _upload(phone, _position(van.run, index, recorded_at), clock):
            break
    await person.post("/v1/me/shift/end")


async def _consent(person: Api) -> None:
    """Read the notice in force, then give each consent that the drive needs."""
    company_id = (await person.get("/v1/session"))["company"]["company_id"]
    shown = await person.get(
        f"/v1/policies/driver_notice/current?company_id={company_id}&language=en"
    )
    notice = {name: shown[name] for name in ("document", "edition", "language", "sha256")}
    for consent in (await person.get("/v1/me/consents"))["items"]:
        if consent["item"] in NEEDED and consent["state"] != "given":
            answer = {"item": consent["item"], "answer": "given", "notice": notice}
            await person.post("/v1/me/consents", answer)


def _position(run: Run, index: int, recorded_at: datetime) -> dict[str, Any]:
    return {
        "recorded_at": rfc3339(recorded_at),
        "lat": float(run.lon_lat[index, 1]),
        "lon": float(run.lon_lat[index, 0]),
        "speed_mps": round(float(run.speed_mps[index]), 2),
        "heading_deg": round(float(run.heading_deg[index]), 1),
        "source": "gps",
    }


async def _plan(planner: Api, van: Van, starts_at: datetime) -> None:
    plan: dict[str, Any] = plan_of(van.run, van.pace, van.road, starts_at=starts_at)
    await planner.post(
        "/v1/routes",
        {
            "name": f"Route 14, van {van.number + 1}",
            "date": starts_at.date().isoformat(),
            "driver_id": van.driver.driver_id,
            "vehicle_id": van.driver.vehicle_id,
            "planned_start": rfc3339(starts_at),
            **plan,
        },
    )


async def _upload(phone: Api, position: dict[str, Any], clock: FastClock) -> bool:
    """Send one fix as a phone would; return whether the server wants more.

    Raises
    ------
    AccountGone
    """
    try:
        answer = await phone.post(
            "/v1/positions", {"sent_at": rfc3339(clock()), "positions": [position]}
        )
    except ApiRefused as refused:
        if refused.status in GONE:
            raise AccountGone from None
        raise
    return bool(answer["collect"])


async def _log_in(api: Api, driver: DemoDriver) -> Api:
    try:
        return await api.log_in(driver.phone, driver.password)
    except ApiRefused as refused:
        if refused.status in GONE:
            raise AccountGone from None
        raise
