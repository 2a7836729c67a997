"""Questions with a fixed answer: opening hours, the address of the help desk, how to reset a password."""

from __future__ import annotations

import unicodedata
from typing import ClassVar

import msgspec

from plugins.base import PluginBase, PluginSettings, TurnContext


class CannedAnswer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One answer and all the ways to ask for it."""

    questions: list[str]
    answer: str


class CannedAnswersSettings(PluginSettings):
    answers: list[CannedAnswer] = []


class CannedAnswers(PluginBase):
    """Answers a question that is asked in exactly one of the listed ways, without a model. Letter case, full or half
    width, spaces and punctuation around the question make no difference."""

    name = "canned_answers"
    label = "Canned answers"
    rehearses: ClassVar[bool] = True
    Settings = CannedAnswersSettings

    def __init__(self, settings: CannedAnswersSettings) -> None:
        super().__init__(settings)
        self._answers = {
            _question(question): each.answer
            for each in settings.answers
            for question in each.questions
            if question.strip()
        }

    async def pre_process(self, context: TurnContext) -> None:
        answer = self._answers.get(_question(context.text))
        if answer is not None:
            context.answer(answer)


def _question(text: str) -> str:
    """The words of a question alone: NFKC, case-folded, every run of spaces and punctuation one space."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    words = "".join(character if unicodedata.category(character)[0] in "LMNS" else " " for character in folded)
    return " ".join(words.split())
