import pytest
from django.core.exceptions import ValidationError

from routing.models import ModelGrant, ModelInstance, RoutingRule
from routing.services import (
    api_key_of,
    delete_rule,
    ensure_default_instance,
    ensure_local_instance,
    is_usable,
    platform_rules,
    rules_of,
    save_instance,
    save_rule,
    usable_names,
    wants_local_model,
)
from tenants.models import ConfigVersion
from tenants.secrets import SealBroken
from tenants.signals import config_changed

KEY = "sk-very-secret"


def version():
    row = ConfigVersion.objects.filter(section="routing").first()
    return row.version if row else 0


def instances():
    return list(ModelInstance.objects.everywhere().order_by("id"))


def made(**fields):
    api_key = fields.pop("api_key", None)
    tenants = fields.pop("tenants", None)
    return save_instance(
        instance=ModelInstance(**{"name": "a", "adapter": "echo", **fields}), api_key=api_key, tenants=tenants
    )


def test_it_seals_the_key_for_its_row(companies):
    first, second = made(api_key=KEY), made(name="b", api_key=KEY)
    stored = ModelInstance.objects.everywhere().get(pk=first.pk)
    assert KEY not in stored.sealed_key
    assert api_key_of(stored) == KEY
    stored.sealed_key = second.sealed_key
    with pytest.raises(SealBroken):
        api_key_of(stored)


def test_it_keeps_replaces_and_removes_the_key(companies):
    row = made(api_key=KEY, tenant=companies.acme)
    save_instance(instance=row)
    assert api_key_of(row) == KEY
    save_instance(instance=row, api_key="other")
    assert api_key_of(row) == "other"
    save_instance(instance=row, api_key="")
    assert (row.sealed_key, api_key_of(row)) == ("", "")


def test_it_announces_every_change_without_the_secret(companies):
    heard = []

    def listen(before, after, **_):
        heard.append(after)

    config_changed.connect(listen)
    try:
        before = version()
        row = made(api_key=KEY, options={"text": "x"}, adapter="scripted")
    finally:
        config_changed.disconnect(listen)
    assert version() > before
    assert heard[-1]["sealed_key"] == "***"
    assert KEY not in str(heard) and row.sealed_key not in str(heard)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "auto"}, "name"),
        ({"name": "two words"}, "name"),
        ({"name": "nul\0"}, "name"),
        ({"weight": 0}, "weight"),
        ({"adapter": "nobody"}, "adapter"),
        ({"adapter": "openai_compatible", "endpoint": "ftp://x"}, "endpoint"),
        ({"adapter": "openai_compatible", "endpoint": "https://user:pass@example.com"}, "endpoint"),
        ({"adapter": "scripted", "options": {"nonsense": 1}}, "options"),
        ({"languages": ["english!"]}, "languages"),
        ({"languages": "zh"}, "languages"),
        ({"context_window": 0}, "context_window"),
        ({"timeout": -1}, "timeout"),
        ({"context_window": 10**12}, "context_window"),
        ({"price_in": -1}, "price_in"),
    ],
)
def test_it_refuses_what_makes_no_sense(companies, fields, field):
    with pytest.raises(ValidationError) as caught:
        made(**fields)
    assert field in caught.value.message_dict
    assert instances() == []


def test_it_knows_an_instance_by_tenant_name_and_label(companies):
    made()
    made(tenant=companies.acme)
    made(label="second")
    for again in ({}, {"tenant": companies.acme}):
        with pytest.raises(ValidationError, match="such an instance"):
            made(**again)


def test_it_grants_a_shared_instance_to_the_listed_tenants(companies):
    row = made(tenants=[companies.acme, companies.globex])
    assert row.sharing == "listed"
    save_instance(instance=row, tenants=[companies.globex])
    assert [grant.tenant_id for grant in ModelGrant.objects.everywhere()] == [companies.globex.pk]
    save_instance(instance=row, tenants=[])
    assert not ModelGrant.objects.everywhere().exists()
    assert row.sharing == "listed"


