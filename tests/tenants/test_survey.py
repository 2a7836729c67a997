"""What the stores' health report says of stores that are well, and of those that are not."""

from __future__ import annotations

import io
import json

import pytest
import redis
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import DatabaseError

from tenants.models import Tenant
from tenants.survey import survey
from tests.cast import ACME, GLOBEX, tenant_table
from tests.services.cluster import ValkeyCluster, until
from tests.services.valkey import ValkeyServer


@pytest.fixture
def start(tmp_path):
    servers = []

    def start(*options):
        server = ValkeyServer(tmp_path / str(len(servers)), options=options)
        server.start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.kill()


def test_it_says_how_much_a_standalone_server_could_lose(start):
    told = []
    for options in (
        ["--appendonly", "yes", "--appendfsync", "always"],
        ["--appendonly", "yes"],
        ["--save", "3600 1"],
        [],
    ):
        (report,) = survey([start(*options).url], tenant_table())
        assert (report.kind, report.problems, report.slots_served) == ("standalone", [], None)
        (server,) = report.servers
        assert server.answers and server.role == "primary" and server.version and server.memory > 0
        assert server.databases == 1024
        told.append(server.could_lose)
    assert told[0] == "nothing" and told[1] == "the last second" and told[3] == "everything"
    assert told[2].startswith("0 changes")
    assert "keeps nothing on its disk" in report.remarks[0]


def test_it_reports_what_is_broken(start, tmp_path):
    server = start("--databases", "17", "--maxmemory", "1mb", "--maxmemory-policy", "allkeys-lru")
    own = {"store_url": f"unix://{tmp_path}/nobody.sock"}
    broken = {"store_url": "http://nonsense"}
    platform, acme, globex = survey([server.url], tenant_table(ACME.view(**own), GLOBEX.view(**broken)))
    assert any("drops keys" in problem for problem in platform.problems)
    assert any("memory is in use" in problem for problem in platform.problems)
    assert acme.problems == [f"{tmp_path}/nobody.sock: does not answer"] and acme.could_lose.startswith("unknown")
    assert "address is none" in globex.problems[0]
    (platform,) = survey([server.url], tenant_table())
    assert any("17 databases, too few for 1 tenants (globex)" in problem for problem in platform.problems)


def test_it_sees_a_disk_that_fails(start):
    server = start("--save", "3600 1")
    (server.folder / "dump.rdb").unlink(missing_ok=True)
    (server.folder / "dump.rdb").mkdir()  # the snapshot cannot be put there
    (server.folder / "dump.rdb" / "x").touch()
    with redis.Redis(unix_socket_path=str(server.socket)) as client:
        client.set("a", 1)
        client.bgsave()
        until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", "the snapshot fails")
    (report,) = survey([server.url], tenant_table())
    assert any("snapshot could not be written" in problem for problem in report.problems)


def test_it_knows_the_nodes_of_a_cluster(tmp_path):
    cluster = ValkeyCluster(tmp_path, databases=17, replicas=1)
    try:
        (report,) = survey(cluster.urls[:1], tenant_table(GLOBEX.view(store_layout="prefix")))
        assert (report.kind, report.slots_served, report.problems) == ("cluster", 16_384, [])
        assert sorted(server.role for server in report.servers) == ["primary"] * 3 + ["replica"] * 3
        assert all(server.lag is not None for server in report.servers if server.role == "replica")
        assert "A replica that takes over" in report.could_lose
        (report,) = survey(cluster.urls, tenant_table())
        assert any("cluster-databases" in problem for problem in report.problems)
        cluster.replicas[0].kill()
        cluster.primaries[0].kill()
        (report,) = survey(cluster.urls, tenant_table())
        assert any("does not answer" in problem or "is lost" in problem for problem in report.problems)
        assert any("slots are served by nobody" in problem for problem in report.problems)
    finally:
        cluster.stop()


def test_the_command_says_by_its_exit_whether_all_is_well(cast, valkey_url, monkeypatch):
    out = io.StringIO()
    call_command("storehealth", stdout=out)
    assert "could be lost" in out.getvalue() and "BROKEN" not in out.getvalue()
    Tenant.objects.filter(slug="acme").update(store_url="unix:///nobody.sock")
    out = io.StringIO()
    with pytest.raises(CommandError) as failed:
        call_command("storehealth", "--json", stdout=out)
    assert failed.value.returncode == 1
    reports = json.loads(out.getvalue())
    assert [report["name"] for report in reports] == ["platform", "acme"]
    assert reports[1]["problems"] == ["/nobody.sock: does not answer"]
    assert settings.VALKEY_NODES == [valkey_url]


def test_the_command_says_when_it_could_not_find_out(db, monkeypatch):
    def fail():
        raise DatabaseError("away")

    monkeypatch.setattr("tenants.management.commands.storehealth.compile_tenants", fail)
    with pytest.raises(CommandError) as failed:
        call_command("storehealth")
    assert failed.value.returncode == 2
