from prometheus_client.parser import text_string_to_metric_families

from access.metrics import Metrics
from access.metrics.names import OTHER, Names, admit
from engine.types import Usage, Verdict

MANY = 10_000


def test_the_first_that_come_are_told_apart():
    names = Names(2)
    assert [names.of(name) for name in ("a", "b", "c", "a", "")] == ["a", "b", OTHER, "a", ""]


def test_what_the_machine_did_not_agree_upon_is_rejected():
    names = Names(2)
    names.of("a"), names.of("b")
    assert names.settle(["a", "b"], ["z", "a"]) == {"b"}
    assert [names.of(name) for name in ("a", "z", "b")] == ["a", "z", OTHER]


def test_what_came_meanwhile_waits_for_its_turn():
    names = Names(3)
    names.of("a"), names.of("b")
    assert names.settle(["a"], ["a"]) == set()
    assert names.fresh == {"b"} and names.of("b") == "b"


def test_zero_tells_nobody_apart():
    assert Names(0).of("a") == OTHER


def test_as_many_are_admitted_as_there_is_room_for():
    assert admit({"tenant": ["a"]}, {"tenant": ["a", "b", "c"], "list": ["x"]}, {"tenant": 2, "list": 2}) == {
        "tenant": ["a", "b"],
        "list": ["x"],
    }


def test_no_tenant_can_blow_up_the_page():
    """10,000 tenants with a model each, and one with 10,000 lists, instances and plugins."""
    metrics = Metrics(tenants=200, names=200)
    for number in range(MANY):
        name = f"{number:05}"
        metrics.turn(tenant=name, model=name, edge="rest", state="completed", ttft=0.1, duration=1, usage=Usage(1, 1))
        metrics.spent(tenant=name, model=name, cost=1_000_000)
        metrics.cache(tenant=name, outcome="miss")
        metrics.refused(tenant=name, limit="requests")
        metrics.replayed(tenant=name, edge="rest")
        metrics.waited(tenant=name, place="worker", outcome="too_late", seconds=1)
        metrics.guard(edge="rest", verdicts=[Verdict(name, 1, "word", "block", "input")], held=None)
        metrics.first_token(instance=name, model=name, seconds=0.1)
        metrics.call(instance=name, model=name, error="", seconds=1)
        metrics.call(instance=name, model=name, error="upstream_error", seconds=1)
        metrics.hook(plugin=name, hook="pre", outcome="ran", seconds=0.1)
    page = metrics.text()
    assert page.count(b"\n") < 15_000
    sums = {}
    for family in text_string_to_metric_families(page.decode()):
        for sample in family.samples:
            if "le" not in sample.labels:
                sums[sample.name] = sums.get(sample.name, 0) + sample.value
    assert sums["clawdbot_turns_total"] == sums["clawdbot_cost_total"] == sums["clawdbot_cache_total"] == MANY
    assert sums["clawdbot_tokens_total"] == sums["clawdbot_instance_requests_total"] == 2 * MANY
    assert sums["clawdbot_instance_errors_total"] == sums["clawdbot_guard_hits_total"] == MANY
    assert sums["clawdbot_instance_seconds_count"] == sums["clawdbot_plugin_hook_seconds_count"] == MANY


def test_pairs_of_names_are_bounded_too(monkeypatch):
    monkeypatch.setattr("access.metrics.series.MOST", 50)
    metrics = Metrics()
    for tenant in range(20):
        for model in range(20):
            metrics.spent(tenant=str(tenant), model=str(model), cost=1_000_000)
    costs = metrics.book.counted()["clawdbot_cost"]
    assert len(costs) == 50 + 18 and sum(costs.values()) == 400
