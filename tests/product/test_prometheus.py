"""What deploy/prometheus and deploy/grafana ask is answered: a real Prometheus scrapes a product under load, and every
query of every dashboard and rule is put to it."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
import yaml

from clawdbot_site.selftest.ports import free_port
from tests.product.load import Load
from tests.product.running import Product, until
from tests.product.upstreams import upstream_in_thread
from tools import dashboards

RULES: Final = Path(__file__).parents[2] / "deploy" / "prometheus" / "clawdbot.rules.yml"
TOKEN: Final = "token-of-the-test"  # noqa: S105
pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None, reason="there is no prometheus (Debian: apt-get install prometheus)"
)

# What this load cannot make happen, or another exporter says.
NOT_HERE: Final = frozenset(
    {
        'clawdbot_grpc_crowded_total{outcome="refused"}',  # there are places
        'clawdbot_web_crowded_total{outcome="refused"}',
        'clawdbot_journal_commit_seconds_count{outcome="failed"}',  # no commit fails
        'node_cpu_seconds_total{mode="idle"}',  # node_exporter's
        'process_resident_memory_bytes{kind!=""} offset 1h',
    }
)


class Prometheus:
    def __init__(self, port: int) -> None:
        self._client = httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=20, trust_env=False)
        self.load: Load | None = None

    def ask(self, query: str) -> list[dict[str, Any]]:
        """Fails where it is no PromQL."""
        answer = self._client.get("/api/v1/query", params={"query": query})
        assert answer.status_code == 200, f"{query}\n{answer.text}"
        return answer.json()["data"]["result"]

    def ready(self) -> bool:
        try:
            return self._client.get("/-/ready").status_code == 200
        except httpx2.TransportError:
            return False

    def targets(self) -> list[dict[str, Any]]:
        return self._client.get("/api/v1/targets").json()["data"]["activeTargets"]

    def rules(self) -> list[dict[str, Any]]:
        groups = self._client.get("/api/v1/rules").json()["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """After two rounds of load, each scraped more than once."""
    folder = tmp_path_factory.mktemp("prometheus")
    with upstream_in_thread() as upstream:
        product = Product(
            folder / "var",
            WORKERS="2",
            MODEL_ENDPOINT=upstream.url,
            MODEL_NAME="scripted",
            METRICS_TOKEN=TOKEN,
            ALERT_SECONDS="1",
            WEBHOOK_PRIVATE="true",
        )
        with product.up():
            load = Load(product)
            load.prepare()
            load.run()
            with _running(folder, product.port) as found:
                until(lambda: found.ask("clawdbot_turns_total"), "it was scraped")
                load.run()
                until(lambda: found.ask("max_over_time(clawdbot_outbox_lag_seconds[1m])"), "the publisher spoke")
                time.sleep(3)  # scraped and its rules evaluated: each second
                found.load = load
                yield found


class _running:
    def __init__(self, folder: Path, target: int) -> None:
        self._folder, self._target, self._port = folder, target, free_port()

    def __enter__(self) -> Prometheus:
        (self._folder / "rules.yml").write_text(RULES.read_text().replace("interval: 30s", "interval: 1s"))
        (self._folder / "token").write_text(TOKEN)
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yml"],
            "scrape_configs": [
                {
                    "job_name": "clawdbot",
                    "authorization": {"credentials_file": "token"},
                    "static_configs": [{"targets": [f"127.0.0.1:{self._target}"]}],
                }
            ],
        }
        (self._folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        command = ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data"]
        command += [f"--web.listen-address=127.0.0.1:{self._port}", "--log.level=warn"]
        self._log = (self._folder / "log").open("wb")
        self._process = subprocess.Popen(command, cwd=self._folder, stdout=self._log, stderr=self._log)
        found = Prometheus(self._port)
        until(found.ready, "Prometheus is up")
        return found

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(20)
        self._log.close()


def _asked(expr: str) -> str:
    """As Grafana fills it in."""
    return expr.replace("$__rate_interval", "1m").replace("$tenant", ".*")


def _selectors(expr: str) -> set[str]:
    """The metrics of a query with their labels, without the windows over them: `clawdbot_turns_total{state="x"}`."""
    found = re.findall(
        r"\b((?:clawdbot[_:]|http_|process_|node_)[a-z_:0-9]*(?:\{[^}]*\})?)(?:\[\w+\]|( offset \w+))?", expr
    )
    return {name + offset for name, offset in found}


def test_it_is_scraped_by_the_token(prometheus: Prometheus) -> None:
    assert [target["health"] for target in prometheus.targets()] == ["up"]


@pytest.mark.parametrize("dashboard", dashboards.ALL, ids=lambda each: each.uid)
def test_each_query_of_a_dashboard_is_answered(prometheus: Prometheus, dashboard: dashboards.Dashboard) -> None:
    empty = [
        (panel.title, expr)
        for panel in dashboard.panels
        for expr, _ in panel.queries
        if not _numbers(prometheus.ask(_asked(expr)))
    ]
    assert not empty, empty


def test_lines_have_the_labels_their_names_are_made_of(prometheus: Prometheus) -> None:
    missing = []
    for panel in (panel for each in dashboards.ALL for panel in each.panels):
        for expr, legend in panel.queries:
            labels = set(re.findall(r"\{\{(\w+)\}\}", legend))
            if "ALERTS" not in expr and not all(labels <= set(line["metric"]) for line in prometheus.ask(_asked(expr))):
                missing.append((panel.title, legend))
    assert missing == []


def test_what_rules_ask_of_is_there(prometheus: Prometheus) -> None:
    empty = []
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            prometheus.ask(rule["expr"])
            asked = _selectors(rule["expr"]) - NOT_HERE
            empty += [(rule.get("alert") or rule["record"], each) for each in asked if not prometheus.ask(each)]
    assert not empty, empty


def test_rules_are_evaluated_without_an_error(prometheus: Prometheus) -> None:
    assert {rule["name"]: rule.get("lastError") for rule in prometheus.rules() if rule["health"] != "ok"} == {}


def test_the_products_own_alert_fires_without_it(prometheus: Prometheus) -> None:
    """The publisher of this product looks each second; a tenth of the turns failed."""
    assert prometheus.load is not None
    with prometheus.load.http() as client:
        fired = lambda: [each for each in client.get("/api/alerts").json()["alerts"] if each["state"] == "firing"]  # noqa: E731
        (alert,) = until(fired, "it fires")
        assert alert["kind"] == "error_rate" and alert["value"] > 1


def _numbers(lines: list[dict[str, Any]]) -> list[str]:
    return [line["value"][1] for line in lines if line["value"][1] != "NaN"]