def test_it_refuses_a_rule_and_says_where(companies):
    rule = RoutingRule(model="a", conditions=["stream", "max_tokens <"])
    with pytest.raises(ValidationError, match=r"Condition 2, column 13: expected a field, a value"):
        rule.full_clean()
    for conditions in ("stream", [1], ["stream"] * 51):
        with pytest.raises(ValidationError):
            RoutingRule(model="a", conditions=conditions).full_clean()


def test_it_knows_which_names_a_tenant_may_use(companies):
    made(name="shared")
    made(name="vendor/*")
    made(name="off", enabled=False)
    made(name="own", tenant=companies.acme)
    made(name="granted", tenants=[companies.acme])
    made(name="listed", tenants=[companies.globex])
    acme, globex = usable_names(companies.acme.pk), usable_names(companies.globex.pk)
    assert acme == {"shared", "vendor/*", "own", "granted"}
    assert globex == {"shared", "vendor/*", "listed"}
    assert [name for name in ("own", "vendor/x", "vendor/*", "x", "listed") if is_usable(name, acme)] == [
        "own",
        "vendor/x",
    ]


def test_it_checks_the_names_of_a_rule_only_for_whom_it_is_asked_to(companies):
    rule = save_rule(rule=RoutingRule(tenant=companies.acme, model="to-come", fallbacks=["also"]))
    rule.weight = 3
    save_rule(rule=rule, usable={"mine"})
    rule.fallbacks = ["mine", "also", "to-come", "theirs"]
    with pytest.raises(ValidationError) as caught:
        save_rule(rule=rule, usable={"mine"})
    assert caught.value.message_dict == {"fallbacks": ["There is no model 'theirs' that you may use."]}
    with pytest.raises(ValidationError):
        save_rule(rule=RoutingRule(tenant=companies.acme, model="to-come"), usable={"mine"})
    delete_rule(rule=rule)
    assert not RoutingRule.objects.everywhere().exists()


def test_it_lists_the_platforms_rules_that_lead_somewhere(companies):
    for name, tenant, model in (("a", None, "mine"), ("b", None, "theirs"), ("c", companies.acme, "mine")):
        save_rule(rule=RoutingRule(name=name, tenant=tenant, model=model))
    save_rule(rule=RoutingRule(name="first", model="mine", priority=1))
    save_rule(rule=RoutingRule(name="off", model="mine", enabled=False))
    save_rule(rule=RoutingRule(name="by fallback", model="theirs", fallbacks=["theirs", "mine"], priority=-1))
    assert [rule.name for rule in platform_rules({"mine"})] == ["first", "a", "by fallback"]
    assert [rule.name for rule in rules_of(companies.acme.pk)] == ["c"]


@pytest.mark.parametrize("of_a_tenant", [True, False])
def test_a_key_stays_with_the_host_it_was_given_for(companies, of_a_tenant):
    """Who may change the address need not be who knows the key."""
    tenant = companies.acme if of_a_tenant else None
    row = made(adapter="openai_compatible", endpoint="https://a.example/v1", api_key=KEY, tenant=tenant)
    row.endpoint = "https://b.example/v1"
    with pytest.raises(ValidationError) as error:
        save_instance(instance=row)
    assert "endpoint" in error.value.message_dict
    for key in (KEY, ""):
        save_instance(instance=row, api_key=key)
    row.endpoint = "https://c.example/v1"
    assert save_instance(instance=row).endpoint == "https://c.example/v1"  # there is nothing to send there


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"adapter": "openai"}, {"adapter": "deepseek"}),
        ({"adapter": "openai"}, {"adapter": "openai_compatible", "endpoint": "https://evil.example"}),
        ({"adapter": "anthropic_messages"}, {"adapter": "gemini_generate"}),
        ({"adapter": "openai"}, {"endpoint": "http://api.openai.com/v1"}),
        ({"adapter": "openai"}, {"endpoint": "https://api.openai.com:8443/v1"}),
        ({"adapter": "openai"}, {"endpoint": "https://api.openai.com.evil.example/v1"}),
        ({"adapter": "bedrock_converse", "options": {"region": "eu-west-1"}}, {"options": {"region": "us-east-1"}}),
    ],
)
def test_no_way_to_another_host_takes_the_key_along(before, after):
    row = made(api_key=KEY, **before)
    for field, value in after.items():
        setattr(row, field, value)
    with pytest.raises(ValidationError, match="provider key again"):
        save_instance(instance=row)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "after", ["https://API.openai.com/v2", "https://api.openai.com:443/v1", "https://api.openai.com/v1/chat"]
)
def test_the_same_host_keeps_the_key(after):
    row = made(adapter="openai", api_key=KEY)
    row.endpoint = after
    assert api_key_of(save_instance(instance=row)) == KEY


