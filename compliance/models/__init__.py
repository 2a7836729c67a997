"""The tables of compliance: the journal (on its own database) and, beside it, the word lists."""

from compliance.models.changes import ChangeRecord
from compliance.models.erasures import Erasure
from compliance.models.journal import AuditEntry, JournalWorker, SubjectKey
from compliance.models.tree import Checkpoint, PruneStatement, TreeCursor, TreeHead, TreeNode, TreeRun
from compliance.models.words import SensitiveWordList

__all__ = [
    "AuditEntry",
    "ChangeRecord",
    "Checkpoint",
    "Erasure",
    "JournalWorker",
    "PruneStatement",
    "SensitiveWordList",
    "SubjectKey",
    "TreeCursor",
    "TreeHead",
    "TreeNode",
    "TreeRun",
]
