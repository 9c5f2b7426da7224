"""What can be known of the production-like run without a container engine."""

import re
import stat
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from server.kit.localpg.cluster import SETTINGS

TOP: Final = Path(__file__).parents[1]
COMPOSE: Final[dict[str, Any]] = yaml.safe_load((TOP / "docker-compose.yml").read_text())
SERVICES: Final[dict[str, dict[str, Any]]] = COMPOSE["services"]
DOCKERFILE: Final = re.sub(r"\\\n", " ", (TOP / "Dockerfile").read_text())
COPIES: Final = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)

# Of the compose specification, what is used here: a misspelt key is ignored by some engines.
SECTIONS: Final = {"name", "services", "networks", "volumes", "configs", "secrets"}
KEYS: Final = {
    "build",
    "cap_drop",
    "command",
    "configs",
    "depends_on",
    "environment",
    "healthcheck",
    "image",
    "init",
    "networks",
    "ports",
    "read_only",
    "restart",
    "secrets",
    "security_opt",
    "shm_size",
    "stop_grace_period",
    "tmpfs",
    "user",
    "volumes",
}
# A version, perhaps with a variant: never `latest`, never nothing.
PINNED: Final = re.compile(r"^[a-z]+:\d+\.\d+[a-z0-9.-]*$")
DATABASES: Final = ("main", "keys")
HOW_TO: Final = (TOP / "docs" / "how-to" / "run-in-production.md").read_text()

each_service = pytest.mark.parametrize("name", sorted(SERVICES))


def test_the_file_has_only_known_sections() -> None:
    assert {key for key in COMPOSE if not key.startswith("x-")} == SECTIONS
    assert set(SERVICES) == {"main", "keys", "migrate", "server"}


@each_service
def test_a_service_has_only_known_keys_and_names_what_exists(name: str) -> None:
    service = SERVICES[name]

    assert set(service) <= KEYS
    assert set(service["networks"]) <= set(COMPOSE["networks"])
    assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])
    assert set(service.get("depends_on", ())) <= set(SERVICES)
    assert {config["source"] for config in service.get("configs", ())} <= set(COMPOSE["configs"])
    named = {volume.partition(":")[0] for volume in _volumes(name, str)}
    assert named <= set(COMPOSE["volumes"])
    for folder in _volumes(name, dict):
        assert set(folder) == {"type", "source", "target", "bind"}
        # Neither made by the engine, and then root's, nor read-only.
        assert (folder["type"], folder["bind"]) == ("bind", {"create_host_path": False})


def _volumes(name: str, kind: type) -> list[Any]:
    """Return the named volumes of a service (``str``), or the machine's folders (``dict``)."""
    return [one for one in SERVICES[name].get("volumes", ()) if isinstance(one, kind)]


def test_nothing_is_declared_that_no_service_uses() -> None:
    for section in ("networks", "volumes", "configs", "secrets"):
        used = {
            entry["source"] if isinstance(entry, dict) else entry.partition(":")[0]
            for service in SERVICES.values()
            for entry in service.get(section, ())
            if section != "volumes" or isinstance(entry, str)
        }
        assert used == set(COMPOSE[section]), section


@each_service
def test_no_process_can_become_more_than_it_is(name: str) -> None:
    service = SERVICES[name]

    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    user = service.get("user") or re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE)[-1]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)


@each_service
def test_every_image_is_pinned(name: str) -> None:
    assert PINNED.match(SERVICES[name]["image"])


def test_every_base_image_is_pinned() -> None:
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)

    assert len(bases) == 3
    assert [base for base in bases if not PINNED.match(base)] == []


@each_service
def test_what_runs_long_has_a_health_check_and_restarts(name: str) -> None:
    service = SERVICES[name]
    if name == "migrate":
        assert service["healthcheck"] == {"disable": True}
        assert service["restart"] == "no"
        return

    assert service["restart"] == "unless-stopped"
    if "build" in service:
        assert re.search(r"^HEALTHCHECK .*127\.0\.0\.1:8081/healthz", DOCKERFILE, re.MULTILINE)
    else:
        assert service["healthcheck"]["test"][:2] == ["CMD", "pg_isready"]
        assert f"--dbname={name}" in service["healthcheck"]["test"]


def test_nothing_serves_before_the_schema_is_there() -> None:
    migrated = {"migrate": {"condition": "service_completed_successfully"}}
    healthy = {name: {"condition": "service_healthy"} for name in DATABASES}

    assert SERVICES["server"]["depends_on"] == migrated
    assert SERVICES["migrate"]["depends_on"] == healthy


def test_the_databases_cannot_be_reached_from_outside_nor_by_each_other() -> None:
    assert not set(SERVICES["main"]["networks"]) & set(SERVICES["keys"]["networks"])
    for name in DATABASES:
        assert "ports" not in SERVICES[name]
        assert COMPOSE["networks"][name] == {"internal": True}
    assert SERVICES["server"]["ports"] == ["127.0.0.1:8080:8080"]


@each_service
def test_no_secret_is_in_the_environment(name: str) -> None:
    for variable, value in SERVICES[name]["environment"].items():
        assert not re.search(r"://[^/@]*:[^/@]*@", value), variable
        if re.search("PASSWORD|SECRET|TOKEN|KEK", variable):
            assert variable.endswith("_FILE")
            folder, _, secret = value.rpartition("/")
            if variable == "JOLDA_KEK_FILE":
                continue
            assert folder == "/run/secrets"
            assert secret in SERVICES[name]["secrets"]


