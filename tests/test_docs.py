"""The documents against the code: what they name exists, and what exists is named."""

import ast
import contextlib
import importlib
import inspect
import io
import pkgutil
import re
import shlex
from collections.abc import Iterator
from functools import cache
from http import HTTPStatus
from pathlib import Path
from types import ModuleType
from typing import Final
from urllib.parse import unquote

import pytest

import server
from server.__main__ import _parser
from server.credentials.model import Scope
from server.kit.api import Endpoint
from server.kit.errors import DomainError
from server.kit.problem import status_of
from server.live import wire
from server.vault.model import Category

ROOT: Final = Path(__file__).parents[1]
REFERENCE: Final = ROOT / "docs" / "reference"
DOCUMENTS: Final = (
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
)

ENVIRONMENT_NAME: Final = re.compile(r"(?:JOLDA|DATABASE|KEYS_DATABASE)_[A-Z_]+")
LINK: Final = re.compile(r"\]\(([^)\s]+)\)")
FENCE: Final = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
SPAN: Final = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
ENDPOINT: Final = re.compile(r"\b(GET|POST|PUT|PATCH|DELETE) (/v1/[^\s`?|]*)")
TARGET: Final = re.compile(r"^([a-z][a-z-]*):", re.MULTILINE)
MAKE: Final = re.compile(r"(?:^|[\s;&(])make ((?:[A-Z]+=\S+ )*)([a-z][a-z-]*)\b")
COMMAND: Final = re.compile(r"(?:^|\s)(?:jolda|\S*python3? -m server) ([a-z].*)")
TREE: Final = re.compile(
    r"(?:\.ci|bench|dashboard|docs|geo|migrations|server|tests)/[\w./-]+|"
    r"Makefile|Dockerfile|docker-compose\.yml|pyproject\.toml"
)
BUILT: Final = ("dashboard/dist", "dashboard/node_modules")
# Refusals that HTTP itself names: aiohttp raises them, kit.problem derives the slug.
BY_HTTP: Final = (HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.EXPECTATION_FAILED)


@cache
def modules() -> tuple[ModuleType, ...]:
    names = [found.name for found in pkgutil.walk_packages(server.__path__, "server.")]
    return tuple(importlib.import_module(name) for name in names)


@cache
def sources() -> tuple[tuple[Path, ast.Module], ...]:
    files = sorted((ROOT / "server").rglob("*.py"))
    return tuple((file, ast.parse(file.read_text("utf-8"))) for file in files)


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Yield every call with the last part of the called name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Name):
                yield called.id, node
            elif isinstance(called, ast.Attribute):
                yield called.attr, node


