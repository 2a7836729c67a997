import io

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command

from compliance.compiling import compile_guard
from compliance.guard import GuardTable, WordGuard
from compliance.models import SensitiveWordList
from compliance.wordlists import replace_words
from engine.snapshots import Cell
from engine.types import Delta, Message
from tenants.models import ConfigVersion
from tests.cast import ALICE, BOB, CHARLIE


def lists(tenant):
    return SensitiveWordList.objects.for_tenant(tenant.pk)


def verdicts(table, person, text):
    return WordGuard(Cell(table)).input(person.principal, [Message(role="user", content=text)])[1]


def test_it_keeps_words_once_and_in_order(cast):
    saved = replace_words(tenant=cast.acme, name="rude", words=["\ufeffBad ", "", "坏人", "ｂａｄ", "　x"])
    assert saved.words.splitlines() == ["Bad", "坏人", "x"]
    assert (saved.size, saved.version, saved.action, saved.direction, saved.enabled) == (3, 1, "block", "both", True)


def test_it_replaces_words_and_keeps_what_is_not_said(cast):
    first = replace_words(tenant=cast.acme, name="rude", words=["a"], action="mask", direction="output")
    second = replace_words(tenant=cast.acme, name="rude", words=["b", "c"])
    assert second.pk == first.pk
    assert (second.words, second.version, second.action, second.direction) == ("b\nc", 2, "mask", "output")
    assert lists(cast.globex).count() == 0


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("x" * 65, "Line 2: longer than 64 characters."),
        ("a\x00b", "Line 2: holds a control character."),
        ("\ud800", "Line"),
    ],
)
def test_it_refuses_words_that_are_none_and_changes_nothing(cast, word, said):
    replace_words(tenant=cast.acme, name="rude", words=["kept"])
    with pytest.raises(ValidationError) as refused:
        replace_words(tenant=cast.acme, name="rude", words=["fine", word])
    assert refused.value.messages[0].startswith(said)
    assert lists(cast.acme).get().words == "kept"


def test_it_refuses_more_words_than_a_list_holds(cast):
    with pytest.raises(ValidationError, match="at most 100000"):
        replace_words(tenant=cast.acme, name="rude", words=(f"w{number}" for number in range(100_001)))


def test_it_refuses_an_action_there_is_not(cast):
    with pytest.raises(ValidationError):
        replace_words(tenant=cast.acme, name="rude", words=["a"], action="shout")
    assert not lists(cast.acme).exists()


def test_it_counts_a_version_up_for_every_save_of_whichever_copy(cast):
    replace_words(tenant=cast.acme, name="rude", words=["a"])
    one, other = lists(cast.acme).get(), lists(cast.acme).get()
    one.save()
    other.action = "mask"
    other.save(update_fields=["action"])
    assert (one.version, other.version, lists(cast.acme).get().version) == (2, 3, 3)


def test_it_announces_a_change_of_the_guard(cast, valkey_url):
    replace_words(tenant=cast.acme, name="rude", words=["a"])
    before = ConfigVersion.objects.get(section="guard").version
    lists(cast.acme).get().delete()
    assert ConfigVersion.objects.get(section="guard").version == before + 1


def test_it_compiles_lists_for_their_own_tenant(cast):
    replace_words(tenant=cast.acme, name="rude", words=["bad"])
    table = compile_guard()
    (found,) = verdicts(table, ALICE, "BAD")
    assert (found.list, found.version, found.word, found.action, found.where) == ("rude", 1, "bad", "block", "input")
    assert verdicts(table, BOB, "bad") == [found]
    assert verdicts(table, CHARLIE, "bad") == []


def test_it_compiles_only_enabled_lists_that_hold_something(cast):
    replace_words(tenant=cast.acme, name="off", words=["bad"], enabled=False)
    replace_words(tenant=cast.acme, name="empty", words=[])
    assert compile_guard() == GuardTable()


def test_it_tells_directions_apart(cast):
    replace_words(tenant=cast.acme, name="in", words=["one"], direction="input")
    replace_words(tenant=cast.acme, name="out", words=["two"], direction="output")
    table = compile_guard()
    assert [verdict.word for verdict in verdicts(table, ALICE, "one two")] == ["one"]
    output = WordGuard(Cell(table)).output(ALICE.principal)
    output.feed(Delta(content="one two "))
    assert [verdict.word for verdict in output.verdicts] == ["two"]


def test_it_shares_one_automaton_both_ways(cast):
    replace_words(tenant=cast.acme, name="rude", words=["bad"])
    words = compile_guard().tenants[ALICE.company.id]
    assert words.input is words.output


def test_it_takes_over_tenants_that_did_not_change(cast):
    replace_words(tenant=cast.acme, name="rude", words=["bad"])
    replace_words(tenant=cast.globex, name="rude", words=["bad"])
    before = compile_guard()
    replace_words(tenant=cast.globex, name="rude", words=["bad", "worse"])
    after = compile_guard(before)
    assert after.tenants[cast.acme.pk] is before.tenants[cast.acme.pk]
    assert verdicts(after, CHARLIE, "worse")
    assert not verdicts(before, CHARLIE, "worse"), "a turn that runs keeps the words it began with"


# loadwords --------------------------------------------------------------------------------------------------------


def load(path, **options):
    out = io.StringIO()
    call_command("loadwords", str(path), tenant="acme", name="rude", stdout=out, **options)
    return out.getvalue()


def test_it_loads_words_from_a_text_file(cast, tmp_path):
    file = tmp_path / "words.txt"
    file.write_text("bad, very bad\n\n坏人\n", encoding="utf-8-sig")
    assert load(file, action="mask") == "acme/rude: 2 words, version 1, action mask\n"
    assert lists(cast.acme).get().words == "bad, very bad\n坏人"


def test_it_loads_words_from_a_csv_file(cast, tmp_path):
    file = tmp_path / "words.csv"
    file.write_text('bad,insult\n"very, very bad",insult\n\n坏人\n', encoding="utf-8")
    load(file)
    assert lists(cast.acme).get().words == "bad\nvery, very bad\n坏人"


@pytest.mark.parametrize("content", [b"\xc4\xe3\xba\xc3", b"fine\n" + b"x" * 65])
def test_it_says_what_is_wrong_with_a_file(cast, tmp_path, content):
    file = tmp_path / "words.txt"
    file.write_bytes(content)
    with pytest.raises(CommandError, match="words.txt:1: not UTF-8|words.txt:2: longer"):
        load(file)
    assert not lists(cast.acme).exists()


def test_it_knows_its_tenants(cast):
    with pytest.raises(CommandError, match="no tenant 'nobody'"):
        call_command("loadwords", "-", tenant="nobody", name="rude")
