"""The tables of compliance: the journal (on its own database) and, beside it, word lists and personal data switches."""

from compliance.models.hits import WordHits
from compliance.models.journal import AuditEntry, JournalWorker, SubjectKey
from compliance.models.personal import PersonalData
from compliance.models.subscriptions import WordExceptions, WordListSubscription
from compliance.models.words import SensitiveWordList, WordListVersion

__all__ = [
    "AuditEntry",
    "JournalWorker",
    "PersonalData",
    "SensitiveWordList",
    "SubjectKey",
    "WordExceptions",
    "WordHits",
    "WordListSubscription",
    "WordListVersion",
]
