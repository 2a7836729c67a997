"""MariaDB, where the machine has it (`mariadbd` in PATH): the driver, the limits and the wall of MySQL's dialect."""

import getpass
import shutil
import subprocess
import time

import pymysql
import pytest

from clawdbot_site.selftest.ports import free_port
from plugins.databases.checking import Checked, check
from plugins.databases.connecting import engine_of
from plugins.databases.failures import QueryFailed, Refused
from plugins.databases.reading import look
from plugins.databases.running import run
from tests.plugins.databases import questions
from tests.plugins.databases.sources import SCHEMA, TABLES, source

pytestmark = pytest.mark.skipif(not shutil.which("mariadbd"), reason="there is no mariadbd in PATH")

QUESTIONS = [(sql, rows) for where, sql, rows in questions.cases() if where == "mysql"]
ROLES = """
CREATE DATABASE shop CHARACTER SET utf8mb4;
CREATE USER reader@'127.0.0.1' IDENTIFIED BY 'secret';
CREATE USER writer@'127.0.0.1' IDENTIFIED BY 'secret';
GRANT SELECT ON shop.* TO reader@'127.0.0.1';
GRANT ALL ON `sh\\_op`.* TO reader@'127.0.0.1';
GRANT ALL ON `s_o%`.* TO writer@'127.0.0.1';
SET sql_mode = 'ANSI_QUOTES';
USE shop;
"""


@pytest.fixture(scope="module")
def maria(tmp_path_factory):
    """The port of a server that is stopped afterwards."""
    home, port = tmp_path_factory.mktemp("maria"), free_port()
    data, socket, user = f"--datadir={home}/data", str(home / "s"), f"--user={getpass.getuser()}"
    subprocess.run(
        ["mariadb-install-db", "--no-defaults", data, user, "--auth-root-authentication-method=normal"],
        check=True, capture_output=True,
    )  # fmt: skip
    server = subprocess.Popen(
        ["mariadbd", "--no-defaults", data, user, f"--port={port}", "--bind-address=127.0.0.1", f"--socket={socket}",
         f"--pid-file={home}/pid", "--innodb-buffer-pool-size=16M"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        with _owner(socket) as owner, owner.cursor() as cursor:
            for statement in filter(str.strip, (ROLES + SCHEMA).split(";\n")):
                cursor.execute(statement)
        yield port
    finally:
        server.terminate()
        server.wait(60)


def _owner(socket):
    for _ in range(600):
        try:
            return pymysql.connect(unix_socket=socket, user="root", autocommit=True)
        except pymysql.err.OperationalError:
            time.sleep(0.1)
    raise TimeoutError


@pytest.fixture
def ask(maria):
    engines = []

    def ask(sql, role="reader", *, checked=True, **fields):
        where = source("mysql", f"mysql://{role}:secret@127.0.0.1:{maria}/shop", **fields)
        engines.append(engine_of(where))
        return run(engines[-1], where, check(sql, where) if checked else Checked(sql, 51, TABLES))

    yield ask
    for engine in engines:
        engine.dispose()


def test_it_answers_questions_from_mariadb(ask):
    for sql, rows in QUESTIONS:
        found = ask(sql, cost_limit=1_000_000.0)
        assert rows is None or len(found.rows) == rows, sql


@pytest.mark.parametrize(
    ("text", "means"),
    [(r"'a\\b'", r"a\b"), (r"'a\'b'", "a'b"), ("'a''b'", "a'b"), ('"it\'s"', "it's"),
     (r"'\\\' OR 1=1 -- '", r"\' OR 1=1 -- ")],
)  # fmt: skip
def test_it_reads_texts_as_mariadb_does(ask, text, means):
    assert ask(f"SELECT {text} AS x").rows == [[means]]


@pytest.mark.parametrize(
    "sql",
    ["DELETE FROM customers", "UPDATE customers SET name = 'x'", "INSERT INTO customers VALUES (9, 'x', 'x', 'x')",
     "DROP TABLE customers", "CREATE TABLE mine (id INTEGER)", "TRUNCATE TABLE orders", "SELECT 1; SELECT 2"],
)  # fmt: skip
def test_it_is_walled_by_mariadb_itself(ask, sql):
    """Also from what ends a transaction, whatever the role may do."""
    with pytest.raises(QueryFailed) as failed:
        ask(sql, "writer", checked=False)
    assert failed.value.code == "database_error"
    assert len(ask("SELECT id FROM customers").rows) == 3


def test_it_ends_a_query_that_takes_too_long(ask):
    with pytest.raises(QueryFailed) as failed:
        ask("SELECT SLEEP(60)", checked=False, time_limit=0.5)
    assert failed.value.code == "too_slow"


def test_it_refuses_a_query_that_costs_too_much_before_it_runs(ask):
    many = ", ".join(f"orders o{number}" for number in range(14))
    with pytest.raises(Refused) as refused:
        ask(f"SELECT count(*) AS n FROM {many}", cost_limit=1000.0)
    assert refused.value.code == "cost"
    assert ask("SELECT count(*) AS n FROM orders", cost_limit=1000.0).rows == [[4]]
    assert ask("SELECT 1 AS n", cost_limit=1000.0).rows == [[1]]


def test_it_says_whether_the_role_may_write(maria):
    for role, may in (("reader", False), ("writer", True)):
        found = look(source("mysql", f"mysql://{role}:secret@127.0.0.1:{maria}/shop"))
        assert (found.may_write, {table.name for table in found.tables}) == (
            may,
            {"Items", "customers", "orders", "salaries"},
        )
