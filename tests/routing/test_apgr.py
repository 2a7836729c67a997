import json
import random
import sys

import pytest

from benchmarks import complexity
from benchmarks.complexity import Answer, apgr, interval, resampled

GAIN, NONE, LOSS = Answer("gain", 0, 1), Answer("none", 1, 1), Answer("loss", 1, 0)


def test_it_is_half_for_a_score_that_says_nothing():
    answers = [GAIN, NONE, GAIN, NONE, LOSS] * 20
    assert apgr([0.5] * 100, answers) == apgr([0.5] * 100, answers, bins=10) == pytest.approx(0.5)


def test_it_finds_the_best_and_the_worst_order():
    answers = [GAIN] * 25 + [NONE] * 75
    scores = list(range(100))
    assert apgr(scores[::-1], answers) == pytest.approx(0.875)
    assert apgr(scores, answers) == pytest.approx(0.125)


def test_it_counts_what_the_strong_model_gets_wrong():
    assert apgr([3, 2, 1], [GAIN, GAIN, LOSS]) > 1 > apgr([1, 2, 3], [GAIN, GAIN, LOSS])


def test_it_agrees_with_ten_bins():
    chance = random.Random(7)
    answers = [Answer("", chance.random() < 0.6, chance.random() < 0.9) for _ in range(2000)]
    scores = [answer.strong - answer.weak + chance.gauss(0, 2) for answer in answers]
    assert 0.55 < apgr(scores, answers, bins=10) == pytest.approx(apgr(scores, answers), abs=0.01)


def test_it_refuses_models_without_a_gap():
    with pytest.raises(ValueError, match="not better"):
        apgr([1, 2], [GAIN, LOSS])


def test_it_says_how_far_chance_alone_could_have_moved_it():
    answers = [GAIN, NONE, NONE, LOSS, GAIN, NONE] * 50
    good = [answer.strong - answer.weak for answer in answers]
    chance, ours = resampled([[0.0] * 300, good], answers, times=80)
    assert interval(chance) == (0.5, 0.5)
    low, high = interval(ours)
    assert 0.5 < low < apgr(good, answers) < high


def test_it_compares_on_the_same_draws_and_leaves_out_those_without_a_gap():
    answers = [GAIN, LOSS, NONE, NONE, GAIN]
    one, other = resampled([[5, 4, 3, 2, 1]] * 2, answers, times=60)
    assert one == other
    assert 10 < len(one) < 60


def test_its_interval_leaves_a_fortieth_at_each_end():
    assert interval(range(80)) == (2, 77)


def test_it_prints_a_file_of_answers(tmp_path, capsys, monkeypatch):
    rows = [
        {"prompt": "Prove it.", "weak_correct": False, "strong_correct": True},
        {"prompt": "What is the capital of France?", "weak_correct": True, "strong_correct": True},
    ]
    path = tmp_path / "answers.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "\n", encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["complexity", str(path)])
    complexity.main()
    title, length, ours, ahead = capsys.readouterr().out.splitlines()
    assert "2 prompts, weak 50.0%, strong 100.0% correct" in title
    assert ("0.250 [0.250, 0.500]" in length, "0.750 [0.500, 0.750]" in ours) == (True, True)
    assert "+0.500 [+0.000, +0.500]" in ahead
