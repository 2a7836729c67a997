import io
import json
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from plugins.intents.crossing import trained
from plugins.intents.features import Read
from plugins.intents.model import IntentModel, UnreadableModel
from plugins.intents.vectors import word_vectors
from tests.naughty import REFUSED, STRINGS
from tests.plugins.intents.examples import ELSEWHERE, PAIRS, UNSEEN


@pytest.fixture(scope="module", params=["vectors", "words alone"])
def learnt(request):
    vectors = word_vectors() if request.param == "vectors" else None
    if vectors is None and request.param == "vectors":
        pytest.skip("the word vectors are not installed")
    return *trained(PAIRS, ["is my dog ill"], vectors), vectors


def test_it_recognises_what_it_has_not_seen_in_both_languages(learnt):
    model, _, _ = learnt
    assert [(text, model.classify(text).candidates[0].intent) for text, _ in UNSEEN] == UNSEEN


def test_it_says_none_of_these(learnt):
    model, _, _ = learnt
    assert [text for text in ELSEWHERE if model.classify(text).intent is not None] == []


def test_it_reports_what_it_can_do(learnt):
    _, report, _ = learnt
    assert (report.intents, report.utterances, report.outside, report.few) == (3, 36, 1, [])
    assert report.accuracy > 0.4 and report.rejected > 0.6
    assert sum(each.times for each in report.confusions) == pytest.approx((1 - report.accuracy) * 36, abs=0.01)


def test_it_is_the_same_after_storing(learnt):
    model, _, vectors = learnt
    again = IntentModel.from_bytes(model.to_bytes(), vectors)
    for text, _ in UNSEEN:
        one, other = model.classify(text), again.classify(text)
        assert one.intent == other.intent and one.score == pytest.approx(other.score, abs=0.02)


def test_it_learns_the_same_from_the_same(learnt):
    model, _, vectors = learnt
    again = trained(PAIRS, ["is my dog ill"], vectors)[0]
    assert np.array_equal(again.weights, model.weights) and again.threshold == model.threshold


def test_a_threshold_can_be_moved(learnt):
    model, _, _ = learnt
    assert model.classify("refund", threshold=1.0).intent is None
    assert model.classify("my refund please", threshold=0.0).intent == "refund"
    assert model.classify("", threshold=0.0).intent is None


def test_it_reads_whatever_there_is(learnt):
    model, _, _ = learnt
    for text in [*STRINGS, *REFUSED, "\0", "\ud800", "x" * 100_000, "啊" * 100_000, "\u0301" * 5000, "a " * 5000]:
        found = model.classify(text)
        assert 0 <= found.score <= 1 and len(found.candidates) == 3


@pytest.mark.parametrize("count", [1, 2])
def test_it_learns_from_very_little(count):
    for pairs in (PAIRS[:count], [(text, intent) for text, intent in PAIRS if intent == "refund"][:count]):
        model, report = trained(pairs, [], None)
        assert model.classify(pairs[0][0]).candidates[0].intent == "refund"
        assert report.few == ["refund"]
        assert [text for text in ELSEWHERE if model.classify(text).intent is not None] == []


@pytest.mark.parametrize("data", [b"", b"x" * 100, b"PK\x03\x04", json.dumps({"format": 1}).encode()])
def test_it_refuses_what_is_no_model(data):
    with pytest.raises(UnreadableModel):
        IntentModel.from_bytes(data, None)


def test_it_runs_nothing_of_what_it_reads(learnt):
    """A pickled object in the place of an array is refused, not made."""
    file = io.BytesIO()
    np.savez(file, meta=np.array([print], dtype=object))
    assert zipfile.is_zipfile(file)
    with pytest.raises(UnreadableModel):
        IntentModel.from_bytes(file.getvalue(), None)


READING = """
import sys
from plugins.intents.model import IntentModel
from plugins.intents.vectors import word_vectors
with open(sys.argv[1], "rb") as file:
    model = IntentModel.from_bytes(file.read(), word_vectors())
print(model.classify("i want my money back").intent)
print(sorted({"scipy", "sklearn", "joblib", "pandas", "wordllama"}.intersection(sys.modules)))
"""


def test_who_only_reads_models_has_nothing_in_memory_that_trains(tmp_path):
    stored = tmp_path / "model"
    stored.write_bytes(trained(PAIRS, [], word_vectors())[0].to_bytes())
    said = subprocess.run([sys.executable, "-c", READING, str(stored)], capture_output=True, text=True, check=True)
    assert said.stdout.split("\n") == ["refund", "[]", ""]


@pytest.mark.parametrize(
    "pairs",
    [
        [("a", "only")],
        [("!!!", "x"), ("???", "y")],
        [("\u200b", "x"), ("\u200e\u202e", "y")],
        [("😀😀", "happy"), ("😭😭", "sad")] * 5,
        [("مرحبا بالعالم", "hello"), ("مع السلامة", "bye")] * 5,
        [("refund my order", "a"), ("refund my order", "b")] * 10,  # the same in two intents
        [("x" * 500, "long"), ("啊" * 500, "langes")],
    ],
)
def test_it_learns_from_odd_examples(pairs):
    for vectors in (None, word_vectors()):
        model, report = trained(pairs, [], vectors)
        assert report.utterances == len(pairs)
        for text, _ in pairs:
            found = model.classify(text)
            assert 0 <= found.score <= 1 and found.intent in {None, *(intent for _, intent in pairs)}


def test_it_refuses_a_model_of_vectors_that_are_not_here():
    vectors = word_vectors()
    if vectors is None:
        pytest.skip("the word vectors are not installed")
    data = trained(PAIRS, [], vectors)[0].to_bytes()
    with pytest.raises(UnreadableModel, match="not installed"):
        IntentModel.from_bytes(data, None)


def test_a_network_has_an_opinion_that_travels_with_the_model(learnt):
    model, _, vectors = learnt
    again = IntentModel.from_bytes(model.to_bytes(), vectors)
    assert model.network is not None and again.network is not None
    for text, intent in UNSEEN:
        opinion = model.network.opinion(Read(text, model.vocabulary, vectors))
        assert np.exp(opinion).sum() == pytest.approx(1, abs=1e-3) and len(opinion) == len(model.intents) + model.none
        assert np.allclose(opinion, again.network.opinion(Read(text, again.vocabulary, vectors)), atol=0.2), intent
