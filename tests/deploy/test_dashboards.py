"""deploy/grafana: the files are what tools/dashboards.py writes, and Grafana finds its way in them. What the queries
answer is tested with a running product: tests/product/test_prometheus.py."""

import json
from pathlib import Path

import pytest
import yaml

from tools import dashboards

ROOT = Path(__file__).parents[2]
GRAFANA = ROOT / "deploy" / "grafana"
ALL = pytest.mark.parametrize("dashboard", dashboards.ALL, ids=lambda each: each.uid)


@ALL
def test_the_file_is_as_it_is_written(dashboard):
    assert (GRAFANA / "dashboards" / f"{dashboard.uid}.json").read_text() == dashboards.written(dashboard)


def test_no_file_is_left_over():
    assert sorted(file.stem for file in GRAFANA.glob("dashboards/*")) == sorted(each.uid for each in dashboards.ALL)


@ALL
def test_panels_do_not_lie_on_each_other(dashboard):
    panels = json.loads(dashboards.written(dashboard))["panels"]
    taken = [
        (x, panel["gridPos"]["y"])
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
    ]
    assert len(taken) == len(set(taken)) and max(x for x, _ in taken) < dashboards.WIDTH
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_the_query_of_the_first_specification_is_a_panel():
    said = [expr for each in dashboards.ALL for panel in each.panels for expr, _ in panel.queries]
    assert 'rate(http_requests_total{path="/api/chat"}[5m]) * 60' in said


def test_its_provisioning_names_its_folder():
    provider = yaml.safe_load((GRAFANA / "provisioning/dashboards/clawdbot.yml").read_text())["providers"][0]
    assert provider["type"] == "file" and provider["options"]["path"].endswith("/clawdbot")
    source = yaml.safe_load((GRAFANA / "provisioning/datasources/clawdbot.yml").read_text())["datasources"][0]
    assert source["type"] == "prometheus" and source["isDefault"]


def test_the_page_lists_every_dashboard():
    text = (ROOT / "docs" / "dashboards.md").read_text()
    assert [each.title for each in dashboards.ALL if each.title.removeprefix("Clawdbot: ") not in text] == []
