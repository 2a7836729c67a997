import io
from decimal import Decimal
from textwrap import dedent

import pytest
import yaml
from django.core.management import CommandError, call_command

from routing.configuration import MODEL_KEYS, RULE_KEYS, dump, load
from routing.documents import ConfigurationError
from routing.models import ModelGrant, ModelInstance, RoutingRule
from routing.services import MAX_RULES, api_key_of
from tenants.models import ConfigVersion

DESIGN = """\
models:          # name may be a wildcard; the rest optional
  - {name: gpt-3.5-turbo, adapter: openai_compatible, endpoint: https://api.example.com/v1, api_key: "${OPENAI_API_KEY}", upstream_model: gpt-3.5-turbo,
     weight: 1, version: v1.2, context_window: 16385, max_concurrency: 100, languages: [], price_in: 0.5, price_out: 1.5, timeout: 30,
     allow_private: false, enabled: true}
routing_rules:
  - model: gpt-3.5-turbo
    weight: 60
    conditions: ["max_tokens < 2000", "temperature <= 0.7"]
  - model: llama2-70b
    weight: 40
    conditions: ["complexity_score > 0.8"]
"""  # noqa: E501
SEED = """\
routing_rules:
- model: gpt-3.5-turbo
  weight: 60
  conditions:
  - max_tokens < 2000
  - temperature <= 0.7
- model: llama2-70b
  weight: 40
  conditions:
  - complexity_score > 0.8
"""
ENVIRON = {"OPENAI_API_KEY": "sk-1", "WEIGHT": "7", "EMPTY": ""}


def apply(text, tenant=None, **environ):
    return load(dedent(text), tenant=tenant, environ={**ENVIRON, **environ})


def model(**wanted):
    return ModelInstance.objects.everywhere().get(**wanted)


def rules():
    return [(row.model, row.weight, row.conditions) for row in RoutingRule.objects.everywhere().order_by("id")]


def version():
    row = ConfigVersion.objects.filter(section="routing").first()
    return row.version if row else 0


def test_it_loads_the_documented_file(companies):
    assert str(apply(DESIGN)) == "3 created, 0 updated, 0 unchanged, 0 rules removed"
    row = model()
    assert (row.name, row.endpoint, row.version) == ("gpt-3.5-turbo", "https://api.example.com/v1", "v1.2")
    assert (row.context_window, row.max_concurrency, row.timeout) == (16385, 100, 30)
    assert (row.price_in, row.price_out, api_key_of(row)) == (Decimal("0.5"), Decimal("1.5"), "sk-1")
    assert rules() == [
        ("gpt-3.5-turbo", 60, ["max_tokens < 2000", "temperature <= 0.7"]),
        ("llama2-70b", 40, ["complexity_score > 0.8"]),
    ]


def test_it_loads_the_rules_alone(companies):
    apply(SEED)
    assert len(rules()) == 2


def test_it_changes_nothing_the_second_time(companies):
    apply(DESIGN)
    before = version()
    assert str(apply(DESIGN)) == "0 created, 0 updated, 3 unchanged, 0 rules removed"
    assert version() == before


FULL = """\
models:
- {name: a, adapter: echo, label: one, weight: 3, version: 1.10, tenants: [globex, acme], languages: [zh, en]}
- {name: a, adapter: echo, label: two, tenants: [], enabled: false, api_key: sk-2, price_in: 0.000001}
- {name: 部署/*, adapter: scripted, options: {text: "costs $${x}", chunk: 2, delay: 0.5}, api_key: sk-3, timeout: 2.5}
- {name: "on", adapter: openai_compatible, endpoint: "http://x", allow_private: yes, options: {headers: {api-key: s}}}
routing_rules:
- {model: a, conditions: ['user == "${EMPTY}x"'], priority: -2, name: 规则, enabled: off}
- {model: "on", weight: 2, priority: 5}
- {model: "on", weight: 2, priority: 5}
"""


