"""`manage.py selftest isolation`: the attack finds every door, nothing leaks, and it can say no."""

import ast
import inspect
import json
import subprocess
import sys
from collections import Counter

from access.edges import websocket
from access.urls import ROUTES
from clawdbot_site.selftest.instance import ROOT
from clawdbot_site.selftest.isolation import attack, pages, running, sockets, surface
from clawdbot_site.selftest.isolation.report import Finding, Report
from clawdbot_site.selftest.isolation.surface import Door
from clawdbot_site.selftest.isolation.world import World
from tests.product.running import SELFTEST_TIME


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", "selftest", "isolation", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SELFTEST_TIME)


def test_tenants_are_kept_apart():
    """`make soak NAME=isolation` attacks PostgreSQL too."""
    done = run("--json", "--quick", "--database", "sqlite")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    report = json.loads(done.stdout)
    assert report["holds"] and report["findings"] == []
    assert report["doors"]["http"] == len(surface.routes())
    assert min(report["attacks"].values()) > 30


def test_it_says_so_where_it_cannot_be_run():
    report = running.run(running.Plan(database="sqlite", settings_module="no.such.settings"), lambda text: None)
    assert (report.code, report.holds) == (2, False)
    assert "does not start" in report.error


def test_it_finds_every_door():
    found = surface.doors()
    assert {door.path for door in found} >= set(ROUTES)
    paths = {door.path for door in found if door.kind == "page"}
    assert {"/console/", "/admin/tenants/apikey/{object_id}/change/", "/admin/{url}"} <= paths
    assert {door.model for door in found if door.path.startswith("/admin/tenants/apikey/")} == {"tenants.apikey"}
    assert len({str(door) for door in found if door.kind == "grpc"}) >= 6


def test_it_knows_every_frame_the_socket_hears():
    tree = ast.parse(inspect.getsource(websocket).replace("\t", "    "))
    heard = next(node for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef) and node.name == "_hear")
    words = {
        value.value.value
        for value in ast.walk(heard)
        if isinstance(value, ast.MatchValue) and isinstance(value.value, ast.Constant)
    }
    assert words == set(websocket.FRAMES) == set(sockets.FRAMES)


def test_a_door_nobody_knows_an_id_for_is_named():
    world = World(0, "", {"rows": {}}, ids={"tenant_id": "1", "rule_id": "1"})
    new = Door("http", "GET", "/api/parrots/{parrot_id}")
    (finding,) = attack.attack(world, [new], Counter())
    assert str(finding).startswith("GET /api/parrots/{parrot_id}, as anybody: nothing here opens this door")
    (page,) = pages.attack(world, [Door("page", "GET", "/parrots/")], Counter())
    assert (page.kind, page.door) == ("not covered", "GET /parrots/")


def test_a_report_holds_only_if_something_was_tried():
    assert Report(attacks={"http": 1}).code == 0
    assert Report().code == 1
    assert Report(attacks={"http": 1}, findings=[Finding("GET /", "nobody", "let in")]).code == 1
    assert Report(could_run=False, error="no").code == 2
