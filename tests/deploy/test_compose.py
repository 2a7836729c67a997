"""deploy/docker-compose.prod.yml: valid for the oldest Compose it is for, and it says what a start needs."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import subprocess
import sys

import jsonschema
import pytest
import yaml

from tests.clawdbot_site.test_settings_page import names_read
from tests.deploy.manifests import COMPOSE, DEPLOY, ROOT, compose

SCHEMA = ROOT / "tests/deploy/schemas/compose_spec.json"
IMAGE = "${IMAGE:-registry.example.com/clawdbot/server:latest}"
SEEDS = {"MODEL_ENDPOINT", "API_KEY", "REDIS_HOST", "SESSION_TTL", "MODEL_TIMEOUT"}


@pytest.fixture(scope="module")
def file():
    return compose()


@pytest.fixture(scope="module")
def ours(file):
    return {name: each for name, each in file["services"].items() if each["image"] == IMAGE}


def test_it_is_valid(file):
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft201909Validator(schema).validate(file)
    with pytest.raises(jsonschema.ValidationError):
        broken = {**file, "services": {**file["services"], "web": {**file["services"]["web"], "imagee": "x"}}}
        jsonschema.Draft201909Validator(schema).validate(broken)


def test_it_is_of_the_version_that_docker_20_10_reads(file):
    assert file["version"] == "3.8"


def test_every_part_of_the_product_has_a_service(ours, file):
    words = {name: each["command"][0] for name, each in ours.items()}
    background = {"worker", "replays", "beat", "sequencer", "publisher"}
    assert set(words.values()) == {"migrate", "web", "grpc", *background}
    assert {"postgres", "valkey", "proxy"} <= set(file["services"])
    assert {name for name, each in file["services"].items() if "profiles" in each} == {"prometheus", "grafana"}


def test_a_file_with_the_settings_is_read_by_all(ours):
    assert SEEDS <= names_read()
    for each in ours.values():
        assert each["env_file"] == [".env"]
        # what stands here counts before the file: nothing of the file may be lost
        fixed = {name for name, value in each["environment"].items() if not name.endswith("_FILE")}
        assert all(re.match(rf"\$\{{{name}:-", each["environment"][name]) for name in fixed)


def test_every_setting_it_gives_is_one(ours):
    known = names_read() | {f"{name}_FILE" for name in names_read()}
    assert {name for each in ours.values() for name in each["environment"]} <= known


def test_every_secret_comes_as_a_file(file, ours):
    for name, each in file["services"].items():
        given = {value.rpartition("/")[2] for value in (each.get("environment") or {}).values() if "/secrets/" in value}
        assert given <= set(each.get("secrets", [])), name
    for each in ours.values():
        assert {"SECRET_KEY_FILE", "JWT_KEY_FILE", "MASTER_KEY_FILE", "SIGNING_KEY_FILE"} <= set(each["environment"])
    used = {secret for each in file["services"].values() for secret in each.get("secrets", [])}
    assert used == set(file["secrets"])


def test_the_script_makes_every_secret_once(tmp_path, file):
    def run() -> dict[str, str]:
        subprocess.run([DEPLOY / "secrets.sh", tmp_path / "s"], check=True, capture_output=True, timeout=20)
        return {each.name: each.read_text() for each in (tmp_path / "s").iterdir()}

    first = run()
    assert set(file["secrets"]) <= set(first)
    assert run() == first
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o700
    for name in ("SECRET_KEY", "MASTER_KEY", "METRICS_TOKEN"):
        assert len(first[name]) >= 32
    assert len(set(first.values())) == len(first)
    assert first["DATABASE_PASSWORD"] in first["DATABASE_URL"]


def test_no_server_has_the_password_its_image_comes_with(file):
    """Those that have one at first."""
    variables = {"postgres": "POSTGRES_PASSWORD_FILE", "grafana": "GF_SECURITY_ADMIN_PASSWORD__FILE"}
    for name, variable in variables.items():
        secret = file["services"][name]["environment"][variable].removeprefix("/run/secrets/")
        assert secret in file["services"][name]["secrets"]
    assert "requirepass $$(cat /run/secrets/REDIS_PASSWORD)" in " ".join(file["services"]["valkey"]["command"])


def test_every_service_has_no_more_rights_than_it_needs(file):
    for name, each in file["services"].items():
        assert each["read_only"] is True, name
        assert each["cap_drop"] == ["ALL"], name
        assert each["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in each
        assert each["restart"] == ("on-failure" if name == "migrate" else "unless-stopped"), name
        if name != "migrate":
            assert set(each["deploy"]["resources"]["limits"]) == {"cpus", "memory"}, name


def test_only_the_proxy_can_be_reached_from_outside(file):
    public = {name for name, each in file["services"].items() if "ports" in each}
    assert public == {"proxy", "grafana"}
    assert all(port.startswith("127.0.0.1:") for port in file["services"]["grafana"]["ports"])
    address = file["services"]["proxy"]["networks"]["inside"]["ipv4_address"]
    assert file["services"]["web"]["environment"]["TRUSTED_PROXIES"] == f"${{TRUSTED_PROXIES:-{address}}}"


def test_an_address_that_is_fixed_is_free_and_stays(file):
    """nginx looks its servers up once, and the servers believe the proxy's address: neither may come by chance."""
    [network] = file["networks"]["inside"]["ipam"]["config"]
    given = {
        name: ipaddress.ip_address(each["networks"]["inside"]["ipv4_address"])
        for name, each in file["services"].items()
        if isinstance(each["networks"], dict)
    }
    assert set(given) == {"web", "grpc", "proxy"}
    taken = [*given.values(), ipaddress.ip_address(network["gateway"])]
    assert len(set(taken)) == len(taken)
    assert all(each in ipaddress.ip_network(network["subnet"]) for each in taken)
    assert not any(each in ipaddress.ip_network(network["ip_range"]) for each in taken)
    upstreams = set(re.findall(r"^\s+server (\w+):", (DEPLOY / "nginx/nginx.conf").read_text(), re.MULTILINE))
    assert upstreams == {"web", "grpc"}


