import string
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.conditions import FIELDS, ConditionError, compile_condition


def holds(text, **values):
    named = {name.replace("metadata_", "metadata.").replace("header_", "header.x-"): values[name] for name in values}
    known = defaultdict(lambda: None, named)
    return compile_condition(text).test(known)


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("max_tokens < 2000", {"max_tokens": 1999}, True),
        ("max_tokens < 2000", {"max_tokens": 2000}, False),
        ("temperature <= 0.7", {"temperature": 0.7}, True),
        ("complexity_score > 0.8", {"complexity_score": 0.81}, True),
        ("complexity_score>=.8e0", {}, None),
        ("2000 > max_tokens", {"max_tokens": 1999}, True),
        ("hour >= 9 and hour < 18", {"hour": 12}, True),
        ("hour >= 9 and hour < 18", {"hour": 18}, False),
        ("stream", {"stream": True}, True),
        ("not stream", {"stream": True}, False),
        ("stream == false", {"stream": False}, True),
        ("has_tools or has_images and stream", {"has_tools": True, "has_images": False, "stream": False}, True),
        ("(has_tools or has_images) and stream", {"has_tools": True, "has_images": False, "stream": False}, False),
        ("language in ['zh', \"ja\"]", {"language": "ja"}, True),
        ("language not in ['zh', 'ja']", {"language": "en"}, True),
        ("NOT (Language in ['zh'])", {}, None),
        ("NOT language in ['zh'] OR stream", {"language": "en", "stream": False}, True),
        ("hour in [1, 2.0, 3]", {"hour": 2}, True),
        ("user == 'O\\'Brien'", {"user": "O'Brien"}, True),
        ("model != 'gpt-4'", {"model": "gpt-3.5"}, True),
        ("temperature > -1.5e-3", {"temperature": 0}, True),
        ("metadata.plan == 'gold'", {"metadata_plan": "gold"}, True),
        ("metadata.n > 3", {"metadata_n": 4}, True),
        ("metadata.beta", {"metadata_beta": True}, True),
        ("metadata.beta", {"metadata_beta": "yes"}, False),
        ("'vip' in metadata.tags", {"metadata_tags": ["vip", 1]}, True),
        ("'vip' not in metadata.tags", {"metadata_tags": ["a"]}, True),
        ("metadata.low < metadata.high", {"metadata_low": 1, "metadata_high": 2}, True),
        ("metadata.部门 == '研发'", {"metadata_部门": "研发"}, True),
        ("header.x-team == 'research'", {"header_team": "research"}, True),
        ("header.X-Team != 'research'", {"header_team": "research"}, False),
        ("header.x-team in ['a', 'b'] and stream", {"header_team": "b", "stream": True}, True),
        ("header.x-team not in ['a', 'b']", {"header_team": "c"}, True),
        ("metadata.team == header.x-team", {"header_team": "a", "metadata_team": "a"}, True),
        ("header.x-team == user", {"header_team": "a", "user": "b"}, False),
    ],
)
def test_it_evaluates(text, values, expected):
    if expected is None:
        with pytest.raises(ConditionError):
            compile_condition(text)
    else:
        assert holds(text, **values) is expected


@pytest.mark.parametrize("sign", ["<", "<=", ">", ">=", "==", "!="])
def test_it_is_false_for_an_absent_field(sign):
    assert not holds(f"max_tokens {sign} 5")
    assert not holds(f"5 {sign} max_tokens")
    assert not holds(f"metadata.n {sign} 5")
    assert not holds(f"max_tokens {sign} prompt_tokens", prompt_tokens=3)
    if sign in ("==", "!="):
        assert not holds(f"header.x-team {sign} 'a'")


@pytest.mark.parametrize(
    "text", ["language in ['zh']", "language not in ['zh']", "'x' not in metadata.tags", "header.x-a not in ['b']"]
)
def test_it_finds_an_absent_field_in_no_list_and_outside_none(text):
    assert not holds(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("metadata.n < 3", "2"),
        ("metadata.n < 3", True),
        ("metadata.n == 1", True),
        ("metadata.n == true", 1),
        ("metadata.n != 1", "1"),
        ("metadata.n in [1, 2]", True),
        ("metadata.n in [1, 2]", [1]),
        ("metadata.n == 'a'", {"a": 1}),
        ("'a' in metadata.n", "abc"),
    ],
)
def test_it_does_not_compare_values_of_another_kind(text, value):
    assert not holds(text, metadata_n=value)


