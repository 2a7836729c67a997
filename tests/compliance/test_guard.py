import msgspec
import pytest

from compliance.guard import GuardTable, WordGuard
from engine.snapshots import Cell
from engine.types import Delta, Message, Verdict
from tests.cast import ALICE, CHARLIE
from tests.compliance.wordlists import guard, matcher


def verdict(word, action, where):
    return Verdict(list=action, version=1, word=word, action=action, where=where)


def ask(*contents, **words):
    return guard(**words).input(ALICE.principal, [Message(role="user", content=content) for content in contents])


def answer(*deltas, **words):
    """What leaves, delta by delta, with the guard that let it."""
    output = guard(**words).output(ALICE.principal)
    released = [output.feed(delta) for delta in deltas]
    return [delta for delta in released if delta is not None], output


def texts(deltas, field="content"):
    return [getattr(delta, field) for delta in deltas if getattr(delta, field) is not None]


# Input ------------------------------------------------------------------------------------------------------------


def test_it_names_a_blocked_word_of_the_input():
    _, verdicts = ask("this is BAD", "bad again", block=["bad"])
    assert verdicts == [verdict("bad", "block", "input")]


def test_it_masks_words_of_the_input():
    messages, verdicts = ask("你是坏人吗", block=["x"], mask=["坏人"])
    assert [message.content for message in messages] == ["你是**吗"]
    assert verdicts == [verdict("坏人", "mask", "input")]


def test_it_masks_the_whole_character_a_folded_one_came_from():
    messages, _ = ask("die STRAẞE hier", mask=["strasse"])
    assert messages[0].content == "die ****** hier"


def test_it_records_a_word_and_leaves_the_input_alone():
    asked = [Message(role="user", content="so dull")]
    messages, verdicts = guard(record=["dull"]).input(ALICE.principal, asked)
    assert messages is asked
    assert verdicts == [verdict("dull", "record", "input")]


@pytest.mark.parametrize(
    "message",
    [
        Message(role="system", content="bad"),
        Message(
            role="user", content=[{"type": "image_url", "image_url": {"url": "x"}}, {"type": "text", "text": "bad"}]
        ),
        Message(role="user", content=[{"type": "tool_result", "content": [{"type": "text", "text": "bad"}]}]),
        Message(role="user", content="hello", name="bad"),
        Message(role="tool", content="bad", tool_call_id="1"),
        Message(role="assistant", content="", reasoning_content="bad"),
        Message(role="assistant", refusal="bad"),
        Message(role="assistant", tool_calls=[{"id": "1", "function": {"name": "f", "arguments": '{"a": "bad"}'}}]),
        Message(role="assistant", tool_calls=[{"id": "1", "function": {"name": "bad", "arguments": "{}"}}]),
    ],
)
def test_it_reads_every_text_of_a_message(message):
    before = msgspec.json.encode(message)
    (masked,), verdicts = guard(mask=["bad"]).input(ALICE.principal, [message])
    assert msgspec.json.encode(masked) == before.replace(b"bad", b"***")
    assert verdicts == [verdict("bad", "mask", "input")]
    assert msgspec.json.encode(message) == before, "the caller's message is not changed"


def test_it_takes_addresses_and_encoded_data_for_no_text():
    parts = [{"type": "image_url", "image_url": {"url": "https://example.com/bad"}}]
    assert ask(parts, block=["bad"])[1] == []


def test_it_applies_a_tenants_words_to_nobody_else():
    charlie = guard(block=["bad"])
    asked = [Message(role="user", content="bad")]
    assert charlie.input(CHARLIE.principal, asked) == (asked, [])
    output = charlie.output(CHARLIE.principal)
    assert output.feed(Delta(content="bad")) == Delta(content="bad")
    assert output.verdicts == []


# Output -----------------------------------------------------------------------------------------------------------


def test_it_lets_everything_pass_without_lists():
    output = WordGuard(Cell(GuardTable())).output(ALICE.principal)
    delta = Delta(content="anything", logprobs={"content": []})
    assert output.feed(delta) is delta
    assert (output.flush(), output.verdicts, output.blocked) == ([], [], False)


