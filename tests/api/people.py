"""Two companies on a served Jolda, a caller of every kind, and one of everything with an id."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from server.alerts import service as alerts
from server.certificates import store as certificates
from server.certificates.model import Certificate
from server.corrections import contacts
from server.corrections import store as corrections
from server.corrections.model import ContactChange, Field, Source
from server.credentials import service as credentials
from server.credentials.model import Role, Scope
from server.demo import company as companies
from server.demo.api import Api
from server.demo.company import DemoCompany, DemoDriver
from server.gate import service as gate
from server.holds import service as holds
from server.incidents import telling
from server.kit import db
from server.kit.api import Endpoint
from server.kit.ids import uuid7
from server.kit.wire import rfc3339
from server.routes import service as routes
from server.vault.model import Category as VaultCategory
from tests.alerts.seen import OnTheWay, Seen
from tests.consents import body
from tests.running import Demo
from tests.world import step_up

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
RECEIVED_AT: Final = "2026-11-20T10:00:00Z"
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
    opened = {role: await _proven(served, *login) for role, login in logins.items()}
    calling = {role: served.api.acting_with(token) for role, token in opened.items()}
    main_user, dispatcher, driver = calling.values()
    await on_shift(served, driver, first.device_token)
    route, imported = await planned(served, dispatcher, first)
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
    open_sessions = await driver.get("/v1/me/sessions")
    ids = {
        role.value: UUID((await api.get("/v1/me"))["member_id"]) for role, api in calling.items()
    }
    company_id = UUID(session["company"]["company_id"])
    await _certified(served, company_id, UUID(erasure["request_id"]), UUID(leaver.driver_id))
    return People(
        company_id=company_id,
        tokens={DEVICE: first.device_token, **{str(role): one for role, one in opened.items()}},
        api_tokens={scope: one["token"] for scope, one in made.items()},
        member_ids=ids,
        things={
            "alert_id": await _alerted(served, dispatcher, company_id, company.drivers[3]),
            **_drivers(company, invited, minors),
            "device_id": devices["items"][0]["device_id"],
            "api_token_id": made[Scope.LIVE_READ]["api_token_id"],
            "route_id": route["route_id"],
            "over_route_id": await _over(served, dispatcher, other),
            "plan_version": "1",
            **imported,
            "stop_id": stop_id,
            "event_id": await commented(served, driver, route),
            "link_id": link["link_id"],
            "token": link["url_token"],
            "request_id": erasure["request_id"],
            "record_id": records["items"][0]["record_id"],
            "change_id": await _announced(served, main_user),
            "clarification_id": questions[0]["clarification_id"],
            "withdrawn_clarification_id": questions[1]["clarification_id"],
            "answered_clarification_id": questions[2]["clarification_id"],
            **await registered(served, main_user, dispatcher, driver, first),
            "notice_id": noticed["items"][0]["notice_id"],
            "session_id": open_sessions["items"][0]["session_id"],
            "news_id": str(uuid7()),
            "code": coming["invitation"]["code"],
            "contact_code": await _asked_for(served, company_id, ids),
            "field": Field.EMAIL,
            "company_id": str(company_id),
            **await _asked(dispatcher, driver, first),
        },
    )


def _drivers(company: DemoCompany, invited: Any, minors: Any) -> dict[str, str]:
    """Return who stands for what: each driver that a request changes for good is one of its own."""
    first = company.drivers[0]
    return {
        "driver_id": first.driver_id,
        "vehicle_id": first.vehicle_id,
        "member_id": first.driver_id,
        "invited_driver_id": invited["driver"]["driver_id"],
        "minor_driver_id": minors[0]["driver"]["driver_id"],
        "entrusted_driver_id": minors[1]["driver"]["driver_id"],
        "spare_driver_id": company.drivers[1].driver_id,
        "lasting_driver_id": company.drivers[2].driver_id,
        "leaving_driver_id": company.drivers[4].driver_id,
    }


async def _stepped_up(served: Demo, *tokens: str) -> None:
    """Let sessions count as proven for as long as they last: these tests may take long."""
    for token in tokens:
        await step_up(served.running.opened.pool, token)


async def _certified(served: Demo, company_id: UUID, request_id: UUID, driver_id: UUID) -> None:
    """Put down a certificate of this request and a refusal: real ones would take hours."""
    made = Certificate(
        request_id=request_id, ledger_index=1, issued_at=served.clock(), document="{}"
    )
    opened = served.running.opened
    sealed = await opened.vault.seal_text(
        company_id,
        driver_id,
        VaultCategory.CONTACT,
        "A claim is open.",
        row_id=request_id,
        schema=holds.TEXT_SCHEMA,
        now=served.clock(),
    )
    async with db.tenant(opened.pool, company_id) as conn:
        await certificates.insert(conn, company_id, made)
        await holds.put_text(
            conn,
            company_id,
            driver_id,
            request_id,
            text_sealed=sealed,
            locale="en",
            at=served.clock(),
        )


async def _asked(dispatcher: Api, driver: Api, person: DemoDriver) -> dict[str, str]:
    """Let the driver ask for what is theirs to ask; return the ids of what came of it."""
    return {
        "export_id": await packed(driver),
        "hold_id": await wished(driver, person.driver_id),
        "releasable_hold_id": await wished(driver, person.driver_id),
        "person_request_id": await written_in(dispatcher, person),
    }


async def wished(driver: Api, driver_id: str) -> str:
    """Let a driver wish that something of theirs is kept: it holds nothing yet. Return its id."""
    asked = await driver.post("/v1/holds", {"driver_id": driver_id, "category": "consent"})
    return str(asked["hold_id"])


async def packed(driver: Api) -> str:
    """Let a driver ask for a package of their own data; return its id."""
    return str((await driver.post("/v1/me/exports"))["export_id"])


async def written_in(dispatcher: Api, driver: DemoDriver) -> str:
    """Record what a driver asked for by letter; return its id."""
    asked = {"kind": "access", "channel": "letter", "text": "What do you keep of me?"}
    came = {"driver_id": driver.driver_id, "received_at": RECEIVED_AT}
    made = await dispatcher.post("/v1/person-requests", {**asked, **came})
    return str(made["person_request_id"])


async def _asked_for(served: Demo, company_id: UUID, ids: Mapping[str, UUID]) -> str:
    """Let everybody wait for the code of a new e-mail; return that code, which nobody was sent."""
    vault, now, code = served.running.opened.vault, served.clock(), "314159"
    async with db.tenant(served.running.opened.pool, company_id) as conn:
        for role, member_id in ids.items():
            change_id = uuid7()
            asked = ContactChange(
                change_id=change_id,
                field=Field.EMAIL,
                source=Source.SELF,
                by_member=None,
                contact_sealed=await vault.seal_text(
                    company_id,
                    member_id,
                    VaultCategory.CONTACT,
                    f"{role}@new.example",
                    row_id=change_id,
                    schema=contacts.CONTACT_SCHEMA,
                    now=now,
                ),
                code_hash=vault.blind_index(contacts.CODE_INDEX, f"{change_id}:{code}"),
                asked_at=now,
                expires_at=now + timedelta(days=1),
                sent=1,
                first_at=now,
            )
            await corrections.put_waiting(conn, company_id, member_id, asked)
    return code


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


async def commented(served: Demo, driver: Api, route: Any) -> str:
    """Let the driver say something of the route's first stop; return the event's id."""
    event_id = str(uuid7())
    said = {"event_id": event_id, "type": "comment", "at": rfc3339(served.clock()), "text": "Gate"}
    path = f"/v1/me/stops/{route['stops'][0]['stop_id']}/events"
    await driver.post(path, {**said, "route_id": route["route_id"]})
    return event_id


async def _log_in(served: Demo, login: str, password: str) -> str:
    asked = {"login": login, "password": password, "transport": "bearer"}
    return str((await served.api.post("/v1/session", asked))["token"])


async def _proven(served: Demo, login: str, password: str) -> str:
    """Log in, and step up for as long as the session lasts: these tests may take longer."""
    return await step_up(served.running.opened.pool, await _log_in(served, login, password))


async def planned(served: Demo, dispatcher: Api, driver: DemoDriver) -> tuple[Any, dict[str, str]]:
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


async def registered(
    served: Demo, main_user: Api, dispatcher: Api, driver: Api, person: DemoDriver
) -> dict[str, str]:
    """Give a track of the driver to somebody outside, record more, and report incidents."""
    at = served.clock()
    span = {"from": rfc3339(at - timedelta(hours=1)), "to": rfc3339(at)}
    evidence = {"recipient": "Insurer", "document_number": "7", "document_date": "2020-01-01"}
    told = {"driver_id": person.driver_id, "ground": "consent", "evidence": evidence}
    track = {"categories": ["track"], "span": span, "given": "The track of an hour"}
    names = [f"{one}disclosure_id" for one in ("", "releasable_", "refusable_", "cancellable_")]
    made = [await dispatcher.post("/v1/disclosures", {**told, **track}) for _ in names]
    things = {name: one["disclosure_id"] for name, one in zip(names, made, strict=True)}
    await dispatcher.post(f"/v1/disclosures/{things['disclosure_id']}/release", {})
    names = [f"{one}incident_id" for one in ("", "notifiable_", "closable_", "dismissable_")]
    lost = {"what": "A phone is lost"}
    reported = [await driver.post("/v1/incidents", lost) for _ in names]
    things |= {name: one["incident_id"] for name, one in zip(names, reported, strict=True)}
    path = f"/v1/incidents/{things['closable_incident_id']}"
    words = {"categories": ["track"], "consequences": ["none_expected"]}
    scope = {"cause": "lost_device", "source": "tracks", "advice": ["nothing_needed"], **words}
    await main_user.post(f"{path}/assessments", {**scope, **span})
    notified = {"reference": "7", "notified_at": span["to"]}
    await main_user.post(f"{path}/authority-notification", notified)
    company_id = UUID((await driver.get("/v1/session"))["company"]["company_id"])
    async with db.tenant(served.running.opened.pool, company_id) as conn:
        await telling.tell_affected(conn, company_id, at)
    return things


async def _announced(served: Demo, main_user: Api) -> str:
    """Announce another controller; return the change's id."""
    effective_at = rfc3339(served.clock() + CHANGE_AHEAD)
    announced = {**NEXT_CONTROLLER, "effective_at": effective_at}
    return str((await main_user.post("/v1/controller-changes", announced))["change_id"])


async def _alerted(served: Demo, dispatcher: Api, company_id: UUID, late_one: DemoDriver) -> str:
    """Let another driver be late on a route of their own; return the alert's id."""
    driver = await served.api.log_in(late_one.phone, late_one.password)
    await on_shift(served, driver, late_one.device_token)
    await planned(served, dispatcher, late_one)
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


async def on_shift(served: Demo, driver: Api, device_token: str) -> None:
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
