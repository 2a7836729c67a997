from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from clawdbot_site import databases


def test_it_reads_a_postgresql_address():
    options = databases.sql("DATABASE_URL", "postgresql://u%40x:p%2Fw@db.example:5433/claw?sslmode=require")
    assert options["ENGINE"].endswith("postgresql")
    assert (options["USER"], options["PASSWORD"]) == ("u@x", "p/w")
    assert (options["HOST"], options["PORT"], options["NAME"]) == ("db.example", "5433", "claw")
    assert options["OPTIONS"] == {"sslmode": "require"}


def test_it_reads_a_sqlite_address():
    options = databases.sql("DATABASE_URL", "sqlite:////var/lib/claw.sqlite3")
    assert options["NAME"] == "/var/lib/claw.sqlite3"
    assert "journal_mode=WAL" in options["OPTIONS"]["init_command"]


def test_it_names_the_setting_with_a_database_it_does_not_know():
    with pytest.raises(ImproperlyConfigured, match="^JOURNAL_URL: 'mysql'"):
        databases.sql("JOURNAL_URL", "mysql://x/y")


@pytest.mark.parametrize(
    ("host", "nodes"),
    [
        ("", ["unix:///v/valkey.sock"]),
        ("cache", ["redis://:p%40s@cache:6379"]),
        ("cache:7000", ["redis://:p%40s@cache:7000"]),
        ("a:7000, b:7001", ["redis://:p%40s@a:7000", "redis://:p%40s@b:7001"]),
        ("valkeys://u:p@cache:1", ["rediss://u:p@cache:1"]),
        ("unix:///run/x.sock", ["unix:///run/x.sock"]),
    ],
)
def test_it_reads_every_form_of_redis_host(host, nodes):
    assert databases.valkey("REDIS_HOST", host, "p@s", Path("/v/valkey.sock")) == nodes


@pytest.mark.parametrize("host", ["http://x", "cache:port", ":6379"])
def test_it_refuses_what_is_no_valkey_address(host):
    with pytest.raises(ImproperlyConfigured, match="^REDIS_HOST: "):
        databases.valkey("REDIS_HOST", host, "", Path("/v/valkey.sock"))


def test_it_spells_a_socket_as_the_broker_reads_it():
    assert databases.broker("unix:///v/valkey.sock?db=1") == "redis+socket:///v/valkey.sock?virtual_host=1"
    assert databases.broker("amqp://rabbit") == "amqp://rabbit"


def test_it_keeps_a_socket_path_the_kernel_accepts():
    short = databases.socket_path(Path("/srv/var"))
    assert short == Path("/srv/var/valkey/valkey.sock")
    deep = Path("/srv") / ("x" * 120)
    assert len(str(databases.socket_path(deep))) <= databases.SOCKET_PATH_LIMIT
    assert databases.socket_path(deep) != databases.socket_path(deep / "y")
