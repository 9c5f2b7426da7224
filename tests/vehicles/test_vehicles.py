"""Vehicles: one plate each, page by page, in their own company only."""

from server.kit import db
from server.kit.ids import uuid7
from server.vehicles import service
from tests.accounts.people import accounts, add, code_of
from tests.http import bearer
from tests.world import NOW, World


async def test_vehicles_have_one_plate_each_and_come_in_pages(world: World) -> None:
    async with accounts(world) as client:
        staff = await world.session("dispatcher")
        for number in range(3):
            body = {"name": "Kamaz", "plate": f"{number} ABC 02"}
            await add(client, "/v1/vehicles", staff, body)
        answer = await client.post(
            "/v1/vehicles", json={"name": "X", "plate": "1 ABC 02"}, headers=bearer(staff)
        )
        assert await code_of(answer) == (409, "plate-taken")

        first = await (
            await client.get("/v1/vehicles", params={"limit": "2"}, headers=bearer(staff))
        ).json()
        rest = await (
            await client.get(
                "/v1/vehicles",
                params={"limit": "2", "cursor": first["next_cursor"]},
                headers=bearer(staff),
            )
        ).json()
        wrong = await client.get("/v1/vehicles", params={"cursor": "!"}, headers=bearer(staff))

        plates = [one["plate"] for one in first["items"] + rest["items"]]
        assert plates == ["0 ABC 02", "1 ABC 02", "2 ABC 02"]
        assert rest["next_cursor"] is None
        assert await code_of(wrong) == (422, "cursor-invalid")


async def test_a_vehicle_is_found_in_its_own_company_only(world: World) -> None:
    async with db.tenant(world.pool, world.company_id) as conn:
        made = await service.add_vehicle(conn, world.company_id, name="V", plate="P", now=NOW)

        assert await service.is_vehicle(conn, world.company_id, made.vehicle_id)
        assert not await service.is_vehicle(conn, uuid7(), made.vehicle_id)
        assert (await service.vehicles(conn, world.company_id))[0] == [made]
