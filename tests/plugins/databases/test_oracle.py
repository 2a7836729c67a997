"""Whatever passes the check reads allowed columns only: SQLite's own authorizer is the judge."""

import sqlite3

import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from plugins.databases import sqlite_wall
from plugins.databases.checking import check
from plugins.databases.failures import Refused
from tests.plugins.databases import questions
from tests.plugins.databases.sources import HIDDEN, SCHEMA, TABLES, source

QUESTIONS = [sql for where, sql, _ in questions.cases() if where == "sqlite"]

NAMES = st.sampled_from([*HIDDEN, "id", "name", "city", "total", "c", "o", "customers", "orders", "x", "rowid", "*"])
PLACES = st.sampled_from(
    ["customers", "orders", "salaries", "Items", "sqlite_master", "main.salaries", "x", "customers c", "orders o",
     "(SELECT * FROM customers) x", "(SELECT password AS id FROM customers) c"]
)  # fmt: skip


@st.composite
def expressions(draw, depth=2):
    name = draw(st.one_of(NAMES, st.builds("{}.{}".format, st.sampled_from(["c", "o", "x", "customers"]), NAMES)))
    if depth == 0 or name.endswith("*"):
        return name
    inner = draw(st.one_of(expressions(depth - 1), queries(depth - 1).map(lambda query: f"({query})")))
    return draw(
        st.sampled_from(
            [name, f"max({inner})", f"coalesce({name}, {inner})", f"{inner} AS {draw(NAMES)}", f"{name} || {inner}",
             f"CASE WHEN {name} > {inner} THEN 1 END", f"sum({name}) OVER (ORDER BY {inner})", f"EXISTS({inner})"]
        )
    )  # fmt: skip


@st.composite
def queries(draw, depth=2):
    text = f"SELECT {', '.join(draw(st.lists(expressions(max(depth - 1, 0)), min_size=1, max_size=3)))}"
    text += f" FROM {draw(PLACES)}"
    joins = ["", f", {draw(PLACES)}", f" JOIN {draw(PLACES)} USING ({draw(NAMES)})", f" NATURAL JOIN {draw(PLACES)}",
             f" LEFT JOIN {draw(PLACES)} ON {draw(NAMES)} = {draw(NAMES)}"]  # fmt: skip
    text += draw(st.sampled_from(joins))
    if depth:
        text += draw(st.sampled_from(["", f" WHERE {draw(expressions(0))} IN ({draw(queries(0))})",
                                      f" GROUP BY {draw(NAMES)}", f" ORDER BY {draw(expressions(0))}",
                                      f" UNION SELECT {draw(NAMES)} FROM {draw(PLACES)}"]))  # fmt: skip
        if draw(st.booleans()):
            text = f"WITH {draw(st.sampled_from(['x', 'salaries', 'customers', 'c']))} AS ({draw(queries(0))}) {text}"
    return text


def allowed(action, first, second, place, view):
    """SQLite's own word on what a statement does: nothing but reading the allowed columns."""
    if action == sqlite3.SQLITE_READ and first:
        table = next((each for each in TABLES if each.name.lower() == first.lower()), None)
        fine = table is not None and (not second or second.lower() in {each.name.lower() for each in table.columns})
    elif action == sqlite3.SQLITE_FUNCTION:
        fine = second.lower() in sqlite_wall.FUNCTIONS
    else:
        fine = action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ)
    if not fine:
        allowed.seen.append((action, first, second))
    return sqlite3.SQLITE_OK


@pytest.fixture(scope="module")
def oracle():
    connection = sqlite3.connect(":memory:")
    connection.executescript(SCHEMA)
    connection.set_authorizer(allowed)
    yield connection
    connection.close()


def judged(oracle, sql):
    """None: it did not pass the check. Else whether SQLite could compile it; what it would do is looked at."""
    try:
        checked = check(sql, source())
    except Refused:
        return None
    allowed.seen = []
    try:
        for row in oracle.execute(checked.sql):
            assert "hidden" not in str(row)
    except sqlite3.Error:
        pass
    assert allowed.seen == [], checked.sql
    return checked.sql


@budget(max_examples=150)
@given(sql=queries())
def test_it_lets_nothing_pass_that_reads_more(oracle, sql):
    judged(oracle, sql)


@budget(max_examples=120)
@given(data=st.data())
def test_it_lets_no_mixture_of_queries_pass_that_reads_more(oracle, data):
    """Pieces of good queries with pieces of bad ones in their places."""
    texts = QUESTIONS
    words = data.draw(st.sampled_from(texts)).split()
    for _ in range(data.draw(st.integers(0, 4))):
        place = data.draw(st.integers(0, len(words) - 1))
        other = data.draw(
            st.sampled_from([*HIDDEN, "salaries", "*", "password,", *data.draw(st.sampled_from(texts)).split()])
        )
        words[place : place + data.draw(st.integers(0, 2))] = [other]
        if not words:
            return
    judged(oracle, " ".join(words))


def test_it_has_an_oracle_that_sees(oracle):
    allowed.seen = []
    oracle.execute("SELECT password FROM customers").fetchall()
    assert allowed.seen == [(sqlite3.SQLITE_READ, "customers", "password")]
    assert sum(judged(oracle, sql) is not None for sql in QUESTIONS) == len(QUESTIONS)
