"""The description of `/api/words`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from access.management.word_choices import ExceptionsAnswer, ExceptionsBody, ExceptionsPatch, SubscriptionBody
from access.management.word_trials import HitsAnswer, WordTestAnswer, WordTestBody
from access.management.word_versions import DifferenceAnswer, RollbackBody, VersionDetail, VersionPage
from access.management.words import WordListAnswer, WordListBody, WordListDetail, WordListPage, WordListPatch
from access.operations import MANAGE_ERRORS, Operation

LIST_TEXT = (
    "Live in every worker within a second. A list goes through the stages `record`, `mask`, `block`; every save is a "
    "version. At most 100 lists a tenant, 100,000 words a list and 300,000 together; one request takes up to 4,096 "
    "words, `/api/words/{id}/import` more."
)
FILES = ("text/plain", "text/csv")
CHANGES = (400, 404, *MANAGE_ERRORS)
READS = (404, *MANAGE_ERRORS)
PERIOD = (("days", "integer", "1 to 90; 14 unless told."),)
PAIR = (
    ("before", "integer", "A version; unless told the one before `after`."),
    ("after", "integer", "A version; unless told the last one."),
)

WORD_OPERATIONS: Final[dict[str, Sequence[Operation]]] = {
    "/api/words": [
        Operation(method="get", summary="The tenant's word lists, and the platform's it can have", answer=WordListPage,
                  errors=MANAGE_ERRORS),
        Operation(method="post", summary="Make a word list of the tenant's own", text=LIST_TEXT, body=WordListBody,
                  answer=WordListDetail, status=201, errors=(400, *MANAGE_ERRORS)),
    ],
    "/api/words/exceptions": [
        Operation(method="get", summary="What the tenant lets pass", answer=ExceptionsAnswer, errors=MANAGE_ERRORS),
        Operation(method="put", summary="Put others in their place", body=ExceptionsBody, answer=ExceptionsAnswer,
                  errors=(400, *MANAGE_ERRORS), text="At most 10,000."),
        Operation(method="patch", summary="Add and remove some", body=ExceptionsPatch, answer=ExceptionsAnswer,
                  errors=(400, *MANAGE_ERRORS)),
    ],
    "/api/words/test": [
        Operation(method="post", summary="What would word lists do with a text?", body=WordTestBody,
                  answer=WordTestAnswer, errors=(400, 404, 429, *MANAGE_ERRORS), text="Nothing is sent or written."),
    ],
    "/api/words/{list_id}": [
        Operation(method="get", summary="A word list", answer=WordListDetail, errors=READS),
        Operation(method="put", summary="Put another list in its place", body=WordListBody, answer=WordListDetail,
                  errors=CHANGES, text="What is left out gets its default."),
        Operation(method="patch", summary="Change a word list", body=WordListPatch, answer=WordListDetail,
                  errors=CHANGES, text="What is absent stays."),
        Operation(method="delete", summary="Delete a word list and its versions", status=204, errors=READS),
    ],
    "/api/words/{list_id}/versions": [
        Operation(method="get", summary="Its versions", answer=VersionPage, errors=READS),
    ],
    "/api/words/{list_id}/versions/{version}": [
        Operation(method="get", summary="One of them, with its words", answer=VersionDetail, errors=READS),
    ],
    "/api/words/{list_id}/diff": [
        Operation(method="get", summary="What changed between two versions", answer=DifferenceAnswer, query=PAIR,
                  errors=CHANGES),
    ],
    "/api/words/{list_id}/rollback": [
        Operation(method="post", summary="Bring back an earlier version, as a new one", body=RollbackBody,
                  answer=WordListDetail, errors=CHANGES, text="Its words, stage, direction and switches."),
    ],
    "/api/words/{list_id}/promote": [
        Operation(method="post", summary="On to the next stage", answer=WordListDetail, errors=CHANGES),
    ],
    "/api/words/{list_id}/subscription": [
        Operation(method="put", summary="Subscribe to a list of the platform's", body=SubscriptionBody,
                  answer=WordListAnswer, errors=CHANGES),
        Operation(method="delete", summary="Have it no longer", status=204, errors=READS),
    ],
    "/api/words/{list_id}/import": [
        Operation(method="post", summary="Its words from a file", takes=FILES, answer=WordListAnswer,
                  query=(("mode", "string", "`replace` (unless told) or `add`."),), errors=(413, *CHANGES),
                  text="UTF-8: one word a line, or CSV, whose first column counts."),
    ],
    "/api/words/{list_id}/export": [
        Operation(method="get", summary="Its words as a file", gives=FILES, errors=CHANGES,
                  query=(("format", "string", "`text` (unless told) or `csv`."),)),
    ],
    "/api/words/{list_id}/hits": [
        Operation(method="get", summary="How often its entries were found in the tenant's turns", answer=HitsAnswer,
                  query=PERIOD, errors=CHANGES),
    ],
}  # fmt: skip
