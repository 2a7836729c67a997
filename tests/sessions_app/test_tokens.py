"""Counted as OpenAI publishes it: numbers are those of its cookbook ("How to count tokens with tiktoken") and of
tiktoken's own tests; and within the stated error elsewhere."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from engine.errors import ContextTooLong
from engine.types import ChatRequest, Instance, Message
from sessions_app import vocabularies, windows
from sessions_app.context import NOTHING, Past, Talk
from sessions_app.families import ANY, FAMILIES, family_of
from sessions_app.tokens import IMAGE, SMALL_IMAGE, Counter
from sessions_app.windows import NEAR, Windows

ROOT = Path(__file__).parents[2]
ENGLISH = "Could you tell me which train you plan to take in September, so that somebody can meet you at the station? "
CHINESE = "请问你能帮我写一封给客户的道歉信吗？我们的订单延迟了三天，客户非常不满意。"
RUSSIAN = "Здравствуйте! Подскажите, пожалуйста, когда будет доставлен мой заказ? "
HINDI = "नमस्ते, आप कैसे हैं? मुझे एक किताब चाहिए, जो मैंने कल देखी थी। "
NUMBERS = "1,0,7,3,9,2,5,8,4,6\n"
PUNCTUATION = "}~]|;@%<+'`(-^&$"
RARE = "".join(map(chr, range(0x20000, 0x20000 + 4_000, 97)))  # four bytes each
TEXTS = {
    "english": ENGLISH, "chinese": CHINESE, "russian": RUSSIAN, "hindi": HINDI, "numbers": NUMBERS,
    "punctuation": PUNCTUATION, "rare": RARE,
}  # fmt: skip
CODE = (ROOT / "engine" / "calling.py").read_text()

JARGON = [
    Message(
        "system",
        "You are a helpful, pattern-following assistant that translates corporate jargon into plain English.",
    ),
    Message("system", "New synergies will help drive top-line growth.", name="example_user"),
    Message("system", "Things working well together will increase revenue.", name="example_assistant"),
    Message(
        "system",
        "Let's circle back when we have more bandwidth to touch base on opportunities for increased leverage.",
        name="example_user",
    ),
    Message("system", "Let's talk later when we're less busy about how to do better.", name="example_assistant"),
    Message("user", "This late pivot means we don't have time to boil the ocean for the client deliverable."),
]  # fmt: skip


def counter(model, *, exact=True):
    return Counter(family_of(model), exact=exact)


@pytest.mark.parametrize(
    ("text", "cl100k", "o200k"),
    [
        ("antidisestablishmentarianism", 6, 6),
        ("2 + 2 = 4", 7, 7),
        ("お誕生日おめでとう", 9, 8),
        ("hello world", 2, 2),
        ("rer", 1, None),
        ("'rer", 2, None),
        ("today\n ", 3, None),
        ("today\n  \n", 2, None),
        ("", 0, 0),
    ],
)
def test_texts_are_counted_as_published(text, cl100k, o200k):
    assert counter("gpt-4").text(text) == cl100k
    if o200k is not None:
        assert counter("gpt-4o").text(text) == o200k


@pytest.mark.parametrize(("model", "tokens"), [("gpt-3.5-turbo", 129), ("gpt-4-0613", 129), ("gpt-4o-mini", 124)])
def test_messages_are_counted_as_the_service_does(model, tokens):
    counting = counter(model)
    assert counting.messages(JARGON) + counting.family.reply == tokens


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("gpt-4o-2024-08-06", "o200k_base"),
        ("openai/GPT-4.1-nano", "o200k_base"),
        ("ft:gpt-4o-mini:acme::7", "o200k_base"),
        ("gpt-5", "o200k_base"),
        ("openai/gpt-oss-120b", "o200k_base"),
        ("o3", "o200k_base"),
        ("o4-mini", "o200k_base"),
        ("o1:latest", "o200k_base"),
        ("gpt-4-turbo", "cl100k_base"),
        ("gpt-35-turbo-16k", "cl100k_base"),
        ("text-embedding-3-small", "cl100k_base"),
        ("Qwen/Qwen3-32B", "qwen"),
        ("deepseek-chat", "deepseek"),
        ("glm-4.6", "glm"),
        ("anthropic/claude-sonnet-4", "claude"),
        ("o1ive", "any"),
        ("llama-3.1-70b", "any"),
        ("", "any"),
    ],
)
def test_a_model_is_of_a_family(model, family):
    assert family_of(model).name == family


def test_every_vocabulary_of_the_table_is_there():
    assert {family.vocabulary for family in FAMILIES} - {""} == set(vocabularies.LOADERS)


@pytest.mark.parametrize("name", sorted(vocabularies.LOADERS))
def test_long_texts_are_counted_in_pieces(name):
    for text in (CODE * 5, ENGLISH * 700, CHINESE * 1500, "x" * 100_000):
        whole = vocabularies.vocabulary(name).count(text)
        assert abs(vocabularies.count(name, text, 1 << 60) - whole) <= 2 * (len(text) // vocabularies.PIECE)
        assert 1000 < vocabularies.count(name, text, 1000) < 1000 + 2 * vocabularies.PIECE


def test_half_a_character_is_counted_too():
    assert counter("gpt-4o").text("a\ud800b") >= 2
    assert counter("qwen").text("a\ud800b") >= 1


def test_parts_tools_and_names_count():
    counting = counter("gpt-4o")
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 50_000}}
    small = {"type": "image_url", "image_url": {"url": "https://x", "detail": "low"}}
    text = {"type": "text", "text": "hello world"}
    assert counting.message(Message("user", [text, image])) == 4 + 2 + IMAGE
    assert counting.message(Message("user", [text, small])) == 4 + 2 + SMALL_IMAGE
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": '{"where": "hello world"}'}}
    assert counting.message(Message("assistant", None, tool_calls=[call])) > 4 + 8 + 5
    assert counting.message(Message("assistant", None, tool_calls=[{"function": None}, {}])) == 4 + 2 * 8
    assert counting.tools(None) == 0 and counting.tools([{"type": "function", "function": {"name": "look"}}]) > 5


@pytest.mark.parametrize("text", [*TEXTS.values(), CODE], ids=[*TEXTS, "code"])
@pytest.mark.parametrize("model", ["gpt-4", "gpt-4o"])
def test_an_estimate_is_near_enough_to_say_when_to_count(text, model):
    right, about = counter(model).text(text * 20), counter(model, exact=False).text(text * 20)
    assert about >= NEAR * right
    assert windows.LEAST * Counter(ANY, exact=False).text(text * 20) <= right


def test_chinese_is_estimated_by_its_family():
    """DeepSeek's vocabulary makes 97 tokens of 184 characters of prose, measured; Qwen's makers say the same."""
    assert 0.5 < counter("deepseek-chat").text(CHINESE * 10) / (len(CHINESE) * 10) < 0.65
    assert counter("claude-3").text(CHINESE) > 1.7 * counter("qwen-max").text(CHINESE)


# On the way of a turn ------------------------------------------------------------------------------------------------


def instance(window, model="gpt-4o"):
    return Instance(id=1, name="m", upstream_model=model, context_window=window)


def past(count, words=40):
    return Past((), [[Message("user", "word " * words), Message("assistant", "word " * words)] for _ in range(count)])


ASKED = [Message("user", "Hello?")]


async def test_nothing_is_counted_where_there_is_room(monkeypatch):
    def never(*args):
        raise AssertionError("counted")

    monkeypatch.setattr(vocabularies, "count", never)
    fitted = await Windows().fit(Talk(past(10), ASKED), instance(10_000))
    assert len(fitted.messages) == 21 and not fitted.trimmed
    with pytest.raises(AssertionError, match="counted"):
        await Windows().fit(Talk(past(10), ASKED), instance(1500))


async def test_what_comes_near_is_counted_exactly():
    talk = Talk(past(40, 100), ASKED)  # "word word …": one token a word, the estimate says 1.25
    exact = Counter(family_of("gpt-4o"), exact=True)
    whole = talk.tokens(exact.message) + 3
    fitted = await Windows().fit(talk, instance(whole + 1024))
    assert len(fitted.messages) == 81 and fitted.tokens == whole and not fitted.trimmed
    fitted = await Windows().fit(talk, instance(whole + 1023))
    assert len(fitted.messages) == 79 and fitted.trimmed
    assert (await Windows().fit(talk, instance(whole + 1024, "llama"))).trimmed  # an estimate


async def test_tables_of_numbers_are_trimmed_before_a_service_refuses_them():
    table = [[Message("user", NUMBERS * 20), Message("assistant", "Thank you.")] for _ in range(50)]
    talk, exact = Talk(Past((), table), ASKED), Counter(family_of("gpt-4o"), exact=True)
    window = talk.tokens(exact.message) * 3 // 4
    fitted = await Windows().fit(talk, instance(window))
    assert fitted.trimmed and exact.messages(fitted.messages) < window


async def test_the_request_takes_room():
    talk, tools = Talk(past(10), ASKED), [{"type": "function", "function": {"name": "f", "description": "word " * 300}}]
    plain = ChatRequest(messages=ASKED)
    many = ChatRequest(messages=ASKED, tools=tools)
    long = ChatRequest(messages=ASKED, max_tokens=900)
    sent = [len((await Windows().fit(talk, instance(1400), "", each)).messages) for each in (plain, many, long)]
    assert sent[0] == 21 > sent[1] and sent[0] > sent[2]


async def test_long_conversations_are_counted_beside_the_loop(monkeypatch):
    threads = set()
    count = vocabularies.count

    def noting(*args):
        threads.add(threading.current_thread())
        return count(*args)

    monkeypatch.setattr(vocabularies, "count", noting)
    windows_ = Windows()
    for model in ("gpt-4o", "gpt-4"):
        vocabularies.vocabulary(model == "gpt-4" and "cl100k_base" or "o200k_base")
    await windows_.fit(Talk(past(3), ASKED), instance(300))
    assert threads == {threading.current_thread()}
    threads.clear()
    sent = await windows_.fit(Talk(past(2000), ASKED), instance(128_000))
    assert threads and threading.current_thread() not in threads and sent.trimmed


async def test_a_vocabulary_is_loaded_beside_the_loop(monkeypatch):
    monkeypatch.setattr(vocabularies, "_loaded", {})
    loaded_in = []
    load = vocabularies.LOADERS["cl100k_base"]
    monkeypatch.setitem(
        vocabularies.LOADERS, "cl100k_base", lambda: loaded_in.append(threading.current_thread()) or load()
    )
    talk = Talk(past(3), ASKED)
    await asyncio.gather(*(Windows().fit(talk, instance(400, "gpt-4")) for _ in range(5)))
    assert len(loaded_in) == 1 and loaded_in[0] is not threading.current_thread()


async def test_a_huge_message_is_refused_after_bounded_work(monkeypatch):
    counted = []
    real = vocabularies.vocabulary("o200k_base")

    class Counting:
        def count(self, text):
            counted.append(len(text))
            return real.count(text)

    monkeypatch.setitem(vocabularies._loaded, "o200k_base", Counting())
    with pytest.raises(ContextTooLong):
        await Windows().fit(Talk(NOTHING, [Message("user", "ab " * 2_000_000)]), instance(8000))
    assert sum(counted) < 10 * 8000
