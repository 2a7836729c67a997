"""SQL that a model wrote, checked against what a tenant allows, and written anew.

Nothing of the text is ever executed: it is parsed (sqlglot), every node must be of a kind `grammar` names, and what
runs is generated from the tree. In it a table is no table any more but a subquery over it that selects the allowed
columns, so that for the database itself there is nothing else in sight: not for `*`, `USING`, a whole row, a correlated
subquery or a column the parser resolves differently. Common table expressions get names nobody has."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from typing import Final

import msgspec
import sqlglot
from sqlglot import exp
from sqlglot.errors import ErrorLevel, SqlglotError, UnsupportedError
from sqlglot.optimizer.qualify import qualify

from plugins.databases import grammar
from plugins.databases.catalogue import Source, Table
from plugins.databases.failures import Refused

LONGEST: Final = 8_000  # characters
MOST_TOKENS: Final = 2_000
DEEPEST: Final = 60  # brackets within brackets
DIALECTS: Final = {"sqlite": "sqlite", "postgresql": "postgres", "mysql": "mysql"}
HIDDEN: Final = "_clawdbot_"  # what names of ours begin with: no query may use one

logging.getLogger("sqlglot").setLevel(logging.CRITICAL)  # it logs what it does not understand, and with it whose data

_NUMBER: Final = re.compile(r"\d{1,40}(\.\d{0,40})?([eE][+-]?\d{1,3})?|\.\d{1,40}([eE][+-]?\d{1,3})?")
_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z_ ]{0,30}|", re.ASCII)
_HINT: Final = re.compile(r"/\*\s*[!+]|/\*M!")


class Checked(msgspec.Struct, frozen=True):
    """SQL that may run: at most `rows` rows, one of which is there to tell that there are more. It reads `tables`."""

    sql: str
    rows: int
    tables: tuple[Table, ...]


def check(text: str, source: Source) -> Checked:
    """Raises Refused."""
    dialect = DIALECTS[source.dialect]
    tree = _parsed(text, dialect)
    try:
        _check_nodes(tree, source)
        tables = _bind(tree, source)
        _name_columns(tree, source)
        tree = _qualified(tree, tables, dialect)
        _check_nodes(tree, source)  # a name that turned out to mean a whole row is a node of another kind now
        _open(tree, tables, source)
        rows = _limit(tree, source.row_limit + 1)
        return Checked(_written(tree, dialect, rows), rows, tuple(dict.fromkeys(tables.values())))
    except RecursionError:
        raise Refused("too_long", "The query is nested too deeply.") from None
    except SqlglotError as error:
        raise Refused("syntax", f"The query cannot be understood: {_plain(error)}") from None


# From text to a tree ------------------------------------------------------------------------------------------------


def _parsed(text: str, dialect: str) -> exp.Query:
    if len(text) > LONGEST:
        raise Refused("too_long", f"The query has more than {LONGEST} characters.")
    if any(sign < " " and sign not in "\t\r\n" for sign in text) or "\x7f" in text:
        raise Refused("syntax", "The query has control characters.")
    if _HINT.search(text):
        raise Refused("construct", "Comments that a database obeys are not allowed.")
    try:
        _check_size(text, dialect)
        trees = [tree for tree in sqlglot.parse(text, dialect=dialect) if tree is not None]
    except RecursionError:
        raise Refused("too_long", "The query is nested too deeply.") from None
    except (SqlglotError, ValueError, AttributeError, TypeError, IndexError, KeyError) as error:
        raise Refused("syntax", f"The query cannot be parsed: {_plain(error)}") from None
    if len(trees) != 1:
        raise Refused("statement", "There must be exactly one statement.")
    tree = trees[0]
    while isinstance(tree, exp.Subquery) and not any(value for key, value in tree.args.items() if key != "this"):
        tree = tree.this
    if not isinstance(tree, grammar.QUERIES):
        raise Refused("statement", "Only a SELECT is allowed.")
    return tree


def _check_size(text: str, dialect: str) -> None:
    tokens = sqlglot.tokenize(text, dialect=dialect)
    if len(tokens) > MOST_TOKENS:
        raise Refused("too_long", "The query is too long.")
    depth = deepest = 0
    for token in tokens:
        depth += (token.text == "(") - (token.text == ")")
        depth += (token.text.upper() == "CASE") - (token.text.upper() == "END")
        deepest = max(deepest, depth)
    if deepest > DEEPEST:
        raise Refused("too_long", "The query is nested too deeply.")


# What it is made of -------------------------------------------------------------------------------------------------


def _check_nodes(tree: exp.Query, source: Source) -> None:
    for node in tree.walk():
        kind = type(node)
        if kind is exp.Anonymous:
            _check_function(node, source)
        elif kind not in grammar.NODES:
            raise Refused(*_unknown(node))
        if (allowed := grammar.ARGUMENTS.get(kind)) is not None:
            for name, value in node.args.items():
                if value and name not in allowed:
                    raise Refused("construct", f"{_name_of(node)} with {name.strip('_')} is not allowed.")
        _check_texts(node)
        if (special := _SPECIAL.get(kind)) is not None:
            special(node)


def _check_function(node: exp.Expr, source: Source) -> None:
    name = node.args["this"]
    if not isinstance(name, str) or name.lower() not in grammar.FUNCTIONS[source.dialect]:
        raise Refused("function", f"The function {str(name)[:60]} is not allowed.")


def _check_texts(node: exp.Expr) -> None:
    """What the parser kept as it was written, and the generator would write out as it is."""
    if isinstance(node, exp.Literal | exp.Identifier | exp.Anonymous | exp.JSONPathKey):
        return
    for value in node.args.values():
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, str) and not _WORD.fullmatch(each):
                raise Refused("construct", f"{_name_of(node)} is not allowed with {each[:60]!r}.")


def _check_literal(node: exp.Expr) -> None:
    if not node.args.get("is_string") and not _NUMBER.fullmatch(str(node.this)):
        raise Refused("construct", "A number in this form is not allowed.")


def _check_type(node: exp.Expr) -> None:
    if node.this not in grammar.TYPES:
        raise Refused("construct", "A cast to this type is not allowed.")


def _check_join(node: exp.Expr) -> None:
    if node.args.get("method"):
        raise Refused("construct", "Joins say their columns: use ON or USING.")


def _check_table(node: exp.Expr) -> None:
    if not isinstance(node.this, exp.Identifier):
        raise Refused("function", "A function in the place of a table is not allowed.")
    alias = node.args.get("alias")
    if alias is not None and alias.args.get("columns"):
        raise Refused("construct", "Only subqueries may name their columns anew.")


def _check_lateral(node: exp.Expr) -> None:
    if not isinstance(node.this, exp.Subquery):
        raise Refused("function", "LATERAL is allowed with a subquery only.")


def _check_key(node: exp.Expr) -> None:
    if not isinstance(node.this, str) or not re.fullmatch(r"[\w \-]{1,100}", node.this):
        raise Refused("construct", "A JSON path in this form is not allowed.")


_SPECIAL: Final[dict[type[exp.Expr], Callable[[exp.Expr], None]]] = {
    exp.Literal: _check_literal,
    exp.DataType: _check_type,
    exp.Join: _check_join,
    exp.Table: _check_table,
    exp.Lateral: _check_lateral,
    exp.JSONPathKey: _check_key,
}


def _unknown(node: exp.Expr) -> tuple[str, str]:
    if isinstance(node, exp.Func):
        return "function", f"The function {_name_of(node)} is not allowed."
    return "construct", f"{_name_of(node)} is not allowed."


def _name_of(node: exp.Expr) -> str:
    return type(node).__name__.upper()


# Which tables it reads ----------------------------------------------------------------------------------------------


def _bind(tree: exp.Query, source: Source) -> dict[str, Table]:
    """Renames every table and common table expression, all names in small letters; the tables by their new names."""
    for identifier in tree.find_all(exp.Identifier):
        if str(identifier.this).lower().startswith(HIDDEN):
            raise Refused("construct", f"Names may not begin with {HIDDEN}.")
        identifier.set("this", str(identifier.this).lower())
        identifier.set("quoted", True)
    renamed: dict[int, str] = {}
    for number, cte in enumerate(list(tree.find_all(exp.CTE))):
        renamed[id(cte)] = f"{HIDDEN}{number}"
    found = [(table, _expression(table), _table_of(table, source)) for table in list(tree.find_all(exp.Table))]
    tables: dict[str, Table] = {}
    for node, expression, table in found:
        if not node.alias:
            node.set("alias", exp.TableAlias(this=exp.to_identifier(node.name, quoted=True)))
        if expression is not None:
            node.set("this", exp.to_identifier(renamed[id(expression)], quoted=True))
            continue
        if table is None:
            raise Refused("table", f"There is no table {node.name[:60]!r} that may be read.")
        name = f"{HIDDEN}t{len(tables)}"
        tables[name] = table
        node.set("db", None)
        node.set("this", exp.to_identifier(name, quoted=True))
    for cte in list(tree.find_all(exp.CTE)):
        cte.args["alias"].set("this", exp.to_identifier(renamed[id(cte)], quoted=True))
    for column in tree.find_all(exp.Column):
        column.set("db", None)
    return tables


def _expression(table: exp.Expr) -> exp.CTE | None:
    """The common table expression a name means: one of the same WITH before the place, or of one around it."""
    if table.args.get("db"):
        return None
    name, node = table.name, table
    while node.parent is not None:
        above = node.parent
        if isinstance(above, exp.With):
            before = _until(above.expressions, node)
            if found := _named(before, name):
                return found
            node = above.parent or above  # the query of this WITH sees all of it, what is inside does not
            continue
        own = above.args.get("with_")
        if isinstance(own, exp.With) and (found := _named(iter(own.expressions), name)):
            return found
        node = above
    return None


def _until(expressions: list[exp.Expr], last: exp.Expr) -> Iterator[exp.Expr]:
    for each in expressions:
        if each is last:
            return
        yield each


def _named(expressions: Iterator[exp.Expr], name: str) -> exp.CTE | None:
    found = [each for each in expressions if isinstance(each, exp.CTE) and each.alias == name]
    if len(found) > 1:
        raise Refused("syntax", f"WITH has the name {name[:60]!r} twice.")
    return found[0] if found else None


def _table_of(table: exp.Expr, source: Source) -> Table | None:
    database = table.args.get("db")
    return source.find(database.name if database is not None else "", table.name)


def _name_columns(tree: exp.Query, source: Source) -> None:
    """A computed column without a name is called as its function, unless some column is called so."""
    taken = {column.name.lower() for table in source.tables for column in table.columns} | set(tree.named_selects)
    for node in list(tree.args.get("expressions") or ()):
        if isinstance(node, exp.Func):
            name = str(node.this if isinstance(node, exp.Anonymous) else node.sql_name()).lower()
            if name not in taken:
                taken.add(name)
                node.replace(exp.alias_(node.copy(), name, quoted=True))


# Every column where it comes from -----------------------------------------------------------------------------------


def _qualified(tree: exp.Query, tables: dict[str, Table], dialect: str) -> exp.Query:
    schema: dict[str, object] = {
        name: {column.name.lower(): "TEXT" for column in table.columns} for name, table in tables.items()
    }
    try:
        whole = qualify(tree, dialect=dialect, schema=schema, quote_identifiers=True, identify=True)
    except SqlglotError as error:
        raise Refused("column", f"A column is not among those that may be read: {_plain(error)}") from None
    for column in whole.find_all(exp.Column):
        if not column.table and not _names_output(column):
            raise Refused("column", f"It is not clear which table the column {column.name[:60]!r} is of.")
    return whole


def _names_output(column: exp.Expr) -> bool:
    """As in ORDER BY and DISTINCT ON: a column of the query's own result."""
    query = column.find_ancestor(*grammar.QUERIES)
    return isinstance(query, exp.Query) and column.name in query.named_selects


