"""The rules of scale that a statement can break, read off its syntax tree.

A statement is *bound* where each tenant table in it, also in subqueries, is held to one company:
by ``company_id = $n``, or by the ``company_id`` of a table beside or around it that is.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

import sqlglot
from sqlglot import exp

COMPANY: Final = "company_id"
DIRECTORY: Final = "login_directory"
PARAMETER: Final = "$"
READABLE: Final = (exp.Select, exp.SetOperation, exp.Insert, exp.Update, exp.Delete, exp.Set)
WRITES: Final = (exp.Insert, exp.Update, exp.Delete)
NODES: Final = (exp.Select, *WRITES)
VOLATILE: Final = frozenset(
    {
        "clock_timestamp",
        "currval",
        "gen_random_uuid",
        "lastval",
        "nextval",
        "now",
        "random",
        "setval",
        "statement_timestamp",
        "timeofday",
        "transaction_timestamp",
        "txid_current",
        "uuidv4",
        "uuidv7",
    }
)
VOLATILE_NODES: Final = (
    exp.CurrentDate,
    exp.CurrentTime,
    exp.CurrentTimestamp,
    exp.Localtime,
    exp.Localtimestamp,
    exp.Rand,
    exp.Uuid,
)


class Rule(StrEnum):
    READABLE = "one SELECT, INSERT, UPDATE, DELETE or SET, in which a table's name is the table's"
    ONE_COMPANY = "each tenant table is held to company_id = $n"
    SET_OF_COMPANIES = "no statement is about several companies"
    INSERTED = "a row is inserted with its company_id, which leads what it may conflict with"
    MOVED = "company_id is never updated"
    LOCKED = "rows are locked only with company_id = $n"
    DIRECTORY_ALONE = "login_directory is looked up in a statement of its own"
    VOLATILE = "values are passed to what writes: no clock, no chance, no counter"
    ADVISORY = "advisory locks are hints"
    SET_LOCAL = "settings end with their transaction, and row-level security is SET LOCAL"


@dataclass(frozen=True, slots=True)
class Breach:
    rule: Rule
    of: str
    """The table, function or setting."""


def breaches(sql: str, tenants: Collection[str]) -> set[Breach]:
    """Return which rules a statement breaks. ``tenants`` are the tables that have companies."""
    try:
        [parsed] = sqlglot.parse(sql, dialect="postgres")
    except (sqlglot.errors.SqlglotError, ValueError):
        return {Breach(Rule.READABLE, sql.strip()[:40])}
    if not isinstance(parsed, READABLE):
        return {Breach(Rule.READABLE, sql.strip()[:40])}
    if isinstance(parsed, exp.Set):
        return set(_settings(parsed))
    hidden = {cte.alias for cte in parsed.find_all(exp.CTE)} & {*tenants, DIRECTORY}
    if hidden:
        return {Breach(Rule.READABLE, name) for name in hidden}
    return {
        *_bound(parsed, tenants, around=Around()),
        *_inserted(parsed, tenants),
        *_moved(parsed),
        *_directory(parsed, tenants),
        *_functions(parsed),
    }


def _settings(parsed: exp.Set) -> Iterator[Breach]:
    for item in parsed.expressions:
        kind = item.args.get("kind")
        if kind not in {"LOCAL", "TRANSACTION"}:
            yield Breach(Rule.SET_LOCAL, item.sql("postgres"))


class Edge(NamedTuple):
    """Where the company of one name is known, so is that of the other."""

    known: str
    to: str


@dataclass(frozen=True, slots=True)
class Around:
    """Names of the queries around one: held to one company, or to one of several."""

    bound: frozenset[str] = frozenset()
    several: frozenset[str] = frozenset()


def _bound(tree: exp.Expression, tenants: Collection[str], *, around: Around) -> Iterator[Breach]:
    """Walk query by query, from the outside in."""
    if not isinstance(tree, NODES):
        for child in _nested(tree):
            yield from _bound(child, tenants, around=around)
        return
    sources = {name: table for name, table in _sources(tree) if table in tenants}
    known = around.bound - sources.keys()
    edges, several = _company_equalities(tree, set(sources), known | around.several)
    bound = _reached(edges, {PARAMETER, *known})
    loose = _reached(edges, {*bound, *several, *(around.several - sources.keys())})
    inserted = _name_of_target(tree) if isinstance(tree, exp.Insert) else None
    for name, table in sources.items():
        if name not in {inserted, *bound} and table != DIRECTORY:
            yield Breach(Rule.SET_OF_COMPANIES if name in loose else Rule.ONE_COMPANY, table)
    for name in _locked(tree, sources) - bound:
        yield Breach(Rule.LOCKED, sources[name])
    inside = Around(bound - {PARAMETER}, loose - bound)
    for child in _nested(tree):
        yield from _bound(child, tenants, around=inside)


def _locked(tree: exp.Expression, sources: Collection[str]) -> set[str]:
    """Return whose rows the query locks."""
    locks = tree.args.get("locks") or ()
    named = {of.name for lock in locks for of in lock.expressions}
    return (named or set(sources) if locks else set()) & set(sources)


def _nested(tree: exp.Expression) -> Iterator[exp.Expression]:
    """Return the queries directly inside."""
    for child in tree.iter_expressions():
        if isinstance(child, NODES):
            yield child
        else:
            yield from _nested(child)


def _sources(tree: exp.Expression) -> Iterator[tuple[str, str]]:
    """Return the tables that the query itself names, as (name in the query, table)."""
    target = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
    if isinstance(tree, WRITES) and isinstance(target, exp.Table):
        yield target.alias_or_name, target.name
    if isinstance(tree, exp.Insert):
        return
    for part in _parts(tree):
        for table in _tables(part):
            yield table.alias_or_name, table.name


def _parts(tree: exp.Expression) -> list[exp.Expression]:
    """Return its FROM (or USING) and its JOINs, in their order."""
    first = tree.args.get("from_")
    return [
        *([] if first is None else [first]),
        *(tree.args.get("using") or ()),
        *(tree.args.get("joins") or ()),
    ]


def _tables(part: exp.Expression) -> Iterator[exp.Table]:
    """Return the tables of a FROM or JOIN, but not those of a subquery in it."""
    if isinstance(part, exp.Table):
        yield part
    for child in part.iter_expressions():
        if not isinstance(child, NODES):
            yield from _tables(child)


def _name_of_target(tree: exp.Expression) -> str:
    table = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
    return str(table.alias_or_name)


def _company_equalities(
    tree: exp.Expression, sources: set[str], outer: Collection[str]
) -> tuple[set[Edge], set[str]]:
    """Return whose company follows from whose (``PARAMETER``: it is given), and whose of several.

    What an outer join asks for holds for the rows it may leave out, and for no others.
    """
    edges: set[Edge] = set()
    several: set[str] = set()
    only = next(iter(sources)) if len(sources) == 1 else None
    for one, of in _conditions(tree, sources):
        if not isinstance(one, exp.EQ):
            continue
        left, right = (_side(side, only) for side in (one.this, one.expression))
        if left and right:
            edges |= {Edge(left, right), Edge(right, left)} & _into(of, {left, right})
        elif left is not None and left in of and isinstance(one.expression, exp.Any):
            several |= {left} if one.expression.find(exp.Parameter) else set()
    for join in _joins(tree):
        if COMPANY in (column.name for column in join.args.get("using") or ()):
            # USING joins whatever stands before it, and all of that has one company_id.
            names = sources & {table.alias_or_name for table in _before(tree, join)}
            edges |= _into(_narrowed(join, sources), names)
    known = {*sources, *outer, PARAMETER}
    return {edge for edge in edges if known.issuperset(edge)}, several


def _into(of: Collection[str], names: set[str]) -> set[Edge]:
    return {Edge(known, name) for name in names & set(of) for known in names - {name}}


def _side(side: exp.Expression, only: str | None) -> str | None:
    while isinstance(side, exp.Cast | exp.Paren):
        side = side.this
    if isinstance(side, exp.Parameter):
        return PARAMETER
    if isinstance(side, exp.Column) and side.name == COMPANY:
        return side.table or only
    return None


def _conditions(
    tree: exp.Expression, sources: set[str]
) -> Iterator[tuple[exp.Expression, Collection[str]]]:
    """Return what has to hold (never one side of an OR), and for the rows of which tables."""
    where = tree.args.get("where")
    wholes = [(None if where is None else where.this, sources)]
    wholes += [(join.args.get("on"), _narrowed(join, sources)) for join in _joins(tree)]
    for whole, of in wholes:
        if isinstance(whole, exp.And):
            yield from ((one, of) for one in _conjuncts(whole))
        elif whole is not None:
            yield whole, of


def _narrowed(join: exp.Join, sources: set[str]) -> set[str]:
    """Return of which tables a join leaves out rows that do not match."""
    joined = {table.alias_or_name for table in _tables(join)}
    match join.side:
        case "LEFT":
            return sources & joined
        case "RIGHT":
            return sources - joined
        case "FULL":
            return set()
    return sources


def _conjuncts(whole: exp.And) -> Iterator[exp.Expression]:
    for one in whole.flatten():
        if isinstance(one, exp.Expression):
            yield one


def _joins(tree: exp.Expression) -> Iterator[exp.Join]:
    for part in _parts(tree):
        yield from _joins_in(part)


def _joins_in(part: exp.Expression) -> Iterator[exp.Join]:
    if isinstance(part, exp.Join):
        yield part
    for child in part.iter_expressions():
        if not isinstance(child, NODES):
            yield from _joins_in(child)


def _before(tree: exp.Expression, join: exp.Join) -> Iterator[exp.Table]:
    for part in _parts(tree):
        yield from _tables(part)
        if part is join:
            break


def _reached(edges: set[Edge], start: Collection[str]) -> frozenset[str]:
    reached = set(start)
    while more := {edge.to for edge in edges if edge.known in reached} - reached:
        reached |= more
    return frozenset(reached)


def _inserted(parsed: exp.Expression, tenants: Collection[str]) -> Iterator[Breach]:
    for insert in parsed.find_all(exp.Insert):
        schema = insert.this
        table = schema.this if isinstance(schema, exp.Schema) else schema
        if table.name not in tenants:
            continue
        columns = [one.name for one in schema.expressions] if schema is not table else []
        conflict = insert.args.get("conflict")
        keys = [] if conflict is None else (conflict.args.get("conflict_keys") or [])
        leads = not keys or keys[0].name == COMPANY or keys[0].this.name == COMPANY
        if COMPANY not in columns or not (leads or table.name == DIRECTORY):
            yield Breach(Rule.INSERTED, table.name)


def _moved(parsed: exp.Expression) -> Iterator[Breach]:
    for change in parsed.find_all(exp.Update, exp.OnConflict):
        for one in change.expressions:
            if COMPANY in (column.name for column in one.this.find_all(exp.Column)):
                yield Breach(Rule.MOVED, COMPANY)


def _directory(parsed: exp.Expression, tenants: Collection[str]) -> Iterator[Breach]:
    named = {table.name for table in parsed.find_all(exp.Table)} & {*tenants, DIRECTORY}
    if DIRECTORY in named and len(named) > 1:
        yield Breach(Rule.DIRECTORY_ALONE, DIRECTORY)


def _functions(parsed: exp.Expression) -> Iterator[Breach]:
    writes = isinstance(parsed, WRITES) or parsed.find(*WRITES) is not None
    for one in parsed.find_all(exp.Func):
        name = one.name.lower() if isinstance(one, exp.Anonymous) else one.sql_name().lower()
        if writes and (isinstance(one, VOLATILE_NODES) or name in VOLATILE):
            yield Breach(Rule.VOLATILE, name)
        if name == "set_config":
            yield Breach(Rule.SET_LOCAL, name)
        if "advisory" in name:
            yield Breach(Rule.ADVISORY, name)
