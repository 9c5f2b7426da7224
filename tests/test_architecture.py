"""The rules of the house that no linter knows."""

import ast
import importlib
import inspect
import pkgutil
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import server
from server.app import ENDPOINTS
from server.credentials.access import Access
from server.kit.api import Endpoint
from server.kit.errors import DomainError
from server.kit.problem import STATUS

TOP: Final = Path(__file__).parents[1]
FOLDERS: Final = ("server", "geo", "tests", "bench", "migrations")
SOURCES: Final = tuple(
    path
    for folder in FOLDERS
    for path in sorted((TOP / folder).rglob("*"))
    if path.suffix in {".py", ".sql"} and "static" not in path.parts
)
PROGRAM: Final = tuple(
    path for path in SOURCES if path.relative_to(TOP).parts[0] in {"server", "geo", "migrations"}
)
FILE_LINES_MAX: Final = 400
FUNCTION_LINES_MAX: Final = 70
FEATURE_FILES_MAX: Final = 8
# The kit's modules have no more in common than that they know nothing of the business, and the demo
# is a play with a module for each of its parts: neither is a feature that one keeps in mind whole.
NO_FEATURES: Final = frozenset({"kit", "demo"})
# Read the wall's clock: what entries are given as their clock; a row-level policy, which takes
# no parameters and only narrows what a job with a clock of its own may delete; and a removal that
# is refused where main's clock is not its own; a migration, which nobody gives one.
CLOCKS: Final = frozenset(
    {
        "server/kit/web.py",
        "migrations/main/0018_reads.sql",
        "migrations/main/0035_assigned_at.sql",
        "migrations/main/0036_account_standing.sql",
        "server/retention/store.py",
    }
)
WALL_CLOCK: Final = re.compile(
    r"\bdatetime\.(now|utcnow|today)\b|\bdate\.today\b"
    r"|(?<![\w.])(now|clock_timestamp|statement_timestamp|transaction_timestamp)\(\)"
    r"|\b(current_timestamp|current_date|localtimestamp)\b",
    re.IGNORECASE,
)

# Outlives its transaction, and so a connection's way through the pool: kit/db asks nothing of one
# that comes back. The committer's connections are its own; who listens stops listening.
OUTLIVES: Final = re.compile(
    r"[\"']SET (?!LOCAL |TRANSACTION )|pg_(try_)?advisory_lock|[\"']LISTEN |CREATE TEMP"
    r"|add_listener|set_config\(|WITH HOLD"
)
OUTLIVING: Final = frozenset(
    {"server/deposits/store.py", "server/live/hub.py", "server/rekeying/store.py"}
)


def name_of(path: Path) -> str:
    return path.relative_to(TOP).as_posix()


def endpoint_name(one: Endpoint) -> str:
    return one.name


def rules() -> list[type[DomainError]]:
    """Return every error that a rule of the server raises, after importing all of it."""
    for module in pkgutil.walk_packages(server.__path__, "server."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found: list[type[DomainError]] = []
    waiting = list(STATUS)
    while waiting:
        for rule in waiting.pop().__subclasses__():
            waiting.append(rule)
            # Those of tests are no part of it, and private ones only stand for others in the docs.
            if rule.__module__.startswith("server.") and not rule.__name__.startswith("_"):
                found.append(rule)
    return found


RULES: Final = rules()


def test_every_error_is_of_one_kind_and_every_kind_has_a_status() -> None:
    assert len(RULES) >= 30
    for kind in DomainError.__subclasses__():
        assert kind in STATUS, kind
    for rule in RULES:
        assert sum(kind in STATUS for kind in rule.__mro__) == 1, rule


def test_every_error_has_a_slug_of_its_own_and_a_title() -> None:
    for rule in RULES:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", rule.slug), rule
        assert rule.title[0].isupper(), rule
        assert not rule.title.endswith("."), rule

    assert [slug for slug, n in Counter(rule.slug for rule in RULES).items() if n > 1] == []


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_no_file_is_longer_than_a_reader_keeps_in_mind(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= FILE_LINES_MAX


def crowded(server: Path) -> dict[str, int]:
    """Return the features with too many modules; one in a folder of a feature counts as well."""
    features = (one for one in server.iterdir() if one.is_dir() and one.name not in NO_FEATURES)
    modules = {
        one.name: sum(path.name != "__init__.py" for path in one.rglob("*.py")) for one in features
    }
    return {name: count for name, count in modules.items() if count > FEATURE_FILES_MAX}


def test_no_feature_has_more_files_than_a_reader_keeps_in_mind() -> None:
    assert crowded(TOP / "server") == {}


def test_control_a_feature_with_one_file_too_many_is_found(tmp_path: Path) -> None:
    for feature, files in {"full": 8, "crowded": 9, "kit": 9}.items():
        (tmp_path / feature / "within").mkdir(parents=True)
        for name in ("__init__", "within/__init__", "within/model", *map(str, range(files - 1))):
            (tmp_path / feature / f"{name}.py").touch()

    assert crowded(tmp_path) == {"crowded": 9}


def test_no_function_is_longer_than_a_screen() -> None:
    long = [
        f"{name_of(path)}:{function.lineno} {function.name}"
        for path in SOURCES
        if path.suffix == ".py"
        for function in functions_of(path)
        if (function.end_lineno or 0) - function.lineno >= FUNCTION_LINES_MAX
    ]

    assert long == []


def functions_of(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("one", ENDPOINTS, ids=endpoint_name)
def test_every_endpoint_says_who_may_call_it_and_what_it_does(one: Endpoint) -> None:
    assert isinstance(one.access, Access)
    named = bool(one.access.roles or one.access.scope or one.access.device)
    assert named is not one.access.public
    assert one.access.words()
    first = inspect.cleandoc(one.handler.__doc__ or "").split("\n")[0]
    assert first.endswith(".")


def test_every_endpoint_has_a_path_and_a_name_of_its_own() -> None:
    assert max(Counter((one.method, one.path) for one in ENDPOINTS).values()) == 1
    assert max(Counter(one.name for one in ENDPOINTS).values()) == 1
    assert all(one.path.startswith("/v1/") for one in ENDPOINTS)


@pytest.mark.parametrize("path", PROGRAM, ids=name_of)
def test_nothing_outlives_a_transaction_on_a_connection_of_a_pool(path: Path) -> None:
    found = OUTLIVES.search(path.read_text())

    assert (found is not None) == (name_of(path) in OUTLIVING)


@pytest.mark.parametrize("path", PROGRAM, ids=name_of)
def test_time_is_a_parameter(path: Path) -> None:
    found = [
        f"{number}: {line.strip()}"
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if WALL_CLOCK.search(line)
    ]

    assert len(found) == (1 if name_of(path) in CLOCKS else 0), found