def _open(tree: exp.Query, tables: dict[str, Table], source: Source) -> None:
    """Puts the real tables in, each as its allowed columns."""
    for node in list(tree.find_all(exp.Table)):
        table = tables.get(node.name)
        if table is not None:
            inner = exp.Subquery(this=_selection(table, source), alias=node.args["alias"].copy())
            node.replace(inner)


def _selection(table: Table, source: Source) -> exp.Select:
    schema = source.schema_of(table)
    place = exp.Table(
        this=exp.to_identifier(table.name, quoted=True),
        db=exp.to_identifier(schema, quoted=True) if schema else None,
    )
    columns = [
        exp.alias_(exp.column(exp.to_identifier(column.name, quoted=True)), column.name.lower(), quoted=True)
        for column in table.columns
    ]
    return exp.select(*columns).from_(place)


# How much comes back ------------------------------------------------------------------------------------------------


def _limit(tree: exp.Query, most: int) -> int:
    limit, asked = tree.args.get("limit"), most
    if isinstance(limit, exp.Fetch):
        asked = _whole(limit.args.get("count") or exp.Literal.number(1))
    elif limit is not None:
        asked = _whole(limit.expression)
    if (offset := tree.args.get("offset")) is not None:
        _whole(offset.expression)
    rows = min(asked, most)
    tree.set("limit", exp.Limit(expression=exp.Literal.number(rows)))
    return rows