@pytest.mark.parametrize(
    ("text", "column", "expected"),
    [
        ("", 1, "expected a field"),
        ("max_tokens <", 13, "expected a field"),
        ("max_tokens < abc", 14, "no field 'abc'"),
        ("max_token < 3", 1, "no field 'max_token'"),
        ("max_tokens < '5'", 14, "a number"),
        ("max_tokens 5", 12, "expected an operator"),
        ("max_tokens", 11, "expected an operator"),
        ("max_tokens = 5", 12, "=="),
        ("stream < true", 8, "only numbers have an order"),
        ("language > 'a'", 10, "only numbers have an order"),
        ("max_tokens < 1 < 2", 16, "and, or"),
        ("max_tokens < 1 && stream", 16, "expected and"),
        ("(stream", 8, "expected )"),
        ("stream)", 7, "and, or or the end"),
        ("language in []", 14, "expected a value"),
        ("language in ['zh' 'en']", 19, "expected , or ]"),
        ("language in ['zh', 5]", 20, "a text in quotes"),
        ("language in 'zh'", 13, "a list"),
        ("language not 'zh'", 14, "expected in"),
        ("user == 'abc", 9, "never closed"),
        ("1 < 2", 1, "expected a field"),
        ("max_tokens < 1e999", 14, "too large"),
        ("stream and", 11, "expected a field"),
        ("__import__('os')", 1, "no field"),
        ("header == 'a'", 1, "header.<name>"),
        ("header. == 'a'", 7, "no meaning"),
        ("header.x-team", 14, "expected an operator"),
        ("header.x-n < 5", 14, "a text in quotes"),
        ("header.x-n == 5", 15, "a text in quotes"),
        ("header.x-team < 'a'", 15, "only numbers have an order"),
        ("'a' in header.x-team", 8, "a list"),
        ("stream and header.部门 == 'a'", 12, "no header is called"),
        ("stream and header.authorization == 'a'", 12, "credential"),
        ("header.x-API-key == 'a'", 1, "credential"),
        ("metadata.key == header.my-token", 17, "credential"),
        ("max_tokens ＜ 5", 12, "no meaning"),
        ("a" * 1001, 1001, "at most 1000"),
    ],
)
def test_it_says_where_a_condition_is_wrong(text, column, expected):
    with pytest.raises(ConditionError) as caught:
        compile_condition(text)
    assert caught.value.column == column
    assert expected in str(caught.value)


@pytest.mark.parametrize("text", ["(" * 33 + "stream" + ")" * 33, "not " * 33 + "stream"])
def test_it_bounds_the_depth(text):
    with pytest.raises(ConditionError, match="deep"):
        compile_condition(text)


def test_it_takes_length_for_no_depth():
    assert holds(" and ".join(["(not stream)"] * 50), stream=False)


def test_it_names_the_fields_it_reads():
    assert compile_condition("model == 'a' and metadata.x > 1 or stream").fields == {"model", "metadata.x", "stream"}


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("stream", 1),
        ("not (not stream)", 1),
        ("max_tokens < 1 or max_tokens > 5 and not has_tools", 3),
        ("language in ['zh', 'en', 'ja'] and 'vip' in metadata.tags", 2),
    ],
)
def test_it_knows_how_many_comparisons_it_makes(text, count):
    assert compile_condition(text).comparisons == count


@pytest.mark.parametrize(
    ("literal", "found", "alike"),
    [("1", [2, 1], [True, "1"]), ("1", [1.0], [[1]]), ("0", [0], [False]), ("true", [True], [1, 1.0]),
     ("false", [False], [0]), ("'a'", ["a"], ["b", 1, True]), ("2", [2.0], ["2"])],
)  # fmt: skip
def test_a_member_of_a_list_is_of_the_same_kind(literal, found, alike):
    assert holds(f"{literal} in metadata.n", metadata_n=found)
    assert not holds(f"{literal} in metadata.n", metadata_n=alike)
    assert not holds(f"{literal} not in metadata.n", metadata_n=found)
    assert holds(f"{literal} not in metadata.n", metadata_n=alike)


PIECES = st.sampled_from(
    [
        *FIELDS,
        "metadata.a",
        "and",
        "or",
        "not",
        "in",
        "<",
        "<=",
        "==",
        "!=",
        "(",
        ")",
        "[",
        "]",
        ",",
        "1",
        "-2.5",
        "'zh'",
        "true",
    ]
)
VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=3), st.lists(st.integers(), max_size=2))
TYPED = {"number": st.one_of(st.none(), st.integers(), st.floats()), "text": st.one_of(st.none(), st.text(max_size=3))}


@given(st.lists(PIECES, max_size=12).map(" ".join), st.data())
def test_it_never_raises_when_it_evaluates(text, data):
    try:
        condition = compile_condition(text)
    except ConditionError:
        return
    values = {
        name: data.draw(TYPED.get(FIELDS.get(name, "any"), VALUES if name not in FIELDS else st.booleans()))
        for name in condition.fields
    }
    assert condition.test(values) in (True, False)


@given(st.text(alphabet=string.printable + "中＜“", max_size=40))
def test_it_compiles_any_text_or_says_where_not(text):
    try:
        compile_condition(text)
    except ConditionError as error:
        assert 1 <= error.column <= len(text) + 1


@pytest.mark.parametrize(
    "name",
    [
        "authorization", "Proxy-Authorization", "cookie", "set-cookie", "x-api-key", "api-key", "X-Goog-Api-Key",
        "x-csrf-token", "x-tokens", "my-secret", "x-password", "x-credential-id", "sec-websocket-protocol",
        "ocp-apim-subscription-key", "x-auth", "x-goog-iap-jwt-assertion", "x-hub-signature",
    ],
)  # fmt: skip
def test_it_reads_no_header_that_holds_a_credential(name):
    with pytest.raises(ConditionError) as caught:
        compile_condition(f"header.{name} != 'a'")
    assert caught.value.column == 1 and "credential" in caught.value.reason


def test_it_knows_a_header_by_its_name_in_lower_case():
    assert compile_condition("header.X-Team == header.X_Team.v2").fields == {"header.x-team", "header.x_team.v2"}