def test_it_returns_the_very_delta_when_nothing_is_held():
    delta = Delta(content="fine. ")
    released, _ = answer(delta, block=["bad"])
    assert released[0] is delta


def test_it_holds_only_what_may_become_a_word():
    released, output = answer(
        Delta(content="他是坏"), Delta(content="事"), Delta(content="吗？坏"), Delta(content="人"), block=["坏人"]
    )
    assert texts(released) == ["他是", "坏事", "吗？"]
    assert output.blocked
    assert output.verdicts == [verdict("坏人", "block", "output")]
    assert output.feed(Delta(content="more")) is None
    assert output.flush() == []


def test_it_waits_for_the_end_of_a_latin_word():
    released, output = answer(Delta(content="a bad"), Delta(content="ge. "), Delta(content="bad"), block=["bad"])
    assert texts(released) == ["a ", "badge. "]
    assert not output.blocked
    assert output.flush() == []
    assert output.blocked, "the end of the answer ends the word"


def test_it_gives_back_at_the_end_what_became_no_word():
    released, output = answer(Delta(content="坏"), block=["坏人"])
    assert released == []
    assert output.flush() == [Delta(content="坏")]
    assert output.verdicts == []


def test_it_masks_a_word_across_deltas():
    released, output = answer(Delta(content="他是坏"), Delta(content="人吗"), mask=["坏人"])
    assert texts(released) == ["他是", "**吗"]
    assert output.verdicts == [verdict("坏人", "mask", "output")]


def test_it_records_a_word_across_deltas():
    released, output = answer(Delta(content="so du"), Delta(content="ll."), record=["dull"])
    assert "".join(texts(released)) == "so dull."
    assert output.verdicts == [verdict("dull", "record", "output")]


def test_it_keeps_choices_and_channels_apart():
    released, output = answer(
        Delta(content="坏"), Delta(reasoning="人"), Delta(content="人", index=1), Delta(refusal="人"), block=["坏人"]
    )
    assert not output.blocked
    assert (texts(released), texts(released, "reasoning"), texts(released, "refusal")) == (["人"], ["人"], ["人"])
    assert output.flush() == [Delta(content="坏")]


def test_it_keeps_every_channel_back_when_the_end_of_one_blocks():
    released, output = answer(Delta(content="坏"), Delta(reasoning="so bad"), block=["坏人", "bad"])
    assert released == [Delta(reasoning="so ")]
    assert output.flush() == []
    assert output.blocked


@pytest.mark.parametrize("field", ["content", "reasoning", "refusal"])
def test_it_stops_every_channel_at_a_blocked_word(field):
    released, output = answer(Delta(content="好", index=1), Delta(**{field: "so 坏人"}), block=["坏人", "好的"])
    assert output.blocked
    assert released == [Delta(**{field: "so "})]
    assert output.feed(Delta(content="的", index=1)) is None
    assert output.flush() == [], "what another channel held does not leave after it"


def test_it_releases_in_the_order_a_model_speaks():
    (released,), _ = answer(Delta(content="坏人", reasoning="hm. ", refusal="no"), block=["坏人"])
    assert released == Delta(reasoning="hm. ")


# Tool calls -------------------------------------------------------------------------------------------------------


def call(arguments=None, index=0, **more):
    function = {key: more.pop(key) for key in ("name",) if key in more}
    if arguments is not None:
        function["arguments"] = arguments
    return Delta(tool_calls=[{"index": index, **more, "function": function}])


def test_it_holds_the_arguments_of_each_tool_call():
    released, output = answer(
        call("", id="1", type="function", name="f"),
        call('{"a": "坏'),
        call("人", index=1),
        call('事"}'),
        block=["坏人"],
    )
    assert [delta.tool_calls[0]["function"].get("arguments") for delta in released] == ["", '{"a": "', "人", '坏事"}']
    assert released[0].tool_calls[0] == {
        "index": 0,
        "id": "1",
        "type": "function",
        "function": {"name": "f", "arguments": ""},
    }
    assert not output.blocked


def test_it_blocks_a_word_in_tool_arguments():
    released, output = answer(call('{"a": "坏'), call('人"}'), block=["坏人"])
    assert output.blocked
    assert [delta.tool_calls[0]["function"]["arguments"] for delta in released] == ['{"a": "']