def _whole(node: exp.Expr | None) -> int:
    if not isinstance(node, exp.Literal) or node.is_string or not re.fullmatch(r"\d{1,9}", str(node.this)):
        raise Refused("limit", "LIMIT and OFFSET must be plain numbers.")
    return int(node.this)


# From the tree to SQL -----------------------------------------------------------------------------------------------


def _written(tree: exp.Query, dialect: str, rows: int) -> str:
    """What is written must be read as the same: a parser and a generator that disagree are not to be trusted. What the
    dialect has no words for is not left out silently; where it is said in other words the limit is still outside."""
    try:
        sql = tree.sql(dialect=dialect, comments=False, identify=True, unsupported_level=ErrorLevel.RAISE)
    except UnsupportedError as error:
        raise Refused("construct", f"This database does not know it: {_plain(error)}") from None
    again = sqlglot.parse(sql, dialect=dialect)
    if len(again) != 1 or again[0] is None or again[0].sql(dialect=dialect, comments=False, identify=True) != sql:
        raise Refused("construct", "The query cannot be written down without doubt; say it in a plainer way.")
    limit = again[0].args.get("limit")
    if not isinstance(limit, exp.Limit) or limit.expression.name != str(rows):
        raise Refused("construct", "The query cannot be limited; say it in a plainer way.")
    return sql


def _plain(error: Exception) -> str:
    """The first line, without the terminal's colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", str(error)).partition("\n")[0][:200]
