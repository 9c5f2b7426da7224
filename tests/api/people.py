"""Two companies on a served Jolda, a caller of every kind, and one of everything with an id."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from server.alerts import service as alerts
from server.certificates import store as certificates
from server.certificates.model import Certificate
from server.credentials import service as credentials
from server.credentials.model import Role, Scope
from server.demo import company as companies
from server.demo.api import Api
from server.demo.company import DemoCompany, DemoDriver
from server.gate import service as gate
from server.kit import db
from server.kit.api import Endpoint
from server.kit.ids import uuid7
from server.kit.wire import rfc3339
from server.routes import service as routes
from tests.alerts.seen import OnTheWay, Seen
from tests.consents import body
from tests.running import Demo

NOBODY: Final = "nobody"
DEVICE: Final = "device"
# From the one who may least to the one who may most.
CALLERS: Final = (NOBODY, DEVICE, *(role.value for role in reversed(tuple(Role))))
INVITED_PHONES: Final = ("+77010000196", "+77010000197", "+77010000198", "+77010000199")
QUESTION: Final = {
    "document": "driver_notice",
    "edition": 1,
    "language": "ru",
    "question": "Who sees where I am?",
}
NEXT_CONTROLLER: Final = {
    "name": "Turan Logistics",
    "bin": "210987654321",
    "privacy_contact": "privacy@turan.example",
}
AGREED_AT: Final = "2020-01-01T00:00:00Z"
CHANGE_AHEAD: Final = timedelta(days=31)
STOPS: Final = ({"name": "Depot", "lat": 53.41, "lon": -2.97},)


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """One company's callers by kind, and the id of one of each of its things."""

    company_id: UUID
    tokens: Mapping[str, str] = field(repr=False)
    api_tokens: Mapping[Scope, str] = field(repr=False)
    """One for each scope, with that scope alone."""
    member_ids: Mapping[str, UUID]
    things: Mapping[str, str]
    """By the name of the path parameter or member that takes it."""


def may_call(one: Endpoint, caller: str) -> bool:
    """Tell whether the endpoint's access lets this kind of caller in."""
    access: Any = one.access
    if access.public:
        return True
    if caller == NOBODY:
        return False
    return bool(access.device) if caller == DEVICE else Role(caller) in access.roles


async def people_of(served: Demo, company: DemoCompany) -> People:
    """Log everybody in and make one of each thing, the way its users would."""
    first, other, leaver = company.drivers[0], company.drivers[1], company.drivers[-1]
    logins = {
        Role.MAIN_USER: (company.main_user_login, company.main_user_password),
        Role.DISPATCHER: (company.dispatcher_login, company.dispatcher_password),
        Role.DRIVER: (first.phone, first.password),
    }
    opened = {role: await _log_in(served, *login) for role, login in logins.items()}
    calling = {role: served.api.acting_with(token) for role, token in opened.items()}
    main_user, dispatcher, driver = calling.values()
    await _on_shift(served, driver, first.device_token)
    route, imported = await _planned(served, dispatcher, first)
    stop_id = route["stops"][0]["stop_id"]
    link = await dispatcher.post(f"/v1/routes/{route['route_id']}/stops/{stop_id}/links", {})
    leaving = await served.api.log_in(leaver.phone, leaver.password)
    erasure = await leaving.post("/v1/erasure-requests", {"driver_id": leaver.driver_id})
    coming, invited, *minors = await _invited(served, dispatcher)
    devices = await driver.get("/v1/me/devices")
    made = {
        scope: await main_user.post("/v1/api-tokens", {"name": scope.value, "scopes": [scope]})
        for scope in Scope
    }
    questions = [await driver.post("/v1/me/clarifications", QUESTION) for _ in range(3)]
    records = await driver.get("/v1/me/consents/records")
    noticed = await driver.get("/v1/me/notices")
    session = await driver.get("/v1/session")
    ids = {
        role.value: UUID((await api.get("/v1/me"))["member_id"]) for role, api in calling.items()
    }
    company_id = UUID(session["company"]["company_id"])
    await _certified(served, company_id, UUID(erasure["request_id"]))
    return People(
        company_id=company_id,
        tokens={DEVICE: first.device_token, **{str(role): one for role, one in opened.items()}},
        api_tokens={scope: one["token"] for scope, one in made.items()},
        member_ids=ids,
        things={
            "alert_id": await _alerted(served, dispatcher, company_id, company.drivers[3]),
            "driver_id": first.driver_id,
            "vehicle_id": first.vehicle_id,
            "device_id": devices["items"][0]["device_id"],
            "api_token_id": made[Scope.LIVE_READ]["api_token_id"],
            "route_id": route["route_id"],
            "over_route_id": await _over(served, dispatcher, other),
            "plan_version": "1",
            **imported,
            "stop_id": stop_id,
            "event_id": await _commented(served, driver, route),
            "link_id": link["link_id"],
            "token": link["url_token"],
            "request_id": erasure["request_id"],
            "record_id": records["items"][0]["record_id"],
            "change_id": await _announced(served, main_user),
            "clarification_id": questions[0]["clarification_id"],
            "withdrawn_clarification_id": questions[1]["clarification_id"],
            "answered_clarification_id": questions[2]["clarification_id"],
            "notice_id": noticed["items"][0]["notice_id"],
            "member_id": first.driver_id,
            "news_id": str(uuid7()),
            "code": coming["invitation"]["code"],
            "invited_driver_id": invited["driver"]["driver_id"],
            "minor_driver_id": minors[0]["driver"]["driver_id"],
            "entrusted_driver_id": minors[1]["driver"]["driver_id"],
            "spare_driver_id": other.driver_id,
            "lasting_driver_id": company.drivers[2].driver_id,
        },
    )