def test_it_sends_nothing_for_a_fragment_that_is_all_held():
    released, output = answer(call("坏"), block=["坏人"])
    assert released == []
    assert output.flush() == [call("坏")]


def test_it_blocks_the_name_of_a_tool():
    released, output = answer(call("{}", id="1", name="bad"), block=["bad"])
    assert (released, output.blocked) == ([], True)


# Log probabilities ------------------------------------------------------------------------------------------------


def tokens(*pieces, others=()):
    alternatives = [{"token": other, "logprob": -2.0} for other in others]
    return {"content": [{"token": piece, "logprob": -1.0, "top_logprobs": alternatives} for piece in pieces]}


def test_it_keeps_log_probabilities_of_text_that_leaves_as_it_came():
    delta = Delta(content="so fine. ", logprobs=tokens("so", " fine", ". "))
    assert answer(delta, block=["bad"])[0] == [delta]


@pytest.mark.parametrize("content", ["so ba", "so bad."])
def test_it_drops_log_probabilities_of_text_that_is_held_or_masked(content):
    released, _ = answer(Delta(content=content, logprobs=tokens(content)), mask=["bad"])
    assert released[0].content.startswith("so ")
    assert released[0].logprobs is None


def test_it_drops_log_probabilities_that_spell_something_else():
    assert answer(Delta(content="", logprobs=tokens("bad")), block=["bad"])[0] == [Delta(content="")]


def test_it_drops_listed_words_from_the_alternatives():
    (released,), _ = answer(Delta(content="fine. ", logprobs=tokens("fine. ", others=[" bad", " good"])), block=["bad"])
    assert [other["token"] for other in released.logprobs["content"][0]["top_logprobs"]] == [" good"]


def test_it_reports_each_word_once_a_list():
    words = matcher(block=["bad"], record=["bad", "good"])
    assert len(words.words) == 2
    _, verdicts = ask("bad good bad", block=["bad"], record=["bad", "good"])
    assert verdicts == [
        verdict("bad", "block", "input"),
        verdict("bad", "record", "input"),
        verdict("good", "record", "input"),
    ]


# One after the other ----------------------------------------------------------------------------------------------


def test_it_lets_a_thought_end_before_the_answer_begins():
    released, output = answer(Delta(reasoning="die 坏"), Delta(content="So "), mask=["坏人"])
    assert released == [Delta(reasoning="die "), Delta(reasoning="坏", content="So ")]
    assert output.flush() == []


def test_it_lets_an_answer_end_before_a_call_begins():
    released, _ = answer(Delta(reasoning="坏"), Delta(content="坏"), call(name="f"), mask=["坏人"])
    assert [(delta.reasoning, delta.content, bool(delta.tool_calls)) for delta in released] == [
        ("坏", None, False),
        (None, "坏", True),
    ]


@pytest.mark.parametrize(("action", "rest"), [("mask", "*!"), ("block", "")])
def test_it_lets_no_word_out_that_was_cut_in_two_by_something_else(action, rest):
    deltas = [Delta(reasoning="坏"), Delta(content="So."), Delta(reasoning="人!")]
    released, output = answer(*deltas, **{action: ["坏人"]})
    assert "".join(texts([*released, *output.flush()], "reasoning")) == f"坏{rest}"
    assert output.blocked == (action == "block") and output.verdicts == [verdict("坏人", action, "output")]


def test_it_finds_a_word_that_ends_where_something_else_begins():
    released, output = answer(Delta(reasoning="bad"), Delta(content="So."), Delta(reasoning="ge"), mask=["bad"])
    assert "".join(texts([*released, *output.flush()], "reasoning")) == "***ge"
    released, output = answer(Delta(reasoning="so bad"), Delta(content="So."), block=["bad"])
    assert output.blocked and texts(released) == []


def test_it_hands_on_what_vouches_for_a_thought():
    extra = {"thoughts": [{"signature": "s", "characters": 2}]}
    (released,), _ = answer(Delta("Yes. ", extra_content=extra), mask=["bad"])
    assert released == Delta("Yes. ", extra_content=extra)