def test_what_it_asks_of_the_machine_is_the_basic_size(file):
    gib = {"G": 1.0, "M": 1 / 1024}
    always = [each for each in file["services"].values() if "deploy" in each and "profiles" not in each]
    memory = [each["deploy"]["resources"]["limits"]["memory"] for each in always]
    assert sum(float(each[:-1]) * gib[each[-1]] for each in memory) <= 15  # of 16


def test_every_file_it_mounts_is_there(file):
    for name, each in file["services"].items():
        for volume in each.get("volumes", []):
            source = volume.partition(":")[0]
            if source.startswith("./") and "/secrets/" not in source:
                if name not in ("prometheus", "grafana") or (DEPLOY / name).exists():
                    assert (DEPLOY / source).exists(), source
            elif not source.startswith("./"):
                assert source in file["volumes"]


def test_draining_ends_before_docker_kills(ours, settings):
    for name in ("web", "grpc"):
        [delay] = re.findall(r"\d+", ours[name]["environment"]["DRAIN_DELAY"])
        assert float(delay) == settings.DRAIN_DELAY
        assert "DRAIN_TIMEOUT" not in ours[name]["environment"]
        assert int(ours[name]["stop_grace_period"].rstrip("s")) > float(delay) + settings.DRAIN_TIMEOUT + 10


def test_a_machine_is_scraped_once(ours):
    """web tells of all that share its folder and its host's name; the gRPC server would tell the same again."""
    assert {(each["hostname"], *each["volumes"]) for each in ours.values()} == {("clawdbot", "data:/var/lib/clawdbot")}
    scraped = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())["scrape_configs"]
    [job] = [each for each in scraped if each["job_name"] == "clawdbot"]
    assert [each["targets"] for each in job["static_configs"]] == [["clawdbot:8000"]]
    assert ours["web"]["networks"]["inside"]["aliases"] == ["clawdbot"]
    assert not job.get("honor_labels")  # the rules know a model instance as exported_instance


def test_the_secrets_it_makes_are_none_that_others_know(tmp_path):
    """By the check that every start makes."""
    made = subprocess.run([DEPLOY / "secrets.sh", tmp_path / "s"], capture_output=True, timeout=20)
    assert made.returncode == 0, made.stderr
    files = {f"{each.name}_FILE": str(each) for each in (tmp_path / "s").iterdir()}
    environment = {"PATH": os.environ["PATH"], "ENV_FILE": "", "VAR_DIR": str(tmp_path / "var"), **files}
    environment["REDIS_HOST"] = "valkey"
    program = "from django.conf import settings; from clawdbot_site.known_secrets import problems; "
    program += "print(problems(settings)); print(settings.DATABASES['default']['PASSWORD'])"
    environment["DJANGO_SETTINGS_MODULE"] = "clawdbot_site.settings"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True)
    password = (tmp_path / "s" / "DATABASE_PASSWORD").read_text()
    assert done.stdout.splitlines() == ["[]", password], done.stderr


def test_the_page_has_its_commands():
    head = COMPOSE.read_text().split("version:")[0]
    for command in re.findall(r"docker compose .*", head):
        assert command in (ROOT / "docs/deploy.md").read_text()
