"""The tables of compliance: the journal and what turns used, on a database of their own; beside it lists, switches,
erasures and changes."""

from compliance.models.changes import ChangeRecord
from compliance.models.erasures import Erasure
from compliance.models.hits import WordHits
from compliance.models.idempotency import Idempotency
from compliance.models.insights import (
    AnalysisRun,
    InsightCount,
    InsightOpenEnd,
    InsightPlace,
    InsightQuestions,
    InsightTiming,
)
from compliance.models.journal import AuditEntry, JournalWorker, SubjectKey
from compliance.models.personal import PersonalData
from compliance.models.subscriptions import WordExceptions, WordListSubscription
from compliance.models.tree import Checkpoint, PruneStatement, TreeCursor, TreeHead, TreeNode, TreeRun
from compliance.models.usage import UsageRow, UsageTiming, UsageTotal
from compliance.models.words import SensitiveWordList, WordListVersion

__all__ = [
    "AnalysisRun",
    "AuditEntry",
    "ChangeRecord",
    "Checkpoint",
    "Erasure",
    "Idempotency",
    "InsightCount",
    "InsightOpenEnd",
    "InsightPlace",
    "InsightQuestions",
    "InsightTiming",
    "JournalWorker",
    "PersonalData",
    "PruneStatement",
    "SensitiveWordList",
    "SubjectKey",
    "TreeCursor",
    "TreeHead",
    "TreeNode",
    "TreeRun",
    "UsageRow",
    "UsageTiming",
    "UsageTotal",
    "WordExceptions",
    "WordHits",
    "WordListSubscription",
    "WordListVersion",
]