def test_it_dumps_what_it_loads_back_without_a_change(companies):
    apply(FULL)
    dumped = dump(tenant=None)
    keys = {"A_TWO_API_KEY": "sk-2", "API_KEY": "sk-3", "ON_API_KEY": "s"}
    before = version()
    assert str(apply(dumped, **keys)) == "0 created, 0 updated, 7 unchanged, 0 rules removed"
    assert version() == before
    ModelInstance.objects.everywhere().delete()
    RoutingRule.objects.everywhere().delete()
    apply(dumped, **keys)
    assert dump(tenant=None) == dumped
    assert api_key_of(model(label="two")) == "sk-2"
    assert model(name="on").options == {"headers": {"api-key": "s"}}
    assert model(name="部署/*").options == {"text": "costs ${x}", "chunk": 2, "delay": 0.5}
    assert set(ModelGrant.objects.everywhere().values_list("instance__label", "tenant__slug")) == {
        ("one", "acme"),
        ("one", "globex"),
    }


EVERY_KEY = """\
models:
- {name: a, label: one, task: embeddings, adapter: echo, endpoint: "http://x", upstream_model: u, weight: 2, version: v,
   context_window: 5, max_concurrency: 6, languages: [zh], price_in: 0.5, price_out: 1, timeout: 20,
   connect_timeout: 2.5, first_token_timeout: 10, idle_timeout: 5.5, total_timeout: 300, probe_interval: 30,
   batch_window: 0.01, batch_size: 32, allow_private: true, options: {}, enabled: false}
routing_rules:
- {model: a, weight: 2, conditions: [stream], fallbacks: ["vendor/x", b], priority: 1, name: r, enabled: false}
"""


def test_it_takes_and_gives_back_every_column(companies):
    apply(EVERY_KEY)
    row, rule = model(), RoutingRule.objects.everywhere().get()
    assert (row.task, row.connect_timeout, row.first_token_timeout) == ("embeddings", 2.5, 10)
    assert (row.idle_timeout, row.total_timeout, row.probe_interval) == (5.5, 300, 30)
    assert (row.batch_window, row.batch_size, rule.fallbacks) == (0.01, 32, ["vendor/x", "b"])
    for kind, keys, aside in (
        (ModelInstance, {*MODEL_KEYS} - {"api_key", "tenants"}, {"sealed_key", "sharing"}),
        (RoutingRule, {*RULE_KEYS}, set()),
    ):
        columns = {field.name for field in kind._meta.concrete_fields} - {"id", "tenant", "created_at"}
        assert columns - aside == keys
    dumped = yaml.safe_load(dump(tenant=None))
    assert set(dumped["models"][0]) == {*MODEL_KEYS} - {"api_key", "options", "tenants"}
    assert set(dumped["routing_rules"][0]) == {*RULE_KEYS}
    assert str(apply(dump(tenant=None))) == "0 created, 0 updated, 2 unchanged, 0 rules removed"
    assert str(apply(EVERY_KEY.replace('["vendor/x", b]', "[vendor/x, b, vendor/x]"))).startswith("0 created, 0 up")
    apply("models: [{name: a, label: one, adapter: echo}]\nrouting_rules: [{model: a}]")
    assert "timeout" not in dump(tenant=None) and "batch" not in dump(tenant=None)


def test_it_makes_room_before_it_adds_a_tenants_rules(companies):
    full = ["routing_rules:", *(f"- {{model: a, name: r{number}}}" for number in range(MAX_RULES))]
    apply("\n".join(full), tenant=companies.acme)
    outcome = apply("\n".join([full[0], "- {model: b}", *full[2:]]), tenant=companies.acme)
    assert (outcome.created, outcome.unchanged, outcome.removed) == (1, MAX_RULES - 1, 1)
    with pytest.raises(ConfigurationError, match=f"^2:3: A tenant has at most {MAX_RULES} rules"):
        apply("\n".join([*full, "- {model: b}"]), tenant=companies.acme)
    apply("\n".join([*full, "- {model: b}"]))


def test_it_never_dumps_a_secret(companies):
    apply(FULL)
    document = yaml.safe_load(dump(tenant=None))
    assert [line.get("api_key") for line in document["models"]] == [None, "${A_TWO_API_KEY}", None, "${API_KEY}"]
    assert document["models"][2]["options"] == {"headers": {"api-key": "${ON_API_KEY}"}}