def text_of(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def table_rows(file: Path) -> Iterator[list[str]]:
    """Yield the cells of every table row that is not a heading."""
    lines = file.read_text("utf-8").splitlines()
    for place, line in enumerate(lines):
        following = lines[place + 1] if place + 1 < len(lines) else ""
        if line.startswith("|") and not _is_rule(line) and not _is_rule(following):
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def _is_rule(line: str) -> bool:
    return re.fullmatch(r"\|[\s:|-]+\|", line) is not None


def plain(cell: str) -> str:
    return cell.strip("`")


def code_of(file: Path) -> list[str]:
    """Return the lines of code in a document: spans, and fences with continued lines joined."""
    written = file.read_text("utf-8")
    lines: list[str] = []
    for fence in FENCE.findall(written):
        lines += fence.replace("\\\n", " ").splitlines()
    return lines + SPAN.findall(FENCE.sub("", written))


def shown(file: Path) -> str:
    return str(file.relative_to(ROOT))


def names_read() -> set[str]:
    return {
        node.value
        for _, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and ENVIRONMENT_NAME.fullmatch(node.value)
    }


def test_every_setting_that_is_read_is_documented_and_no_other() -> None:
    documented = {plain(row[0]) for row in table_rows(REFERENCE / "settings.md")}
    documented = {name for name in documented if ENVIRONMENT_NAME.fullmatch(name)}
    assert sorted(names_read() - documented) == []
    assert sorted(documented - names_read()) == []


# ---- refusals on the wire


def refusals() -> dict[str, set[tuple[int, str]]]:
    """Return by slug the status and title under which the server says it."""
    found: dict[str, set[tuple[int, str]]] = {}
    for rule in _rules(DomainError):
        if rule.__module__.startswith("server.") and "slug" in vars(rule):
            found.setdefault(rule.slug, set()).add((status_of(rule).value, rule.title))
    for _, tree in sources():
        for name, call in calls(tree):
            if name in {"problem", "_LastWord"} and len(call.args) >= 3:
                status, slug, title = call.args[:3]
                if isinstance(status, ast.Attribute) and (written := text_of(slug)) is not None:
                    place = found.setdefault(written, set())
                    place.add((HTTPStatus[status.attr].value, text_of(title) or ""))
    for one in BY_HTTP:
        by_phrase = one.phrase.lower().replace(" ", "-")
        found.setdefault(by_phrase, set()).add((one.value, one.phrase))
    return found


def _rules(kind: type[DomainError]) -> Iterator[type[DomainError]]:
    modules()
    for rule in kind.__subclasses__():
        yield rule
        yield from _rules(rule)


def test_every_problem_is_documented_and_no_other() -> None:
    documented = {plain(row[0]) for row in table_rows(REFERENCE / "problems.md")}
    told = {
        slug: f"| `{slug}` | {' or '.join(f'{status} | {title}' for status, title in said)} | … |"
        for slug, said in refusals().items()
    }
    assert [told[slug] for slug in sorted(told.keys() - documented)] == []
    assert sorted(documented - told.keys()) == []


def test_documented_problems_are_in_order_with_the_status_and_title_of_the_code() -> None:
    known = refusals()
    wrong = [
        row[:3]
        for row in table_rows(REFERENCE / "problems.md")
        if (said := known.get(plain(row[0]))) is not None and (int(row[1]), row[2]) not in said
    ]
    assert wrong == []
    slugs = [plain(row[0]) for row in table_rows(REFERENCE / "problems.md")]
    assert slugs == sorted(set(slugs))


# ---- endpoints and who may call them


def endpoints() -> dict[str, str]:
    """Return by ``METHOD /path`` who may call."""
    found: dict[str, str] = {}
    for module in modules():
        for one in getattr(module, "ENDPOINTS", ()):
            if isinstance(one, Endpoint):
                found[f"{one.method} {one.path}"] = one.access.words()
    return found


def test_who_may_call_each_endpoint_is_documented_as_declared() -> None:
    documented = {
        plain(row[0]): row[1].replace("\\|", "|")
        for row in table_rows(REFERENCE / "roles-and-scopes.md")
        if ENDPOINT.fullmatch(plain(row[0]))
    }
    declared = endpoints()
    missing = [f"| `{name}` | {declared[name]} |" for name in declared if name not in documented]
    assert missing == []
    assert sorted(documented.keys() - declared.keys()) == []
    differing = {name: words for name, words in declared.items() if documented[name] != words}
    assert differing == {}


def test_documents_name_only_endpoints_that_exist() -> None:
    patterns = {
        (name.partition(" ")[0], re.compile(re.sub(r"\{\w+\}", "[^/]+", name.partition(" ")[2])))
        for name in endpoints()
    }
    unknown = [
        f"{shown(file)}: {method} {path}"
        for file in DOCUMENTS
        for method, path in ENDPOINT.findall(file.read_text("utf-8"))
        if not any(method == one and pattern.fullmatch(path) for one, pattern in patterns)
    ]
    assert unknown == []


def test_every_scope_is_documented() -> None:
    documented = {plain(row[0]) for row in table_rows(REFERENCE / "roles-and-scopes.md")}
    assert sorted({scope.value for scope in Scope} - documented) == []


# ---- commands


def targets() -> set[str]:
    return set(TARGET.findall((ROOT / "Makefile").read_text("utf-8")))


def test_documents_name_only_make_targets_that_exist() -> None:
    unknown = [
        f"{shown(file)}: make {target}"
        for file in DOCUMENTS
        for line in code_of(file)
        for _, target in MAKE.findall(line)
        if target not in targets()
    ]
    assert unknown == []


def test_every_make_target_is_documented() -> None:
    documented = {
        target for line in code_of(REFERENCE / "commands.md") for _, target in MAKE.findall(line)
    }
    assert sorted(targets() - documented) == []


def help_of(words: list[str]) -> str | None:
    """Return what the command says of itself; None if there is no such command."""
    said = io.StringIO()
    with (
        pytest.raises(SystemExit) as ended,
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        _parser().parse_args([*words, "--help"])
    return said.getvalue() if ended.value.code == 0 else None


def commands_in(file: Path) -> Iterator[list[str]]:
    for line in code_of(file):
        for rest in COMMAND.findall(line):
            words = shlex.split(re.split(r"[;&|>]", rest)[0], comments=True)
            yield words


def test_documents_name_only_commands_and_options_that_exist() -> None:
    unknown = []
    for file in DOCUMENTS:
        for words in commands_in(file):
            plain_words = list(_before_options(words))
            known = help_of(plain_words)
            options = [word.partition("=")[0] for word in words if word.startswith("--")]
            if known is None or any(f"{option} " not in f"{known} " for option in options):
                unknown.append(f"{shown(file)}: jolda {' '.join(words)}")
    assert unknown == []


def _before_options(words: list[str]) -> Iterator[str]:
    for word in words:
        if word.startswith("-"):
            return
        yield word


def test_every_command_and_option_is_documented() -> None:
    file = ROOT / "server" / "__main__.py"
    declared = {
        written
        for name, call in calls(ast.parse(file.read_text("utf-8")))
        if name in {"add", "add_parser", "add_argument"}
        and call.args
        and (written := text_of(call.args[0])) is not None
    }
    documented = {word for words in commands_in(REFERENCE / "commands.md") for word in words}
    documented |= {plain(row[0]).partition(" ")[0] for row in table_rows(REFERENCE / "commands.md")}
    assert sorted(declared - documented) == []


# ---- what is at rest, what is streamed


def test_every_table_is_documented_and_no_other() -> None:
    made = {
        table
        for file in sorted((ROOT / "migrations").rglob("*.sql"))
        for table in re.findall(r"^CREATE TABLE (\w+)", file.read_text("utf-8"), re.MULTILINE)
    }
    documented = {plain(row[0]) for row in table_rows(REFERENCE / "data-at-rest.md")}
    documented = {name for name in documented if re.fullmatch("[a-z_]+", name)}
    assert sorted(made - documented) == []
    assert sorted(documented - made - CATEGORIES) == []


CATEGORIES: Final = frozenset(category.value for category in Category)


def test_every_key_category_is_documented() -> None:
    documented = {plain(row[0]) for row in table_rows(REFERENCE / "data-at-rest.md")}
    assert sorted(CATEGORIES - documented) == []


def test_every_event_of_the_stream_is_documented_and_no_other() -> None:
    sent = {
        written
        for name, call in calls(ast.parse(inspect.getsource(wire)))
        if name == "_sse" and (written := text_of(call.args[0])) is not None
    }
    documented = {plain(row[0]) for row in table_rows(REFERENCE / "live-stream.md")}
    assert sorted(sent - documented) == []
    headings = re.findall(
        r"^### `(\w+)`", (REFERENCE / "live-stream.md").read_text("utf-8"), re.MULTILINE
    )
    assert sorted(headings) == sorted(sent)


# ---- links and paths


def test_every_relative_link_points_to_a_file_and_its_heading() -> None:
    broken = []
    for file in DOCUMENTS:
        for link in LINK.findall(FENCE.sub("", file.read_text("utf-8"))):
            if re.match(r"[a-z]+:", link):
                continue
            place, _, heading = unquote(link).partition("#")
            target = (file.parent / place) if place else file
            if not target.exists() or (heading and heading not in _anchors(target)):
                broken.append(f"{shown(file)}: {link}")
    assert broken == []


def _anchors(file: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", file.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_documents_name_only_files_that_exist() -> None:
    missing = [
        f"{shown(file)}: {path}"
        for file in DOCUMENTS
        for path in SPAN.findall(FENCE.sub("", file.read_text("utf-8")))
        if TREE.fullmatch(path) and not path.startswith(BUILT) and not (ROOT / path).exists()
    ]
    assert missing == []


def test_documents_that_the_code_names_exist() -> None:
    folders = ("server", "geo", "migrations", "tests", "dashboard/src")
    files = [
        *(file for folder in folders for file in (ROOT / folder).rglob("*")),
        *(
            ROOT / name
            for name in ("pyproject.toml", "Makefile", "docker-compose.yml", "Dockerfile")
        ),
    ]
    missing = [
        f"{shown(file)}: {name}"
        for file in files
        if file.suffix in {".py", ".sql", ".ts", ".toml", ".yml", ""} and file.is_file()
        for name in re.findall(r"docs/[\w/-]+\.md", file.read_text("utf-8"))
        if not (ROOT / name).exists()
    ]
    assert missing == []


def test_every_document_is_linked_from_another() -> None:
    linked = {
        (file.parent / link.partition("#")[0]).resolve()
        for file in DOCUMENTS
        for link in LINK.findall(file.read_text("utf-8"))
    }
    alone = [shown(file) for file in DOCUMENTS[2:] if file.resolve() not in linked]
    assert alone == []
