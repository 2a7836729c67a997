"""Which lists apply to whom, at which stage, and what is compiled anew for it."""

import pytest

from compliance.compiling import compile_guard
from compliance.guard import WordGuard
from compliance.models import SensitiveWordList
from compliance.wordlists import replace_words, save_exceptions, subscribe, unsubscribe
from engine.snapshots import Cell
from engine.types import Message
from tests.cast import ALICE, BOB, CHARLIE, EVERYBODY


def verdicts(table, person, text):
    return WordGuard(Cell(table)).input(person.principal, [Message(role="user", content=text)])[1]


def found(table, text="bad"):
    """By person: (list, action, scope) of every hit."""
    return {
        person.username: [(each.list, each.action, each.scope) for each in verdicts(table, person, text)]
        for person in EVERYBODY
    }


def platform(name="shared", words=("bad",), **fields):
    return replace_words(tenant=None, name=name, words=words, **fields)


def test_a_platform_list_is_nobodys_until_they_subscribe(cast):
    shared = platform()
    assert found(compile_guard()) == {"alice": [], "bob": [], "charlie": []}
    subscribe(tenant_id=cast.acme.pk, words=shared)
    hit = ("shared", "block", "platform")
    assert found(compile_guard()) == {"alice": [hit], "bob": [hit], "charlie": []}
    [verdict] = verdicts(compile_guard(), ALICE, "bad")
    assert (verdict.list_id, verdict.version) == (shared.pk, 1)
    unsubscribe(tenant_id=cast.acme.pk, words=shared)
    assert found(compile_guard()) == {"alice": [], "bob": [], "charlie": []}


def test_a_subscription_may_have_a_stage_of_its_own(cast):
    shared = platform(action="mask")
    for person, action in ((ALICE, "record"), (CHARLIE, "")):
        subscribe(tenant_id=person.company.id, words=shared, action=action)
    assert found(compile_guard()) == {
        "alice": [("shared", "record", "platform")],
        "bob": [("shared", "record", "platform")],
        "charlie": [("shared", "mask", "platform")],
    }


def test_a_mandatory_list_is_everybodys_and_can_only_be_made_stronger(cast):
    shared = platform(action="mask", mandatory=True)
    subscribe(tenant_id=cast.acme.pk, words=shared, action="record")
    subscribe(tenant_id=cast.globex.pk, words=shared, action="block")
    table = compile_guard()
    assert [each.action for each in verdicts(table, BOB, "bad")] == ["mask"]
    assert [each.action for each in verdicts(table, CHARLIE, "bad")] == ["block"]
    assert table.of(999).input.find("bad"), "a tenant that is made in this moment has it too"


def test_a_list_that_is_off_or_empty_is_nobodys(cast):
    for name, fields in (("off", {"enabled": False}), ("empty", {"words": []})):
        shared = platform(name=name, mandatory=True, **fields)
        subscribe(tenant_id=cast.acme.pk, words=shared)
    assert found(compile_guard()) == {"alice": [], "bob": [], "charlie": []}


def test_it_tells_lists_of_the_same_name_apart(cast):
    own = replace_words(tenant=cast.acme, name="rude", words=["bad"], action="record")
    shared = platform(name="rude", mandatory=True, action="mask")
    assert {(each.list, each.scope, each.list_id, each.action) for each in verdicts(compile_guard(), ALICE, "bad")} == {
        ("rude", "tenant", own.pk, "record"),
        ("rude", "platform", shared.pk, "mask"),
    }


def test_tenants_to_whom_the_same_applies_share_the_words(cast):
    shared = platform(mandatory=True)
    platform(name="other", words=["worse"])
    table = compile_guard()
    assert table.tenants == {}
    for tenant in (cast.acme, cast.globex):
        subscribe(tenant_id=tenant.pk, words=SensitiveWordList.objects.everywhere().get(name="other"))
    table = compile_guard(table)
    assert table.of(cast.acme.pk) is table.of(cast.globex.pk)
    assert table.of(cast.acme.pk) is not table.default
    subscribe(tenant_id=cast.globex.pk, words=shared)
    assert compile_guard(table).of(cast.acme.pk) is table.of(cast.acme.pk)


@pytest.mark.parametrize(
    "change",
    [
        lambda cast, shared: replace_words(tenant=None, name="shared", words=["bad"], action="record"),
        lambda cast, shared: replace_words(tenant=None, name="shared", words=["bad"], switches=[]),
        lambda cast, shared: replace_words(tenant=None, name="shared", words=["bad", "worse"]),
        lambda cast, shared: replace_words(tenant=None, name="shared", words=["bad"], enabled=False),
        lambda cast, shared: replace_words(tenant=None, name="shared", words=["bad"], mandatory=False),
        lambda cast, shared: subscribe(tenant_id=cast.acme.pk, words=shared, action="block"),
        lambda cast, shared: save_exceptions(tenant_id=cast.acme.pk, words=["badge"]),
    ],
    ids=["stage", "switches", "words", "off", "no longer mandatory", "subscription", "exceptions"],
)
def test_it_compiles_anew_what_changed(cast, change):
    shared = platform(mandatory=True, action="mask")
    before = compile_guard()
    assert compile_guard(before).default is before.default
    change(cast, shared)
    assert compile_guard(before).of(cast.acme.pk) is not before.of(cast.acme.pk)


def test_nobody_takes_themselves_out_of_a_mandatory_list(cast):
    platform(name="law", words=["坏人"], mandatory=True)
    replace_words(tenant=cast.acme, name="own", words=["笨"])
    save_exceptions(tenant_id=cast.acme.pk, words=["坏人", "坏人好", "笨重"])
    assert [each.list for each in verdicts(compile_guard(), ALICE, "坏人好")] == ["law"]


@pytest.mark.parametrize(
    ("word", "exception", "text"),
    [("good", "god", "so good."), ("c++", "cd", "c++d"), ("bad", "xbad", "x.bad"), ("坏坏人", "坏人", "坏坏人")],
)
def test_no_exception_holds_a_mandatory_word_written_with_other_signs(cast, word, exception, text):
    platform(name="law", words=[word], mandatory=True)
    save_exceptions(tenant_id=cast.acme.pk, words=[exception])
    assert [each.list for each in verdicts(compile_guard(), ALICE, text)] == ["law"]


def test_it_reads_each_list_once_however_many_have_it(cast, django_assert_num_queries):
    shared = [platform(name=f"shared {number}", words=[f"bad{number}"]) for number in range(3)]
    for tenant in (cast.acme, cast.globex):
        for number, words in enumerate(shared):
            subscribe(tenant_id=tenant.pk, words=words, action="mask" if number == tenant.pk else "")
    with django_assert_num_queries(4):  # lists, subscriptions, exceptions; words
        table = compile_guard()
    assert table.of(cast.acme.pk) is not table.of(cast.globex.pk)