def test_it_keeps_models_that_are_not_listed_and_replaces_rules(companies):
    apply(FULL)
    first = RoutingRule.objects.everywhere().get(name="规则")
    outcome = apply(
        """\
        models:
        - {name: a, label: one, adapter: echo}
        routing_rules:
        - {model: a, conditions: ['user == "x"'], priority: -2, name: 规则, enabled: no}
        - {model: new}
        """
    )
    assert (outcome.created, outcome.updated, outcome.unchanged, outcome.removed) == (1, 1, 1, 2)
    row = model(label="one")
    assert (row.weight, row.sharing, row.languages) == (1, "all", [])
    assert ModelInstance.objects.everywhere().count() == 4
    assert RoutingRule.objects.everywhere().filter(pk=first.pk).exists()
    apply("models: [{name: a, label: two, adapter: echo}]")
    assert len(rules()) == 2
    assert api_key_of(model(label="two")) == "sk-2"
    apply("routing_rules: []\nmodels: [{name: a, label: two, adapter: echo, api_key: ''}]")
    assert rules() == [] and model(label="two").sealed_key == ""


def test_it_keeps_scopes_apart(companies):
    apply("models: [{name: a, adapter: echo}]\nrouting_rules: [{model: a}]")
    apply("models: [{name: a, adapter: echo, weight: 2}]\nrouting_rules: [{model: b}]", tenant=companies.acme)
    assert (model(tenant=None).weight, model(tenant=companies.acme).weight) == (1, 2)
    apply("routing_rules: []", tenant=companies.globex)
    assert len(rules()) == 2
    assert yaml.safe_load(dump(tenant=companies.globex)) == {"models": [], "routing_rules": []}
    assert "model: b" in dump(tenant=companies.acme) and "model: b" not in dump(tenant=None)
    with pytest.raises(ConfigurationError, match="1:35: unknown key 'tenants'"):
        apply("models: [{name: b, adapter: echo, tenants: [globex]}]", tenant=companies.acme)


def test_it_takes_values_from_variables(companies):
    apply("models:\n- name: a\n  adapter: echo\n  weight: ${WEIGHT}\n  version: v${WEIGHT}\n  label: ${EMPTY}")
    assert (model().weight, model().version, model().label) == (7, "v7", "")


@pytest.mark.parametrize(
    ("text", "where", "reason"),
    [
        ("", "1:1", "found nothing"),
        ("[]", "1:1", "expected a mapping"),
        ("modles: []", "1:1", "did you mean 'models'"),
        ("models: {}", "1:9", "expected a list"),
        ("models: [5]", "1:10", "expected a mapping"),
        ("models:\n  - name: a\n    wieght: 2", "3:5", "did you mean 'weight'"),
        ("models:\n  - name: a\n    adapter: echo\n    weight: many", "4:13", "expected a whole number, found 'many'"),
        ("models:\n  - name: a\n    adapter: echo\n    weight: 0", "4:13", "weight: "),
        ("models:\n  - name: a\n    adapter: nobody", "3:14", "no adapter 'nobody'"),
        ("models:\n  - name: a\n    endpoint: nowhere", "3:15", "not an http"),
        ("models:\n  - name: a\n    endpoint: http://x\n    options: {no: 1}", "4:14", "options"),
        ("models:\n  - name: a b", "2:11", "name: "),
        ("models:\n  - weight: 1", "2:5", "needs a name"),
        ("models: [{name: a, adapter: echo}, {name: a, adapter: echo}]", "1:36", "there twice"),
        ("models: [{name: a, name: b}]", "1:20", "there twice"),
        ("models: [{name: a, adapter: echo, enabled: perhaps}]", "1:44", "true or false"),
        ("models: [{name: a, adapter: echo, price_in: .nan}]", "1:45", "expected a number"),
        ("models: [{name: a, adapter: echo, tenants: [nobody]}]", "1:44", "no tenant 'nobody'"),
        ("models: [{name: a, adapter: echo, api_key: '${UNSET}'}]", "1:44", "UNSET is not set"),
        ("models: [{name: a, adapter: echo, api_key: '${}'}]", "1:44", "does not name a variable"),
        ("models: [{name: a, adapter: echo, options: {at: 2024-01-01}}]", "1:49", "expected a text, a number"),
        ('models: [{name: "a\\0"}]', "1:17", "control characters"),
        ("routing_rules:\n- weight: 5", "2:3", "needs a model"),
        ("routing_rules:\n- model: a\n  conditions: [stream, 'max_tokens <']", "3:37", "expected a field"),
        ("routing_rules:\n- model: a\n  conditions:\n  - max_token < 3", "4:5", "no field 'max_token'"),
        ("routing_rules:\n- model: a\n  conditions: stream", "3:15", "expected a list"),
        ("routing_rules:\n- model: a\n  fallbacks: [b, 'two words']", "3:18", "fallbacks: Use 1 to 200"),
        ("routing_rules:\n- model: a\n  fallbacks:\n  - b\n  - auto", "5:5", "'auto'"),
        ("routing_rules:\n- model: a\n  fallbacks: b", "3:14", "expected a list"),
        (f"routing_rules:\n- model: a\n  fallbacks: [{', '.join('abcdefghi')}]", "3:14", "At most 8"),
        ("models:\n- name: a\n  adapter: echo\n  task: poetry", "4:9", "task: "),
        ("models:\n- name: a\n  adapter: echo\n  idle_timeout: 0", "4:17", "idle_timeout: "),
        ("models:\n- name: a\n  adapter: echo\n  total_timeout: soon", "4:18", "expected a number, found 'soon'"),
        ("models:\n- name: a\n  adapter: echo\n  probe_interval: 0.5", "4:19", "probe_interval: "),
        ("models:\n- name: a\n  adapter: echo\n  batch_window: 2", "4:17", "batch_window: "),
        ("models:\n- name: a\n  adapter: echo\n  batch_size: 0.5", "4:15", "expected a whole number"),
        ("routing_rules: [{model: auto}]", "1:25", "'auto'"),
        ("routing_rules: [{model: a, priority: 99999999999}]", "1:38", "priority: "),
        ("models: [\n  {name: a", "2:11", "expected ',' or '}'"),
        ("a: b: c", "1:5", "mapping values"),
        ("a: &x [*x]\n---\nb: 1", "2:1", "another document"),
        ("models: &x [*x]", "1:9", "expected a mapping"),
        ("models: \x07", "1:9", "not allowed"),
        ("[" * 1500, "1:1", "nested too deeply"),
    ],
)
def test_it_says_where_it_is_wrong_and_changes_nothing(companies, text, where, reason):
    with pytest.raises(ConfigurationError) as caught:
        apply(f"{text}")
    assert str(caught.value).startswith(f"{where}: ")
    assert reason in str(caught.value)
    assert not ModelInstance.objects.everywhere().exists()


