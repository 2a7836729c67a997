"""The description of `/api/audit`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from access.answers import AuditTurnAnswer
from access.management.audit import AuditPage, ChangeLines, CheckpointPage, ExportBody, SearchBody
from access.management.audit_sessions import SessionChangeLines
from access.management.jobs import JobAnswer
from access.operations import MANAGE_ERRORS, Operation

AUDIT_TEXT = (
    "The caller's own turns; with the scope `audit` those of the whole tenant. What `model`, `instance`, `state`, "
    "`verdict`, `list` and `edge` ask for is looked for in so many turns a page and no more: a page may be short, or "
    "empty, and still have a `next`."
)
AUDIT_JOB_TEXT = "Queues a job: poll `/api/jobs/{id}`, then read its `result_url`. One at a time for a tenant."
AUDIT_QUERY = (
    ("from", "string", "Unix seconds or ISO 8601."),
    ("to", "string", "Before that."),
    ("user", "string", "A member's id, or `key:<id>` and what a key's caller named after it."),
    ("key", "integer", "An API key's id."),
    ("session", "string", "A session's id."),
    ("model", "string", "What was asked for or what answered."),
    ("instance", "string", "What answered, or would have."),
    ("state", "string", "`completed refused failed cancelled aborted in_flight`."),
    ("verdict", "string", "What sensitive words said: `any block mask record`."),
    ("list", "string", "The name of the list that did."),
    ("edge", "string", "Such as `rest`, `openai` or `websocket`."),
    ("before", "string", "`next` of the page before."),
    ("limit", "integer", "1 to 200; 50 unless told."),
)
CHANGES_QUERY = (
    *AUDIT_QUERY[:2],
    ("actor", "string", "Such as `operator:1`, `key:7` or `command:loadwords`."),
    ("model", "string", "What kind of row, such as `routing.routingrule`."),
    ("row", "string", "Its id."),
    ("action", "string", "`created changed deleted`."),
    *AUDIT_QUERY[-2:],
)
SESSION_CHANGES_QUERY = (
    *AUDIT_QUERY[:2],
    ("session", "string", "The id of one."),
    ("user", "string", "Whose session, as it was recorded."),
    (
        "action",
        "string",
        "`patched deleted expired snapshot tagged restored branched summarised unsummarised withdrawn`.",
    ),
    *AUDIT_QUERY[-2:],
)

AUDIT_OPERATIONS: Final[dict[str, Sequence[Operation]]] = {
    "/api/audit": [
        Operation(method="get", summary="Recorded turns, newest first", text=AUDIT_TEXT, answer=AuditPage,
                  query=AUDIT_QUERY, errors=(400, *MANAGE_ERRORS)),
    ],
    "/api/audit/changes": [
        Operation(method="get", summary="Changes of the tenant's configuration, newest first", answer=ChangeLines,
                  query=CHANGES_QUERY, errors=(400, *MANAGE_ERRORS),
                  text="Who changed which row, and what it was before and after. There within seconds."),
    ],
    "/api/audit/sessions": [
        Operation(method="get", summary="What was done to sessions besides turns, newest first",
                  answer=SessionChangeLines, query=SESSION_CHANGES_QUERY, errors=(400, *MANAGE_ERRORS),
                  text="Names, profiles, deletions, snapshots, restores, branches and summaries: who, when, what."),
    ],
    "/api/audit/checkpoints": [
        Operation(method="get", summary="Signed checkpoints of the tenant's journal, newest first",
                  answer=CheckpointPage, errors=MANAGE_ERRORS),
    ],
    "/api/audit/search": [
        Operation(method="post", summary="Find a text in what was asked and answered", body=SearchBody,
                  answer=JobAnswer, status=202, text=AUDIT_JOB_TEXT, errors=(400, 429, *MANAGE_ERRORS)),
    ],
    "/api/audit/exports": [
        Operation(method="post", summary="Export recorded turns", body=ExportBody, answer=JobAnswer, status=202,
                  text=AUDIT_JOB_TEXT, errors=(400, 429, *MANAGE_ERRORS)),
    ],
    "/api/audit/{turn_id}": [
        Operation(method="get", summary="The whole record of a turn", answer=AuditTurnAnswer,
                  errors=(404, *MANAGE_ERRORS)),
    ],
}  # fmt: skip
