"""What intents cost: `python -m benchmarks.intents [--intents 150] [--examples 100]`.

CPU time of training on that many generated examples and of recognising a text (330 bytes of English, as many of
Chinese, and a short one), the size of the stored model, and how much memory a worker takes up for it. CPU time, not
wall clock: the machine may be busy. The texts are random words, so nothing is said of how well it recognises: that is
what `manage.py evalintents` measures."""

from __future__ import annotations

import argparse
import json
import random
import resource
import time
from collections.abc import Callable

from benchmarks.complexity import CHINESE, ENGLISH

SHORT = "where is my order"


def generated(intents: int, examples: int) -> list[tuple[str, str]]:
    """Each intent has words of its own among words of all."""
    dice = random.Random(7)
    syllables = ["ka", "to", "mi", "re", "so", "lu", "ven", "dra", "pel", "ist", "or", "ba", "退", "货", "订", "单"]
    words = ["".join(dice.choices(syllables, k=dice.randint(2, 4))) for _ in range(3_000)]
    pairs = []
    for number in range(intents):
        own = dice.sample(words, 20)
        for _ in range(examples):
            text = dice.choices(own, k=3) + dice.choices(words[:300], k=5)
            dice.shuffle(text)
            pairs.append((" ".join(text), f"intent_{number}"))
    return pairs


def microseconds(work: Callable[[], object], times: int = 500) -> float:
    work()
    began = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - began) / times * 1e6


def memory() -> float:
    """MiB this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--intents", type=int, default=150)
    parser.add_argument("--examples", type=int, default=100)
    asked = parser.parse_args()
    before = memory()
    from plugins.intents.model import IntentModel  # noqa: PLC0415  # what it takes up is what is measured
    from plugins.intents.vectors import word_vectors  # noqa: PLC0415

    imported = memory()
    vectors = word_vectors()
    with_vectors = memory()
    from plugins.intents.crossing import trained  # noqa: PLC0415

    began = time.process_time()
    model, _ = trained(generated(asked.intents, asked.examples), [], vectors)
    training = time.process_time() - began
    data = model.to_bytes()
    began = time.process_time()
    model = IntentModel.from_bytes(data, vectors)
    reading = time.process_time() - began
    figures = {
        "intents": asked.intents,
        "examples": asked.intents * asked.examples,
        "word_vectors": vectors is not None,
        "training_cpu_seconds": round(training, 1),
        "model_mib": round(len(data) / 2**20, 2),
        "reading_cpu_seconds": round(reading, 2),
        "text_330_bytes_us": round(microseconds(lambda: model.classify(ENGLISH))),
        "chinese_text_us": round(microseconds(lambda: model.classify(CHINESE))),
        "short_text_us": round(microseconds(lambda: model.classify(SHORT))),
        "import_mib": round(imported - before, 1),
        "vectors_mib": round(with_vectors - imported, 1),
    }
    print(json.dumps(figures, indent=1))  # noqa: T201


if __name__ == "__main__":
    main()