def test_it_takes_a_file_as_a_whole_or_not_at_all(companies):
    apply("models: [{name: a, adapter: echo}]\nrouting_rules: [{model: a}]")
    with pytest.raises(ConfigurationError):
        apply("models: [{name: a, adapter: echo, weight: 5}, {name: b, adapter: x}]\nrouting_rules: []")
    with pytest.raises(ConfigurationError):
        apply("models: [{name: c, adapter: echo}]\nrouting_rules: [{model: c}, {model: a, weight: 0}]")
    assert (model().weight, len(rules())) == (1, 1)


def test_it_reads_and_writes_files_by_command(companies, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    path = tmp_path / "clawdbot.yaml"
    path.write_text(DESIGN, encoding="utf-8")
    said = io.StringIO()
    call_command("loadconfig", str(path), stdout=said)
    assert said.getvalue().startswith("3 created")
    written = io.StringIO()
    call_command("dumpconfig", stdout=written)
    monkeypatch.setenv("GPT_3_5_TURBO_API_KEY", "sk-1")
    monkeypatch.setattr("sys.stdin", io.StringIO(written.getvalue()))
    said = io.StringIO()
    call_command("loadconfig", "-", stdout=said)
    assert said.getvalue().startswith("0 created, 0 updated, 3 unchanged")
    monkeypatch.setattr("sys.stdin", io.StringIO(SEED))
    call_command("loadconfig", "-", "--tenant", "acme", stdout=io.StringIO())
    written = io.StringIO()
    call_command("dumpconfig", "--tenant", "acme", stdout=written)
    assert yaml.safe_load(written.getvalue())["routing_rules"] == yaml.safe_load(SEED)["routing_rules"]


def test_it_says_by_command_what_is_wrong(companies, tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("models:\n- nme: a\n", encoding="utf-8")
    with pytest.raises(CommandError, match=r"bad\.yaml:2:3: unknown key 'nme'") as caught:
        call_command("loadconfig", str(path))
    assert caught.value.returncode == 1
    path.write_bytes(b"\xff\xfe\x00")
    for arguments in ([str(path)], [str(tmp_path / "absent.yaml")], [str(path), "--tenant", "nobody"]):
        with pytest.raises(CommandError):
            call_command("loadconfig", *arguments)
    with pytest.raises(CommandError, match="nobody"):
        call_command("dumpconfig", "--tenant", "nobody")
