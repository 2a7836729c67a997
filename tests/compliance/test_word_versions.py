"""Every save of a list keeps what it was: versions, what is between them, and the way back."""

import pytest
from django.core.exceptions import ValidationError

from compliance.models import SensitiveWordList, WordListVersion
from compliance.models.words import KEPT_VERSIONS
from compliance.wordlists import (
    MOST_LISTS,
    add_words,
    difference,
    find_version,
    promote,
    replace_words,
    roll_back,
    save_list,
    versions_of,
)
from tenants.models import ConfigVersion


def rude(cast, words, **fields):
    return replace_words(tenant=cast.acme, name="rude", words=words, by="alice", **fields)


def test_every_save_keeps_a_version(cast):
    rude(cast, ["a"], action="record", note="first")
    rude(cast, ["a", "b"], switches=["pinyin", "forms"])
    words = rude(cast, ["b"], direction="input", enabled=False)
    kept = versions_of(words)
    assert [(each.version, each.words, each.action, each.direction, each.size, each.enabled) for each in kept] == [
        (3, "b", "record", "input", 1, False),
        (2, "a\nb", "record", "both", 2, True),
        (1, "a", "record", "both", 1, True),
    ]
    assert [each.switches for each in kept][:2] == [["forms", "pinyin"], ["forms", "pinyin"]]
    assert [(each.saved_by, each.note) for each in kept] == [("alice", ""), ("alice", ""), ("alice", "first")]
    assert {each.tenant_id for each in kept} == {cast.acme.pk}


def test_a_save_that_changes_nothing_is_none(cast):
    words = rude(cast, ["a"])
    announced = ConfigVersion.objects.get(section="guard").version
    assert rude(cast, [" a", "A"]).version == 1
    save_list(words=words)
    assert versions_of(words).count() == 1
    assert ConfigVersion.objects.get(section="guard").version == announced


def test_it_keeps_what_is_stored_also_where_only_a_field_was_saved(cast):
    stale = rude(cast, ["a"])
    rude(cast, ["b"])
    stale.action = "mask"
    stale.save(update_fields=["action"])
    newest = versions_of(stale).first()
    assert (newest.version, newest.words, newest.action) == (3, "b", "mask")


def test_it_keeps_the_last_versions_only(cast):
    for number in range(KEPT_VERSIONS + 3):
        words = rude(cast, [f"w{number}"])
    kept = list(versions_of(words).values_list("version", flat=True))
    assert kept == list(range(KEPT_VERSIONS + 3, 3, -1))


def test_it_rolls_back_to_a_version_as_a_new_one(cast):
    rude(cast, ["a", "b"], action="record", direction="input", switches=["pinyin"])
    words = rude(cast, ["c"], action="block", direction="both", switches=[])
    back = roll_back(words=words, version=1, by="bob")
    assert (back.version, back.words, back.action, back.direction) == (3, "a\nb", "record", "input")
    assert back.switches == ["pinyin"]
    newest = versions_of(words).first()
    assert (newest.version, newest.words, newest.saved_by) == (3, "a\nb", "bob")
    assert newest.note == "rolled back to version 1"
    with pytest.raises(ValidationError, match="no such version"):
        roll_back(words=words, version=9)


def test_it_says_what_is_between_two_versions(cast):
    rude(cast, ["a", "b", "c"], action="record")
    words = rude(cast, ["c", "d", "b"], action="mask")
    found = difference(find_version(words, 1), find_version(words, 2))
    assert (found.added, found.removed) == (["d"], ["a"])
    assert found.settings == {"action": ("record", "mask")}


def test_it_goes_from_stage_to_stage(cast):
    words = rude(cast, ["a"], action="record")
    assert [promote(words=words).action for _ in range(2)] == ["mask", "block"]
    with pytest.raises(ValidationError, match="last stage"):
        promote(words=words)
    assert [each.note for each in versions_of(words)] == ["promoted to block", "promoted to mask", ""]


def test_it_adds_words_at_the_end(cast):
    words = add_words(words=rude(cast, ["a", "b"]), more=["B", "c"])
    assert words.words == "a\nb\nc"


@pytest.mark.parametrize("switches", [["telepathy"], "pinyin", [1], {"pinyin": True}])
def test_it_refuses_switches_there_are_not(cast, switches):
    with pytest.raises(ValidationError) as refused:
        rude(cast, ["a"], switches=switches)
    assert list(refused.value.message_dict) == ["switches"]


def test_only_the_platforms_lists_are_mandatory_or_public(cast):
    for field in ("mandatory", "public"):
        with pytest.raises(ValidationError, match="Only a list of the platform's"):
            rude(cast, ["a"], **{field: True})
        assert replace_words(tenant=None, name=field, words=["a"], **{field: True}).pk


def test_the_platform_has_a_name_once(cast):
    replace_words(tenant=None, name="rude", words=["a"])
    with pytest.raises(ValidationError, match="The platform has a list of this name"):
        save_list(words=SensitiveWordList(name="rude", words="b"))
    rude(cast, ["a"])


def test_a_tenant_has_so_many_lists_and_words(cast, monkeypatch):
    SensitiveWordList.objects.bulk_create(
        SensitiveWordList(tenant=cast.acme, name=f"list {number}") for number in range(MOST_LISTS)
    )
    with pytest.raises(ValidationError, match="at most 100 lists"):
        rude(cast, ["a"])
    replace_words(tenant=cast.globex, name="rude", words=["a"])
    SensitiveWordList.objects.for_tenant(cast.globex.pk).update(size=300_000)
    with pytest.raises(ValidationError, match="at most 300000 words"):
        replace_words(tenant=cast.globex, name="more", words=["a"])


def test_versions_go_with_their_list(cast):
    words = rude(cast, ["a"])
    words.delete()
    assert not WordListVersion.objects.everywhere().exists()
