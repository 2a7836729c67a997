"""What the complexity score costs, and what it is worth: `python -m benchmarks.complexity [answers.jsonl …]`.

Without arguments it prints microseconds for 330 bytes of English and of Chinese. Each file named holds one JSON object
a line, `{"prompt": text, "weak_correct": bool or 0..1, "strong_correct": the same}`: what a weak and a strong model
made of a prompt. For it the average performance gap recovered (APGR) of the score is printed beside prompt length's,
and how far the score is ahead, each with its 95 % interval (bootstrap: the prompts are drawn anew, with replacement).

APGR (RouteLLM, arXiv 2406.18665): send the prompts of the highest scores to the strong model, let the share of them run
from 0 to 1, and average the share of the gap between the two models' accuracies that is recovered. Chance has 0.5."""

from __future__ import annotations

import argparse
import json
import random
import timeit
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path

from routing.features import complexity_score

ENGLISH = (
    "Compare the two designs below and explain which of them scales better. The first keeps one queue per worker, the "
    "second shares a single queue of 1000 jobs between 16 workers. Each job takes 2 to 30 ms, and 5 percent fail and "
    "are retried once. Estimate throughput and worst latency of both, step by step, and say all that you took."
)
CHINESE = (
    "请比较下面两种设计，并解释哪一种扩展性更好。第一种每个线程一个队列，第二种由16个线程共享一个1000个任务的队列。"
    "每个任务需要2到30毫秒，百分之五会失败并重试一次。请逐步估算两者的吞吐量和最坏延迟，说明理由并给出采用的全部假设。"
)


@dataclass(frozen=True)
class Answer:
    """One prompt, and how right each model's answer to it was, 0 to 1."""

    prompt: str
    weak: float
    strong: float


def read(path: Path) -> list[Answer]:
    with path.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines if line.strip()]
    return [Answer(row["prompt"], float(row["weak_correct"]), float(row["strong_correct"])) for row in rows]


def apgr(scores: Sequence[float], answers: Sequence[Answer], bins: int | None = None) -> float:
    """The area under the recovered gap, by trapezoids between the thresholds: every score that occurs, or as many
    quantiles as `bins` (RouteLLM's own evaluation takes 10). Equal scores are routed together.

    ValueError: the models are equally good, so there is no gap."""
    ranked = sorted(zip(scores, answers, strict=True), key=lambda pair: -pair[0])
    gains = [0.0, *accumulate(answer.strong - answer.weak for _, answer in ranked)]
    if not gains[-1]:
        raise ValueError("the strong model is not better than the weak one")
    total = len(ranked)
    cuts = [0, *(at for at in range(1, total) if ranked[at][0] != ranked[at - 1][0]), total]
    if bins:
        wanted = [total * step / bins for step in range(bins + 1)]
        cuts = sorted({min(cuts, key=lambda cut: abs(cut - place)) for place in wanted} | {0, total})
    return sum((b - a) / total * (gains[a] + gains[b]) / 2 for a, b in pairwise(cuts)) / gains[-1]


def resampled(rankings: Sequence[Sequence[float]], answers: Sequence[Answer], times: int = 300) -> list[list[float]]:
    """The APGR of each ranking on the same prompts, drawn `times` times. Draws without a gap are left out."""
    chance = random.Random(times)
    found: list[list[float]] = [[] for _ in rankings]
    for _ in range(times):
        drawn = chance.choices(range(len(answers)), k=len(answers))
        those = [answers[at] for at in drawn]
        if sum(answer.strong - answer.weak for answer in those):
            for values, scores in zip(found, rankings, strict=True):
                values.append(apgr([scores[at] for at in drawn], those))
    return found


def interval(values: Sequence[float]) -> tuple[float, float]:
    """What 95 % of the values lie between."""
    ranked = sorted(values)
    cut = len(ranked) // 40
    return ranked[cut], ranked[-1 - cut]


def report(answers: Sequence[Answer]) -> None:
    scores = [[rank(answer.prompt) for answer in answers] for rank in RANKINGS.values()]
    values = [apgr(ranking, answers) for ranking in scores]
    drawn = resampled(scores, answers)
    for name, ranking, value, others in zip(RANKINGS, scores, values, drawn, strict=True):
        low, high = interval(others)
        bins = apgr(ranking, answers, bins=10)
        print(f"  {name:<18} APGR {value:.3f} [{low:.3f}, {high:.3f}]  in 10 bins {bins:.3f}")
    low, high = interval([ours - length for length, ours in zip(*drawn, strict=True)])
    print(f"  {'ahead of length':<18} {values[1] - values[0]:+.3f} [{low:+.3f}, {high:+.3f}]")


def microseconds(text: str) -> float:
    """The best of many short runs: what it costs when nobody else wants the processor."""
    return min(timeit.repeat(lambda: complexity_score(text), number=100, repeat=200)) / 100 * 1e6


RANKINGS: dict[str, Callable[[str], float]] = {
    "prompt length": lambda text: len(text.encode("utf-8", "surrogatepass")),
    "complexity_score": complexity_score,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("answers", nargs="*", type=Path, help="JSON lines of prompt, weak_correct, strong_correct")
    for path in (chosen := parser.parse_args()).answers:
        answers = read(path)
        weak, strong = (sum(getattr(answer, name) for answer in answers) / len(answers) for name in ("weak", "strong"))
        print(f"{path.name}: {len(answers)} prompts, weak {weak:.1%}, strong {strong:.1%} correct")
        report(answers)
    if not chosen.answers:
        for name, text in (("English", ENGLISH), ("Chinese", CHINESE)):
            print(f"{name}: {len(text.encode())} bytes, {microseconds(text):.1f} us, score {complexity_score(text)}")


if __name__ == "__main__":
    main()