def test_the_kek_lies_in_a_folder_that_can_be_written_for_it_is_exchanged() -> None:
    folder = SERVICES["server"]["environment"]["JOLDA_KEK_FILE"].rpartition("/")[0]
    ignored = (TOP / ".gitignore").read_text().splitlines()

    found = {name: _volumes(name, dict) for name in SERVICES if _volumes(name, dict)}

    assert [one["target"] for one in found.pop("server")] == [folder]
    assert found == {}
    assert "/kek/" in ignored


def test_secrets_are_files_that_neither_git_nor_the_image_sees() -> None:
    files = {name: secret["file"] for name, secret in COMPOSE["secrets"].items()}
    ignored = (TOP / ".dockerignore").read_text().splitlines()

    assert files == {name: f"./secrets/{name}" for name in files}
    assert ignored[1] == "*"
    assert not [line for line in ignored if line.startswith("!") and "secrets" in line]
    assert not re.search(r"^(ENV|ARG).*(PASSWORD|SECRET|TOKEN|KEK)", DOCKERFILE, re.MULTILINE)


def test_a_secret_is_known_to_those_who_need_it_only() -> None:
    known = {
        secret: {name for name in SERVICES if secret in SERVICES[name]["secrets"]}
        for secret in COMPOSE["secrets"]
    }

    assert known == {
        "main_password": {"main", "migrate"},
        "keys_password": {"keys", "migrate"},
        "main_server_password": {"main", "server"},
        "keys_server_password": {"keys", "server"},
    }


@pytest.mark.parametrize(("name", "log_in"), [("migrate", "jolda"), ("server", "jolda_server")])
def test_the_owner_migrates_and_another_log_in_serves(name: str, log_in: str) -> None:
    environment = SERVICES[name]["environment"]

    for variable, database in (("DATABASE_URL", "main"), ("KEYS_DATABASE_URL", "keys")):
        assert environment[variable] == f"postgresql://{log_in}@{database}:5432/{database}"
        assert (SERVICES[database]["environment"]["POSTGRES_USER"] == log_in) is (name == "migrate")


def test_nothing_is_stored_where_nobody_said_in_which_country() -> None:
    """Jolda takes an empty setting for none, and then does not start."""
    for name in ("migrate", "server"):
        assert (
            SERVICES[name]["environment"]["JOLDA_STORAGE_COUNTRY"] == "${JOLDA_STORAGE_COUNTRY:-}"
        )


def test_the_secrets_that_are_told_to_be_made_are_those_that_are_read(tmp_path: Path) -> None:
    told = re.findall("```bash\n(.*?)```", HOW_TO, re.DOTALL)[0]
    header = (TOP / "docker-compose.yml").read_text().partition("\nname:")[0]
    quiet = 'openssl() { echo a; }; sudo() { echo "$@"; };'

    done = subprocess.run(  # noqa: S603 - our own document
        ["/bin/bash", "-euc", quiet + told],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )

    lines = told.splitlines()
    assert re.findall("^#   (.*)$", header, re.MULTILINE)[: len(lines)] == lines
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("secrets/*")}
    assert modes == dict.fromkeys(COMPOSE["secrets"], 0o640)
    (folder,) = _volumes("server", dict)
    assert stat.S_IMODE((tmp_path / folder["source"]).stat().st_mode) == 0o700
    assert set(done.stdout.split()[2:]) == {*(f"secrets/{name}" for name in modes), "kek"}
    # The image's own user, and the group of both PostgreSQL servers.
    user = re.findall(r"^USER (\d+):", DOCKERFILE, re.MULTILINE)[-1]
    groups = {SERVICES[name]["user"].partition(":")[2] for name in DATABASES}
    assert done.stdout.split()[:2] == ["chown", f"{user}:{groups.pop()}"]
    assert not groups


def test_the_image_does_not_run_as_root() -> None:
    users = re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE)

    assert users == ["10001:10001"]
    assert DOCKERFILE.index("USER ") < DOCKERFILE.index("\nCMD ")


def test_what_the_image_copies_exists_and_is_sent() -> None:
    sources = [source for copied in COPIES for source in copied.split()]
    sent = {
        line.removeprefix("!").rstrip("/")
        for line in (TOP / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }

    assert len(sources) >= 9
    for source in sources:
        assert (TOP / source).exists(), source
        assert {source.rstrip("/"), source.partition("/")[0]} & sent, source


@pytest.mark.parametrize("name", DATABASES)
def test_the_databases_log_as_the_embedded_one_does(name: str) -> None:
    options = dict(
        option.split("=", 1)
        for option in SERVICES[name]["command"]
        if option not in ("postgres", "-c")
    )
    expected = {
        key: value
        for key, value in SETTINGS.items()
        if key.startswith("log_")
        and key not in {"log_timezone", "log_destination", "log_line_prefix"}
    }

    assert {key: value for key, value in options.items() if key.startswith("log_")} == expected


def test_every_setting_is_one_that_the_server_reads() -> None:
    known = (TOP / "server" / "settings.py").read_text()
    named = {
        *SERVICES["server"]["environment"],
        *re.findall(r"\b(JOLDA_\w+)=", DOCKERFILE),
    }

    assert [name for name in sorted(named) if f'"{name}"' not in known] == []
