"""Writes deploy/grafana/dashboards/*.json: what a panel shows is said here in a line, what Grafana wants around it is
added. Run it after a change: .venv/bin/python tools/dashboards.py

Every query is run by a test against a Prometheus that scraped a gateway. Those of model instances have the label
`exported_instance` (docs/alerts.md says why)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

FOLDER: Final = Path(__file__).parents[1] / "deploy" / "grafana" / "dashboards"
SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
WIDTH: Final = 24
HEIGHT: Final = 8
RATE: Final = "$__rate_interval"
FEW: Final = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}}


class Panel(NamedTuple):
    """`queries` are (PromQL, what a line is called). Without `about` the title says it all."""

    title: str
    queries: Sequence[tuple[str, str]]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    about: str = ""
    red_from: float | None = None
    red_below: float | None = None


class Dashboard(NamedTuple):
    uid: str
    title: str
    panels: Sequence[Panel]
    tenants: bool = False


def rate(metric: str, by: str = "", labels: str = "") -> str:
    chosen = f"{{{labels}}}" if labels else ""
    return f"sum{f' by ({by})' if by else ''} (rate({metric}{chosen}[{RATE}]))"


def quantile(share: float, metric: str, by: str = "", labels: str = "") -> str:
    return f"histogram_quantile({share}, {rate(f'{metric}_bucket', f'{by}, le' if by else 'le', labels)})"


def latencies(metric: str, labels: str = "") -> list[tuple[str, str]]:
    return [(quantile(share, metric, labels=labels), f"p{share * 100:.0f}") for share in (0.5, 0.95, 0.99)]


COMPLETED: Final = 'state="completed"'
COUNTED: Final = 'state=~"completed|failed|aborted"'
COMPLETION: Final = f"{rate('clawdbot_turns_total', labels=COMPLETED)} / {rate('clawdbot_turns_total', labels=COUNTED)}"
OF_TENANT: Final = 'tenant=~"$tenant"'
COMPLETED_OF: Final = rate("clawdbot_turns_total", "tenant", f"{OF_TENANT}, {COMPLETED}")
COUNTED_OF: Final = rate("clawdbot_turns_total", "tenant", f"{OF_TENANT}, {COUNTED}")
FIRING: Final = 'count by (alertname) (ALERTS{alertname=~"Clawdbot.*", alertstate="firing"}) or vector(0)'
CALLS: Final = "clawdbot_instance_requests_total"
SHARE: Final = (
    f"{rate(CALLS, 'exported_instance, model')} / ignoring(exported_instance) group_left {rate(CALLS, 'model')}"
)
CPU: Final = rate("process_cpu_seconds_total", "worker, kind", 'kind!=""')

OVERVIEW: Final = Dashboard(
    "clawdbot-overview",
    "Clawdbot: overview",
    [
        Panel("Requests to /api/chat, a minute", [('rate(http_requests_total{path="/api/chat"}[5m]) * 60',
              "{{method}} {{status}}")], width=12),
        Panel("Completion rate", [(COMPLETION, "completed")], "percentunit", width=12, red_below=0.9,
              about="Completed / (completed + failed + aborted). Refused and cancelled turns do not count."),
        Panel("Turns a second, by how they ended", [(rate("clawdbot_turns_total", "state"), "{{state}}")], "ops"),
        Panel("Turns a second, by edge", [(rate("clawdbot_turns_total", "edge"), "{{edge}}")], "ops"),
        Panel("HTTP answers a second", [(rate("http_requests_total", "status"), "{{status}}")], "ops"),
        Panel("Response time", latencies("clawdbot_turn_seconds"), "s", red_from=2,
              about="Until the answer is whole. The alert is at a p99 of 2 s."),
        Panel("Time to the first token", latencies("clawdbot_time_to_first_token_seconds"), "s"),
        Panel("HTTP requests, p99 by path", [(quantile(0.99, "http_request_seconds", "path"), "{{path}}")], "s"),
        Panel("Cost an hour", [(f"{rate('clawdbot_cost_total')} * 3600", "cost")],
              about="In the unit of the prices."),
        Panel("Tokens a second", [(rate("clawdbot_tokens_total", "kind"), "{{kind}}")], "ops"),
        Panel("Alerts that fire", [(FIRING, "{{alertname}}")]),
    ],
)  # fmt: skip

MODELS: Final = Dashboard(
    "clawdbot-models",
    "Clawdbot: models and routing",
    [
        Panel("Calls a second, by instance", [(rate("clawdbot_instance_requests_total", "exported_instance"),
              "{{exported_instance}}")], "ops", width=12),
        Panel("Errors a second, by instance", [(rate("clawdbot_instance_errors_total", "exported_instance, code"),
              "{{exported_instance}} {{code}}")], "ops", width=12),
        Panel("Call, p99 by instance", [(quantile(0.99, "clawdbot_instance_seconds", "exported_instance"),
              "{{exported_instance}}")], "s", width=12),
        Panel("First token, p99 by instance", [(quantile(0.99, "clawdbot_instance_first_token_seconds",
              "exported_instance"), "{{exported_instance}}")], "s", width=12),
        Panel("Weight now", [("avg by (exported_instance, model) (clawdbot_instance_weight)",
              "{{exported_instance}} ({{model}})")],
              about="The operator's, by what the instance is worth at the moment."),
        Panel("Breakers", [("max by (exported_instance, model) (clawdbot_instance_breaker)",
              "{{exported_instance}} ({{model}})")], red_from=2, about="0 closed, 1 half-open, 2 open."),
        Panel("Calls in flight", [("sum by (exported_instance) (clawdbot_instance_in_flight)",
              "{{exported_instance}}")]),
        Panel("Share of the calls", [(SHARE, "{{exported_instance}} ({{model}})")], "percentunit"),
        Panel("Tokens a second, by model", [(rate("clawdbot_tokens_total", "model, kind"), "{{model}} {{kind}}")],
              "ops"),
        Panel("Turns that wait", [("sum by (place) (clawdbot_waiting_turns)", "{{place}}")]),
    ],
)  # fmt: skip

TENANTS: Final = Dashboard(
    "clawdbot-tenants",
    "Clawdbot: tenants and cost",
    [
        Panel("Turns a second, by tenant", [(rate("clawdbot_turns_total", "tenant", OF_TENANT), "{{tenant}}")], "ops"),
        Panel("Completion rate, by tenant", [(f"{COMPLETED_OF} / {COUNTED_OF}", "{{tenant}}")], "percentunit",
              red_below=0.9),
        Panel("Refused by limits, a second", [(rate("clawdbot_limits_refused_total", "tenant, limit", OF_TENANT),
              "{{tenant}} {{limit}}")], "ops"),
        Panel("Tokens a second, by tenant", [(rate("clawdbot_tokens_total", "tenant, kind", OF_TENANT),
              "{{tenant}} {{kind}}")], "ops", width=12),
        Panel("Cost an hour, by tenant", [(f"{rate('clawdbot_cost_total', 'tenant', OF_TENANT)} * 3600", "{{tenant}}")],
              width=12),
        Panel("Cost an hour, by model", [(f"{rate('clawdbot_cost_total', 'model', OF_TENANT)} * 3600", "{{model}}")]),
        Panel("Budget used", [(f"max by (tenant, period) (clawdbot_budget_used_ratio{{{OF_TENANT}}})",
              "{{tenant}} {{period}}")], "percentunit", red_from=1),
        Panel("Kept answers", [(rate("clawdbot_cache_total", "outcome", OF_TENANT), "{{outcome}}")], "ops"),
    ],
    tenants=True,
)  # fmt: skip

SAFETY: Final = Dashboard(
    "clawdbot-safety",
    "Clawdbot: journal and safety",
    [
        Panel("Commits a second", [(rate("clawdbot_journal_commit_seconds_count", "outcome"), "{{outcome}}")], "ops"),
        Panel("Commit of the journal", latencies("clawdbot_journal_commit_seconds", 'outcome="durable"'), "s",
              red_from=0.25),
        Panel("Entries that wait for the journal", [("sum(clawdbot_journal_waiting_entries)", "entries"),
              ("sum(clawdbot_journal_waiting_bytes)", "bytes")]),
        Panel("On the disk for the database", [("sum(clawdbot_journal_spool_bytes)", "spooled")], "bytes", red_from=1),
        Panel("The sequencer is behind by", [("max(clawdbot_sequencer_lag_seconds)", "seconds")], "s", red_from=60),
        Panel("Events are behind by", [("max by (tenant, sink) (clawdbot_outbox_lag_seconds)", "{{tenant}} {{sink}}")],
              "s", red_from=300),
        Panel("Words found, a second", [(rate("clawdbot_guard_hits_total", "list, action"), "{{list}} {{action}}")],
              "ops"),
        Panel("Held back of streams", latencies("clawdbot_guard_holdback_seconds"), "s", red_from=1),
        Panel("Most characters held back", [(quantile(0.99, "clawdbot_guard_holdback_characters", "edge"),
              "{{edge}}")]),
        Panel("Personal data masked, a second", [(rate("clawdbot_personal_masked_total", "kind"), "{{kind}}")], "ops"),
        Panel("Hooks of plugins a second", [(rate("clawdbot_plugin_hooks_total", "plugin, outcome"),
              "{{plugin}} {{outcome}}")], "ops"),
        Panel("Hooks of plugins, p99", [(quantile(0.99, "clawdbot_plugin_hook_seconds", "plugin"), "{{plugin}}")], "s"),
    ],
)  # fmt: skip

PROCESSES: Final = Dashboard(
    "clawdbot-processes",
    "Clawdbot: sessions, sockets, processes",
    [
        Panel("Sessions", [("max(clawdbot_sessions_live)", "live")]),
        Panel("Open streams", [("sum(clawdbot_streams_open)", "streams")]),
        Panel("WebSockets", [("sum(clawdbot_websockets)", "open")]),
        Panel("WebSockets that ended, a second", [(rate("clawdbot_websockets_closed_total", "reason"), "{{reason}}")],
              "ops"),
        Panel("WebSocket handshakes refused, a second", [(rate("clawdbot_websockets_refused_total", "code"),
              "{{code}}")], "ops"),
        Panel("Web connections", [("sum(clawdbot_web_connections)", "open")]),
        Panel("gRPC connections", [("sum(clawdbot_grpc_connections)", "open")]),
        Panel("Answered as before, a second", [(rate("clawdbot_idempotent_replays_total", "edge"), "{{edge}}")], "ops"),
        Panel("CPU, by process", [(CPU, "{{kind}} {{worker}}")], "percentunit", width=12, red_from=0.85,
              about="Of one core."),
        Panel("Memory, by process", [('sum by (worker, kind) (process_resident_memory_bytes{kind!=""})',
              "{{kind}} {{worker}}")], "bytes", width=12),
        Panel("Processes that live", [("sum(clawdbot_worker_up)", "up"), ("count(clawdbot_worker_up)", "known")]),
        Panel("Store", [("min(clawdbot_store_up)", "up")], about="0: it does not answer."),
        Panel("Versions", [("count by (version) (clawdbot_info)", "{{version}}")]),
    ],
)  # fmt: skip

ALL: Final = (OVERVIEW, MODELS, TENANTS, SAFETY, PROCESSES)


def written(dashboard: Dashboard) -> str:
    """As the file has it."""
    panels, x, y = [], 0, 0
    for number, panel in enumerate(dashboard.panels, start=1):
        if x + panel.width > WIDTH:
            x, y = 0, y + HEIGHT
        panels.append(_panel(number, panel, x, y))
        x += panel.width
    told = {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["clawdbot"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "time": {"from": "now-3h", "to": "now"},
        "refresh": "30s",
        "links": [{"type": "dashboards", "tags": ["clawdbot"], "title": "Clawdbot", "asDropdown": True}],
        "templating": {"list": _variables(dashboard)},
        "panels": panels,
    }
    return json.dumps(told, indent=2) + "\n"


def _panel(number: int, panel: Panel, x: int, y: int) -> dict[str, Any]:
    custom: dict[str, Any] = {"lineWidth": 1, "fillOpacity": 8, "showPoints": "never"}
    steps = _steps(panel)
    if len(steps) > 1:
        custom["thresholdsStyle"] = {"mode": "dashed"}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": SOURCE,
        "gridPos": {"h": HEIGHT, "w": panel.width, "x": x, "y": y},
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "min": 0,
                "custom": custom,
                "thresholds": {"mode": "absolute", "steps": steps},
            },
            "overrides": [],
        },
        "options": FEW,
        "targets": [
            {"refId": chr(ord("A") + place), "datasource": SOURCE, "expr": expr, "legendFormat": legend}
            for place, (expr, legend) in enumerate(panel.queries)
        ],
    }


def _steps(panel: Panel) -> list[dict[str, Any]]:
    if panel.red_below is not None:
        return [{"color": "red", "value": None}, {"color": "green", "value": panel.red_below}]
    beyond = [{"color": "red", "value": panel.red_from}] if panel.red_from is not None else []
    return [{"color": "green", "value": None}, *beyond]


def _variables(dashboard: Dashboard) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Source"}
    ]
    if dashboard.tenants:
        found.append(
            {
                "name": "tenant",
                "type": "query",
                "label": "Tenant",
                "datasource": SOURCE,
                "query": {"query": "label_values(clawdbot_turns_total, tenant)", "refId": "tenants"},
                "refresh": 2,
                "includeAll": True,
                "allValue": ".*",
                "multi": True,
                "current": {"text": "All", "value": "$__all"},
            }
        )
    return found


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for each in ALL:
        (FOLDER / f"{each.uid}.json").write_text(written(each))
