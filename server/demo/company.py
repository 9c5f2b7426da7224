"""The demo's company: made once, its log-ins kept in a file that only its owner may read."""

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from server.accounts import service as accounts
from server.accounts.model import Locale, NewMember
from server.credentials.model import Role
from server.databases import Opened
from server.demo import notices
from server.demo.api import Api
from server.kit import db
from server.kit.wire import rfc3339
from server.policies import service as policies

COMPANY_NAME: Final = "Liverpool Parcels (demo)"
TIME_ZONE: Final = "Europe/London"
DISPATCHER_EMAIL: Final = "dispatcher@demo.example"
MAIN_USER_EMAIL: Final = "main@demo.example"
BUSINESS_NUMBER: Final = "000000000000"
PRIVACY_CONTACT: Final = "privacy@demo.example"
GRACE: Final = timedelta(0)
DRIVERS: Final = (
    ("Aidos Serikov", "+77010000101"),
    ("Madina Omarova", "+77010000102"),
    ("Yerlan Abenov", "+77010000103"),
    ("Olga Petrova", "+77010000104"),
    ("Timur Akhmetov", "+77010000105"),
    ("Saule Nurlan", "+77010000106"),
)
_WORDS: Final = (
    *("amber", "birch", "cedar", "delta", "ember", "falcon", "garnet", "harbor"),
    *("indigo", "juniper", "kestrel", "lagoon", "maple", "nectar", "onyx", "prairie"),
    *("quartz", "raven", "saffron", "tundra", "umber", "violet", "willow", "zephyr"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoDriver:
    """A driver's log-in, device token and vehicle."""

    driver_id: str
    phone: str
    password: str = field(repr=False)
    device_token: str = field(repr=False)
    vehicle_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoCompany:
    dispatcher_login: str
    dispatcher_password: str = field(repr=False)
    main_user_login: str
    main_user_password: str = field(repr=False)
    api_token: str = field(repr=False)
    drivers: tuple[DemoDriver, ...]
    clock: str
    """What the demo's clock showed last: it never goes back, not even over a restart."""


def load(file: Path) -> DemoCompany | None:
    """Return the company made by an earlier start, or None."""
    if not file.exists():
        return None
    found: dict[str, Any] = json.loads(file.read_text("utf-8"))
    drivers = tuple(DemoDriver(**driver) for driver in found.pop("drivers"))
    return DemoCompany(drivers=drivers, **found)


def save(file: Path, company: DemoCompany) -> None:
    """Write the file whole, readable by its owner only."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = file.with_suffix(".new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        json.dump(asdict(company), opened, indent=2)
    draft.replace(file)


async def make(opened: Opened, api: Api, *, now: datetime) -> DemoCompany:
    """Make the company as its operator would, and its people as they themselves would."""
    main_password, dispatcher_password = new_password(), new_password()
    made, invitation = await accounts.create_company(
        opened.pool,
        opened.vault,
        name=COMPANY_NAME,
        time_zone=TIME_ZONE,
        main_user=NewMember(
            role=Role.MAIN_USER,
            name="Main User",
            email=MAIN_USER_EMAIL,
            phone=None,
            locale=Locale.EN,
        ),
        erasure_grace_s=int(GRACE.total_seconds()),
        now=now,
    )
    # A consent names who asks for it: without this the drivers could give none.
    async with db.tenant(opened.pool, made.company_id) as conn:
        await policies.set_controller(
            conn,
            made.company_id,
            business_number=BUSINESS_NUMBER,
            privacy_contact=PRIVACY_CONTACT,
            now=now,
        )
        await policies.ship(conn, made.company_id, now)
    await _accept(api, invitation.code, main_password)
    main_user = await api.log_in(MAIN_USER_EMAIL, main_password)
    await main_user.step_up(main_password)
    invited = await main_user.post(
        "/v1/members",
        {
            "name": "Dana Dispatcher",
            "email": DISPATCHER_EMAIL,
            "role": "dispatcher",
            "locale": "en",
        },
    )
    await _accept(api, invited["invitation"]["code"], dispatcher_password)
    dispatcher = await api.log_in(DISPATCHER_EMAIL, dispatcher_password)
    scopes = ["routes:read", "routes:write"]
    planner = await main_user.post("/v1/api-tokens", {"name": "Route planner", "scopes": scopes})
    drivers = [
        await _add_driver(api, dispatcher, name, phone, plate=f"JLD {number:03}", now=now)
        for number, (name, phone) in enumerate(DRIVERS, start=1)
    ]
    return DemoCompany(
        dispatcher_login=DISPATCHER_EMAIL,
        dispatcher_password=dispatcher_password,
        main_user_login=MAIN_USER_EMAIL,
        main_user_password=main_password,
        api_token=planner["token"],
        drivers=tuple(drivers),
        clock=now.isoformat(),
    )


async def _add_driver(
    api: Api, dispatcher: Api, name: str, phone: str, *, plate: str, now: datetime
) -> DemoDriver:
    password = new_password()
    told = {
        "told_at": rfc3339(now),
        "how": "in_person",
        "editions": [{"document": "driver_notice", "edition": 1}],
    }
    added = await dispatcher.post(
        "/v1/drivers", {"name": name, "phone": phone, "locale": "en", "attestation": told}
    )
    await _accept(api, added["invitation"]["code"], password)
    driver = await api.log_in(phone, password)
    device: Mapping[str, str] = await driver.post("/v1/me/devices", {"name": "Demo phone"})
    await notices.acknowledge(driver)
    vehicle: Mapping[str, str] = await dispatcher.post(
        "/v1/vehicles", {"name": f"Van {plate[-1]}", "plate": plate}
    )
    return DemoDriver(
        driver_id=added["driver"]["driver_id"],
        phone=phone,
        password=password,
        device_token=device["token"],
        vehicle_id=vehicle["vehicle_id"],
    )


async def _accept(api: Api, code: str, password: str) -> None:
    await api.post("/v1/invitations/accept", {"code": code, "password": password})


def new_password() -> str:
    """Return a password one can type: four words of a short list and a number, 31 bits."""
    words = "-".join(secrets.choice(_WORDS) for _ in range(4))
    return f"{words}-{secrets.randbelow(9000) + 1000}"
