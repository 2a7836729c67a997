"""What conversations are begun with most, in bounded space: a summary of a tenant's day.

The method is Misra-Gries ("Finding repeated elements", 1982) in the form that is merged batch by batch (Agarwal et al.,
"Mergeable summaries", PODS 2012): of more than `MOST` different questions the count of the first that has no room is
taken off all, and who has none left goes. So a question was asked at least `count` times and at most `lost` times more;
`lost` is less than a thousandth of all that were counted.

Beside each question stand the pseudonyms of some who asked it, so that erasing a user takes theirs away: a question
that nobody is known to have asked is not kept. A summary is stored sealed with its tenant's key."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec

from compliance.models.insights import InsightQuestions
from tenants.keyring import TenantKeys
from tenants.secrets import SealBroken

log = logging.getLogger(__name__)

MOST: Final = 1000  # questions of a day that are told apart
ASKERS: Final = 16  # of a question whose names are kept
SHORTEST: Final = 2
LONGEST: Final = 200  # characters; what is longer is a document, which nobody else asks
_EDGES: Final = " \t.,;:!?…·。，、；：！？\"'“”‘’«»「」()[]（）-–—*#`"

Askers = Mapping[str, int]


class Question(msgspec.Struct, array_like=True):
    """`askers`: how often, by pseudonym; the first ones that were met."""

    count: int
    askers: dict[str, int]


class Summary(msgspec.Struct, array_like=True):
    total: int = 0
    lost: int = 0
    questions: dict[str, Question] = {}

    def add(self, asked: Mapping[str, Askers]) -> None:
        """A batch: who asked what how often."""
        for text, askers in asked.items():
            found = self.questions.get(text)
            if found is None:
                found = self.questions[text] = Question(0, {})
            count = sum(askers.values())
            found.count += count
            self.total += count
            for asker, times in askers.items():
                if asker in found.askers or len(found.askers) < ASKERS:
                    found.askers[asker] = found.askers.get(asker, 0) + times
        self._fit()

    def merge(self, other: Summary) -> None:
        """Another day's."""
        self.total += other.total
        self.lost += other.lost
        for text, told in other.questions.items():
            found = self.questions.setdefault(text, Question(0, {}))
            found.count += told.count
            for asker, times in told.askers.items():
                found.askers[asker] = found.askers.get(asker, 0) + times

    def forget(self, whose: Callable[[str], bool]) -> int:
        """Takes away what these asked; how many questions that touched."""
        touched = 0
        for text, found in list(self.questions.items()):
            gone = [asker for asker in found.askers if whose(asker)]
            if not gone:
                continue
            touched += 1
            for asker in gone:
                times = found.askers.pop(asker)
                found.count -= times
                self.total -= times
            if found.count <= 0 or not found.askers:
                self.total -= max(found.count, 0)
                del self.questions[text]
        return touched

    def top(self, most: int, *, users: int = 1) -> list[tuple[str, Question]]:
        """Those that were asked most, by at least so many users."""
        enough = [each for each in self.questions.items() if len(each[1].askers) >= users]
        return sorted(enough, key=lambda each: (-each[1].count, each[0]))[:most]

    def _fit(self) -> None:
        if len(self.questions) <= MOST:
            return
        counts = sorted((found.count for found in self.questions.values()), reverse=True)
        less = counts[MOST]
        self.lost += less
        for text, found in list(self.questions.items()):
            found.count -= less
            if found.count <= 0:
                del self.questions[text]


def normal_form(text: str) -> str | None:
    """What is counted as the same question: letters in one case and width, blanks and marks at the edges aside. None:
    it is none."""
    if len(text) > 4 * LONGEST:
        return None
    plain = " ".join(unicodedata.normalize("NFKC", text).casefold().split()).strip(_EDGES)
    return plain if SHORTEST <= len(plain) <= LONGEST and plain.isprintable() else None


def opening_question(messages: Iterable[Any]) -> str | None:
    """The one thing the user said, of what a turn was asked with: None where it goes on with a conversation."""
    found: str | None = None
    for message in messages:
        if message.role == "assistant" or (message.role == "user" and found is not None):
            return None
        if message.role == "user":
            found = _text(message.content)
    return found


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    return " ".join(text for text in texts if isinstance(text, str))


# Stored -------------------------------------------------------------------------------------------------------------

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Summary).decode


def seal(keys: TenantKeys, tenant_id: int, day: int, summary: Summary) -> bytes:
    return keys.wrap(_encode(summary), _label(tenant_id, day))


def unseal(keys: TenantKeys, tenant_id: int, day: int, stored: bytes | memoryview) -> Summary:
    """An empty one where it cannot be opened."""
    try:
        return _decode(keys.unwrap(bytes(stored), _label(tenant_id, day)))
    except (SealBroken, msgspec.MsgspecError) as error:
        log.error("the questions of tenant %d, day %d cannot be read: %s", tenant_id, day, error)
        return Summary(questions={})


def rewrap(tenant_id: int, keys: TenantKeys) -> int:
    """Seals anew what an older key of the tenant sealed; how many days."""
    changed = 0
    rows = InsightQuestions.objects.for_tenant(tenant_id)
    for pk, day, stored in rows.values_list("pk", "day", "summary"):
        if keys.outdated(bytes(stored)):
            anew = seal(keys, tenant_id, day, unseal(keys, tenant_id, day, stored))
            changed += rows.filter(pk=pk, summary=stored).update(summary=anew)
    return changed


def _label(tenant_id: int, day: int) -> str:
    return f"questions:{tenant_id}:{day}"
