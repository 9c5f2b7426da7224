"""No identity number is kept in any free text of a person's profile, or of what is theirs."""

from typing import Any, Final

import pytest
from aiohttp import ClientSession

from server.devices.web import ENDPOINTS as DEVICES
from server.log_in.web import logging_in
from tests.accounts.people import new_driver, new_staff
from tests.endpoints import ACCOUNTS, ATTESTATIONS, CONSENT
from tests.guardians.minors import AGREEMENT, MINOR, call, path_of, state
from tests.http import serve
from tests.world import World

IIN: Final = "901301300007"
"""Of nobody: no year has a month 13."""
GROUPED: Final = "901301-300 007"
ANOTHER: Final = "901301300008"
"""Twelve digits whose check digit is wrong: a number like any other."""
TEXTS: Final[dict[str, tuple[str, str, dict[str, Any]]]] = {
    "driver": ("/v1/drivers", "name", new_driver()),
    "staff": ("/v1/members", "name", new_staff()),
    "vehicle": ("/v1/vehicles", "name", {"name": "Truck", "plate": "A 123 BC"}),
    "API token": ("/v1/api-tokens", "name", {"name": "ERP", "scopes": ["routes:read"]}),
    "device": ("/v1/me/devices", "name", {"name": "Pixel"}),
    "guardian": ("guardian-consent", "guardian_name", AGREEMENT),
    "document": ("guardian-consent", "document_reference", AGREEMENT),
}


@pytest.fixture
async def client(world: World) -> Any:
    endpoints = (ACCOUNTS, ATTESTATIONS, CONSENT, DEVICES)
    async with serve(
        world, *endpoints, prepare=lambda app: app.cleanup_ctx.append(logging_in)
    ) as opened:
        yield opened


@pytest.mark.proves("qoldau:5.1-categories", "relog-service:2.2b")
@pytest.mark.parametrize("of", TEXTS)
async def test_an_identity_number_in_a_free_text_is_refused_by_its_place(
    client: ClientSession, world: World, of: str
) -> None:
    path, name, body = TEXTS[of]
    if of == "device":
        token = await world.driver_session()
    else:
        token = await world.session("main_user", stepped_up=True)
    if not path.startswith("/"):
        await state(world, world.driver.member_id, MINOR)
        path = path_of(world.driver.member_id, path)

    for text in (IIN, GROUPED, f"Aidos {IIN}", f"ИИН {GROUPED}"):
        status, problem = await call(client, "POST", path, token, body | {name: text})

        assert (status, problem["code"]) == (422, "fields-invalid")
        assert [(one["path"], one["code"]) for one in problem["fields"]] == [
            (f"/{name}", "national_id")
        ]
        assert IIN not in str(problem)
    assert (await call(client, "POST", path, token, body | {name: f"No. {ANOTHER}"}))[0] == 201


@pytest.mark.proves("qoldau:5.1-categories")
@pytest.mark.parametrize("place", ["iin", "national_id", "birth_date", "id_copy"])
async def test_there_is_no_place_for_one(client: ClientSession, world: World, place: str) -> None:
    staff = await world.session("dispatcher")

    status, problem = await call(client, "POST", "/v1/drivers", staff, new_driver(**{place: IIN}))

    assert status == 422
    assert [one["path"] for one in problem["fields"]] == [f"/{place}"]
