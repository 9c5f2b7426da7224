from pathlib import Path

import pytest

from server.kek.places import TransitAt
from server.settings import SettingsInvalid, read


@pytest.fixture
def transit(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "ca.pem").write_text("a certificate")
    return {
        "JOLDA_KEK_TRANSIT_URL": "https://openbao.example:8200/",
        "JOLDA_KEK_TRANSIT_TOKEN_FILE": str(tmp_path / "token"),
        "JOLDA_KEK_TRANSIT_CA_FILE": str(tmp_path / "ca.pem"),
    }


def test_without_settings_it_is_a_file_without_a_copy() -> None:
    settings = read({"JOLDA_HOME": "/srv/jolda"})

    assert settings.kek.file == Path("/srv/jolda/keys/kek")
    assert settings.kek.copy is None
    assert settings.kek.transit is None


def test_a_copy_of_the_file_is_named_by_its_path() -> None:
    assert read({"JOLDA_KEK_COPY_FILE": "/mnt/kek"}).kek.copy == Path("/mnt/kek")


def test_a_key_of_a_transit_engine(transit: dict[str, str], tmp_path: Path) -> None:
    assert read(transit).kek.transit == TransitAt(
        url="https://openbao.example:8200",
        mount="transit",
        key="jolda",
        token_file=tmp_path / "token",
        ca_file=tmp_path / "ca.pem",
    )


@pytest.mark.parametrize(
    ("text", "mount", "key"),
    [("transit/a", "transit", "a"), ("team/kms/a.b-c_1", "team/kms", "a.b-c_1")],
)
def test_the_key_is_named_with_the_engines_path(
    transit: dict[str, str], text: str, mount: str, key: str
) -> None:
    found = read({**transit, "JOLDA_KEK_TRANSIT_KEY": text}).kek.transit

    assert found is not None
    assert (found.mount, found.key) == (mount, key)


@pytest.mark.parametrize(
    "changes",
    [
        {"JOLDA_KEK_TRANSIT_URL": ""},
        {"JOLDA_KEK_TRANSIT_TOKEN_FILE": ""},
        {"JOLDA_KEK_TRANSIT_URL": "http://openbao.example:8200"},
        {"JOLDA_KEK_TRANSIT_URL": "http://10.0.0.7:8200"},
        {"JOLDA_KEK_TRANSIT_URL": "https://user@openbao.example"},
        {"JOLDA_KEK_TRANSIT_URL": "https://openbao.example/v1"},
        {"JOLDA_KEK_TRANSIT_URL": "https://openbao.example?a=1"},
        {"JOLDA_KEK_TRANSIT_URL": "openbao.example"},
        {"JOLDA_KEK_TRANSIT_KEY": "jolda"},
        {"JOLDA_KEK_TRANSIT_KEY": "transit/"},
        {"JOLDA_KEK_TRANSIT_KEY": "/jolda"},
        {"JOLDA_KEK_TRANSIT_KEY": "transit/../sys"},
        {"JOLDA_KEK_TRANSIT_KEY": "transit/jolda?version=1"},
        {"JOLDA_KEK_TRANSIT_CA_FILE": "/nowhere/ca.pem"},
    ],
)
def test_what_cannot_be_used_is_told_at_the_start(
    transit: dict[str, str], changes: dict[str, str]
) -> None:
    with pytest.raises(SettingsInvalid, match="JOLDA_KEK_TRANSIT_"):
        read({**transit, **changes})


def test_to_this_machine_it_may_go_as_it_is(transit: dict[str, str]) -> None:
    found = read({**transit, "JOLDA_KEK_TRANSIT_URL": "http://127.0.0.1:8200"}).kek.transit

    assert found is not None
    assert found.url == "http://127.0.0.1:8200"
