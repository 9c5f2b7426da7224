"""Every SQL text of the server: what is handed to a connection, and where that stands."""

import ast
import importlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

TOP: Final = Path(__file__).parents[2]
METHODS: Final = frozenset({"execute", "executemany", "fetch", "fetchmany", "fetchrow", "fetchval"})
# Other ways to PostgreSQL: nobody takes them, so nobody has to look for texts there.
CLOSED: Final = ("copy_", "cursor", "prepare")
SETS: Final = ("SET LOCAL ",)
"""How a text that is put together may begin: SET takes no parameters."""


class Text(NamedTuple):
    """One statement, with the function (or constant) that it stands in."""

    where: str
    sql: str


class Found(NamedTuple):
    texts: list[Text]
    unread: list[str]
    """Where something is handed to a connection whose text this module cannot tell."""


def collect(
    folder: Path, *, passed: Mapping[str, Sequence[str]], skipped: Mapping[str, str]
) -> Found:
    """Return the statements of all modules below a folder of the project.

    ``passed`` names by function the texts that it is given as a parameter, ``skipped`` the
    functions whose statements are no business of the schema's, each with its reason.
    """
    texts, unread, met = [], [], set()
    for path in sorted(folder.rglob("*.py")):
        for function, call in _calls(ast.parse(path.read_text())):
            where = f"{path.relative_to(folder.parent).as_posix()}:{function}"
            if where in skipped:
                met.add(where)
                continue
            found = _texts_of(call, path, folder.parent)
            if found is None and where in passed:
                met.add(where)
                found = list(passed[where])
            if found is None:
                unread.append(f"{where} {ast.unparse(call)[:80]}")
            texts += [Text(where, sql) for sql in found or ()]
    unread += sorted({*passed, *skipped} - met)
    return Found(texts, unread)


def _calls(tree: ast.AST, function: str = "") -> Iterator[tuple[str, ast.Call]]:
    """Return what is asked of connections, with the name of the innermost function around it."""
    for node in ast.iter_child_nodes(tree):
        inner = function
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            inner = node.name
        if isinstance(node, ast.Call) and _speaks_sql(node):
            yield inner, node
        yield from _calls(node, inner)


def _speaks_sql(call: ast.Call) -> bool:
    if not isinstance(call.func, ast.Attribute) or not call.args:
        return False
    if call.func.attr in METHODS:
        return True
    # Responses are prepared as well: what a name like ``conn`` prepares is a statement.
    of = ast.unparse(call.func.value)
    return call.func.attr.startswith(CLOSED) and ("conn" in of or "pool" in of)


def _texts_of(call: ast.Call, path: Path, top: Path) -> list[str] | None:
    if not isinstance(call.func, ast.Attribute) or call.func.attr not in METHODS:
        return None
    match call.args[0]:
        case ast.Constant(value=str(sql)):
            return [sql]
        case ast.JoinedStr() as joined:
            sql = _with_noughts(joined)
            return [sql] if sql.startswith(SETS) else None
        case ast.Name(id=name) if name.isupper():
            module = importlib.import_module(".".join(path.relative_to(top).with_suffix("").parts))
            sql = getattr(module, name)
            return [sql] if isinstance(sql, str) else None
    return None


def _with_noughts(joined: ast.JoinedStr) -> str:
    """Return the text with a nought wherever a value is put in."""
    return "".join(
        str(part.value) if isinstance(part, ast.Constant) else "0" for part in joined.values
    )
