import pytest

from server.roads.model import RouterKind
from server.roads.service import OFF, roads_of
from server.settings import SettingsInvalid, read


def test_no_router_is_asked_unless_it_is_named() -> None:
    assert roads_of(read({}).roads) is OFF


@pytest.mark.parametrize("kind", RouterKind)
@pytest.mark.parametrize(
    "url",
    [
        "https://roads.example",
        "https://roads.example:8443/osrm/",
        "http://127.0.0.1:5000",
        "http://localhost:5000",
        "http://[::1]:5000",
        "http://10.1.2.3:5000",
        "http://172.31.0.9",
        "http://192.168.4.5:8002",
        "http://[fd00::7]:8002",
    ],
)
def test_a_router_is_near_or_reached_encrypted(kind: RouterKind, url: str) -> None:
    found = read({"JOLDA_ROADS": kind.value, "JOLDA_ROADS_URL": url})

    assert found.roads is not None
    assert (found.roads.kind, found.roads.url) == (kind, url)
    assert url not in repr(found)


@pytest.mark.parametrize(
    "url",
    [
        "http://roads.example",
        "http://8.8.8.8:5000",
        "http://172.32.0.1",
        "http://169.254.169.254",
        "http://0.0.0.0:5000",
        "http://10.0.0.1.evil.example",
        "http://osrm:5000",
        "https://user@roads.example",
        "https://user:secret@roads.example",
        "https://roads.example/?key=secret",
        "https://roads.example/#x",
        "https://roads.example:99999",
        "ftp://127.0.0.1",
        "127.0.0.1:5000",
    ],
)
def test_a_router_on_an_open_wire_is_refused(url: str) -> None:
    with pytest.raises(SettingsInvalid, match="JOLDA_ROADS_URL") as refused:
        read({"JOLDA_ROADS": "osrm", "JOLDA_ROADS_URL": url})

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "environment",
    [
        {"JOLDA_ROADS": "osrm"},
        {"JOLDA_ROADS_URL": "http://127.0.0.1:5000"},
        {"JOLDA_ROADS": "google", "JOLDA_ROADS_URL": "http://127.0.0.1:5000"},
    ],
)
def test_half_a_setting_is_refused(environment: dict[str, str]) -> None:
    with pytest.raises(SettingsInvalid, match="JOLDA_ROADS"):
        read(environment)
