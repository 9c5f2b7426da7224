"""What a driver's app shows before it records: the device notice, acknowledged on each device."""

from server.demo.api import Api


async def acknowledge(person: Api) -> None:
    """Acknowledge the device notice in force on each device of the driver. Again changes nothing.

    Raises
    ------
    ApiRefused
    """
    company_id = (await person.get("/v1/session"))["company"]["company_id"]
    shown = await person.get(
        f"/v1/policies/device_notice/current?company_id={company_id}&language=en"
    )
    read = {name: shown[name] for name in ("edition", "language", "sha256")}
    for device in (await person.get("/v1/me/devices"))["items"]:
        if device["revoked_at"] is None:
            await person.post(f"/v1/me/devices/{device['device_id']}/notice", read)