async def _certified(served: Demo, company_id: UUID, request_id: UUID) -> None:
    """Put down a certificate of this request: an hour has to pass before there is a real one."""
    made = Certificate(
        request_id=request_id, ledger_index=1, issued_at=served.clock(), document="{}"
    )
    async with db.tenant(served.running.opened.pool, company_id) as conn:
        await certificates.insert(conn, company_id, made)


async def _over(served: Demo, dispatcher: Api, driver: DemoDriver) -> str:
    """Plan a route that was over hours ago; return its id."""
    at = served.clock() - timedelta(hours=12)
    plan = {
        "name": "Night",
        "date": at.date().isoformat(),
        "driver_id": driver.driver_id,
        "planned_start": rfc3339(at),
        "stops": [{**stop, "planned_arrival": rfc3339(at)} for stop in STOPS],
    }
    return str((await dispatcher.post("/v1/routes", plan))["route_id"])


async def _commented(served: Demo, driver: Api, route: Any) -> str:
    """Let the driver say something of the route's first stop; return the event's id."""
    event_id = str(uuid7())
    said = {"event_id": event_id, "type": "comment", "at": rfc3339(served.clock()), "text": "Gate"}
    path = f"/v1/me/stops/{route['stops'][0]['stop_id']}/events"
    await driver.post(path, {**said, "route_id": route["route_id"]})
    return event_id


async def _log_in(served: Demo, login: str, password: str) -> str:
    asked = {"login": login, "password": password, "transport": "bearer"}
    return str((await served.api.post("/v1/session", asked))["token"])


async def _planned(served: Demo, dispatcher: Api, driver: DemoDriver) -> tuple[Any, dict[str, str]]:
    """Plan a route for the driver, and import others; return the one, and the others' ids."""
    plan = {"name": "Round", "date": served.clock().date().isoformat(), "stops": list(STOPS)}
    given = {"driver_id": driver.driver_id, "vehicle_id": driver.vehicle_id}
    route = await dispatcher.post("/v1/routes", {**plan, **given})
    others = ("spare_route_id", "cancelled_route_id", "mistaken_route_id")
    imported = await dispatcher.post("/v1/route-imports", {"routes": [plan] * len(others)})
    ids = [one["route_id"] for one in imported["routes"]]
    things = dict(zip(others, ids, strict=True))
    return route, {**things, "import_id": imported["import_id"]}


async def _invited(served: Demo, dispatcher: Api) -> list[Any]:
    """Invite drivers; the last two may be minors, and of the very last a guardian agreed."""
    added = [
        await dispatcher.post("/v1/drivers", {"name": "Invited", "phone": phone, "locale": "ru"})
        for phone in INVITED_PHONES
    ]
    minors = [f"/v1/drivers/{one['driver']['driver_id']}" for one in added[2:]]
    for path in minors:
        await dispatcher.put(f"{path}/birth-year", {"birth_year": served.clock().year - 17})
    agreement = {"relation": "parent", "how": "in_person", "told_at": AGREED_AT}
    await dispatcher.post(
        f"{minors[-1]}/guardian-consent", {"guardian_name": "Mother", **agreement}
    )
    return added


async def _announced(served: Demo, main_user: Api) -> str:
    """Announce another controller; return the change's id."""
    effective_at = rfc3339(served.clock() + CHANGE_AHEAD)
    announced = {**NEXT_CONTROLLER, "effective_at": effective_at}
    return str((await main_user.post("/v1/controller-changes", announced))["change_id"])


async def _alerted(served: Demo, dispatcher: Api, company_id: UUID, late_one: DemoDriver) -> str:
    """Let another driver be late on a route of their own; return the alert's id."""
    driver = await served.api.log_in(late_one.phone, late_one.password)
    await _on_shift(served, driver, late_one.device_token)
    await _planned(served, dispatcher, late_one)
    driver_id, now = UUID(late_one.driver_id), served.clock()
    async with db.tenant(served.running.opened.pool, company_id) as conn:
        heads = {one.driver_id: one for one in await routes.active(conn, company_id, now=now)}
        late = OnTheWay(
            head=heads[driver_id],
            gate=await gate.read(conn, company_id, driver_id),
            summary=Seen(deviation_s=3_600.0),
            stop_ids=(uuid7(), uuid7()),
        )
    opened = served.running.opened
    await alerts.judge_all(opened.pool, opened.vault, company_id, [late], now=now)
    return str((await dispatcher.get("/v1/alerts"))["items"][0]["alert_id"])


async def _on_shift(served: Demo, driver: Api, device_token: str) -> None:
    for item in ("location", "dispatch_tracking", "plan_fact"):
        await driver.post("/v1/me/consents", body(item))
    await driver.post("/v1/me/shift/start")
    position = {"recorded_at": rfc3339(served.clock()), "lat": 53.41, "lon": -2.97}
    await driver.acting_with(device_token).post("/v1/positions", {"positions": [position]})


async def second_company(served: Demo) -> DemoCompany:
    """Make a company whose people have the same names, phones and e-mails."""
    return await companies.make(served.running.opened, served.api, now=served.clock())


async def fresh_session(
    served: Demo, people: People, role: str, *, lasts: timedelta = timedelta(hours=1)
) -> str:
    """Return a token of a new session, without the cost and the limits of a log-in."""
    async with db.tenant(served.running.opened.pool, people.company_id) as conn:
        session = await credentials.open_session(
            conn,
            people.company_id,
            people.member_ids[role],
            Role(role),
            lasts=lasts,
            now=served.clock(),
        )
    return session.token
