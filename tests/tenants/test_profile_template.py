from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from tenants.models import Tenant
from tenants.profile_template import MAX_TEMPLATE, check, fill, parts

ADA = {
    "name": "Ada",
    "age": 36,
    "vip": True,
    "likes": ["tea"],
    "story": "one\ntwo\x00\u2028three",
    "空": "kōng",
    "no": None,
}


def filled(template, profile=ADA, limit=1000):
    return fill(template, profile, lambda: "{whole}", limit)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("You talk to {name}, {age}.", "You talk to Ada, 36."),
        ("{vip} {likes} {no}{missing}.", 'true ["tea"] .'),
        ("{{{name}}} {{}}", "{Ada} {}"),
        ("All: {profile}", "All: {whole}"),
        ("{空}", "kōng"),
        ("{story}", "one two three"),
        ("No places.", "No places."),
        ("  {missing} ", ""),
        ("{__class__}", ""),
    ],
)
def test_it_is_filled(template, text):
    check(template)
    assert filled(template) == text


@pytest.mark.parametrize(
    "template",
    ["{", "}", "{name", "name}", "{}", "{ }", "{name.__class__}", "{name[0]}", "{name!r}", "{age:>9}", "{a b}", "{0.a}",
     "{{name}", "{" + "a" * 65 + "}", "x" * (MAX_TEMPLATE + 1)],
)  # fmt: skip
def test_what_is_no_template_is_refused(template):
    with pytest.raises(ValueError, match=r"\w"):
        check(template)
    with pytest.raises(ValidationError) as refused:
        Tenant(slug="acme", name="Acme", profile_template=template).clean()
    assert "profile_template" in refused.value.message_dict


def test_an_error_says_where():
    with pytest.raises(ValueError, match=r"brace at character 5 "):
        check("You {talk")
    with pytest.raises(ValueError, match=r"\{name\.x\} is not a place"):
        check("To {name.x}")


def test_a_value_that_looks_like_a_place_stays_as_it_is():
    assert filled("{name} {age}", {"name": "{age} {profile} {{", "age": 1}) == "{age} {profile} {{ 1"


def test_a_profile_may_have_a_key_profile():
    assert filled("{profile}", {"profile": "mine"}) == "mine"


def test_what_a_user_says_of_herself_is_bounded():
    assert len(filled("{name}" * 100, {"name": "x" * 500})) == 1000
    assert filled("{name}, {age}.", {"name": "x" * 5000, "age": 36}) == "x" * 1000 + ", ."


def test_the_tenants_own_words_stay():
    words = "Be kind. " * 150
    assert filled(words + "{name} is her name.") == words + "Ada is her name."
    assert filled("{name} is her name. " + words, {"name": "x" * 5000}).endswith("is her name. " + words.strip())


def test_one_that_was_never_checked_is_filled_as_the_whole_profile():
    assert filled("{name.__class__}") == "{whole}"


def test_it_is_kept_clean():
    tenant = Tenant(slug="acme", name="Acme", profile_template="To {name}\r\n ")
    tenant.clean()
    assert tenant.profile_template == "To {name}"
    with pytest.raises(ValidationError):
        Tenant(slug="acme", name="Acme", profile_template="To\x00").clean()


@given(st.text(alphabet="{}ab._!: \n", max_size=30), st.dictionaries(st.sampled_from(["a", "b", "ab"]), st.text()))
def test_any_text_is_a_template_or_refused(template, profile):
    try:
        check(template)
    except ValueError:
        return
    written = [
        each.replace("{", "{{").replace("}", "}}") if isinstance(each, str) else f"{{{each[0]}}}"
        for each in parts(template)
    ]
    assert "".join(written) == template
    assert len(filled(template, profile, 20)) <= 20