def test_leave_for_one_private_address_is_none_for_another(companies):
    row = made(endpoint="http://10.0.0.5/v1", adapter="openai_compatible", tenant=companies.acme, allow_private=True)
    row.weight = 7
    save_instance(instance=row, by_tenant=True)
    row.endpoint = "http://10.0.0.6/v1"
    with pytest.raises(ValidationError, match="alone"):
        save_instance(instance=row, api_key=KEY, by_tenant=True)
    assert save_instance(instance=row).allow_private  # an operator may


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("endpoint", "private", "said"),
    [
        ("http://127.0.0.1:8000/v1", False, "leave"),
        ("http://LOCALHOST/v1", False, "leave"),
        ("http://[::ffff:10.0.0.1]/v1", False, "leave"),
        ("http://2130706433/v1", False, "leave"),
        ("http://0x7f.1/v1", True, "allows no calls"),
        ("http://169.254.169.254/v1", True, "allows no calls"),
        ("http://[fe80::1]/v1", True, "allows no calls"),
        ("http://[::1/v1", False, "is not an http"),
    ],
)
def test_an_address_that_may_not_be_called_is_not_saved(endpoint, private, said):
    with pytest.raises(ValidationError, match=said) as error:
        made(adapter="openai_compatible", endpoint=endpoint, allow_private=private)
    assert list(error.value.message_dict) == ["endpoint"]


DEFAULT = {"endpoint": "https://api.example.com/v1/chat", "api_key": KEY, "name": "gpt-4", "timeout": 30.0}


def test_it_keeps_the_default_instance_in_step(companies):
    row = ensure_default_instance(**DEFAULT)
    assert (row.name, row.upstream_model, api_key_of(row), row.allow_private) == ("gpt-4", "gpt-4", KEY, True)
    before = version()
    row.weight = 5
    row.save()
    assert ensure_default_instance(**DEFAULT).pk == row.pk
    assert version() == before + 1
    changed = ensure_default_instance(**{**DEFAULT, "name": "gpt-5", "api_key": "new"})
    assert (changed.pk, changed.name, changed.weight, api_key_of(changed)) == (row.pk, "gpt-5", 5, "new")
    assert len(instances()) == 1


def test_it_names_a_default_instance_without_a_name(companies):
    row = ensure_default_instance(**{**DEFAULT, "name": ""})
    assert (row.name, row.upstream_model) == ("default", "")
    assert ensure_default_instance(**{**DEFAULT, "endpoint": ""}) is None


def test_it_seeds_the_local_model_only_where_nothing_else_is(companies):
    assert wants_local_model()
    row = ensure_local_instance(endpoint="http://127.0.0.1:1/v1")
    assert (row.name, row.context_window, row.allow_private) == ("smollm2-135m", 2048, True)
    before = version()
    assert ensure_local_instance(endpoint="http://127.0.0.1:1/v1").pk == row.pk
    assert version() == before
    assert ensure_local_instance(endpoint="http://127.0.0.1:2/v1", context_window=8192).pk == row.pk
    assert [(each.endpoint, each.context_window) for each in instances()] == [("http://127.0.0.1:2/v1", 8192)]
    row.delete()
    made(tenant=companies.acme)
    assert not wants_local_model()
    assert ensure_local_instance(endpoint="http://127.0.0.1:1/v1") is None


def test_it_lets_the_local_model_step_back_once(companies):
    ensure_local_instance(endpoint="http://127.0.0.1:1/v1")
    ensure_default_instance(**DEFAULT)
    local = instances()[0]
    assert not local.enabled and not wants_local_model()
    local.enabled = True
    local.save()
    ensure_default_instance(**DEFAULT)
    assert instances()[0].enabled and wants_local_model()
