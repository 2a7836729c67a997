"""Asks a running product what its own description says can be asked, and holds the answers to it: right and wrong
values, real ids and nonsense, as a member, as a key, as an operator."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hypothesis
import requests
import schemathesis
import yaml
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from access.openapi import OPERATIONS

COMMITTED = Path(__file__).resolve().parents[2] / "docs" / "openapi.yaml"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
EXAMPLES = int(os.environ.get("DESCRIBED_EXAMPLES", "10"))  # of each operation
OPERATORS = "/api/tenants"
OPEN = [("post", "/api/token/"), ("post", "/api/token/refresh/")]  # Django's own urlconf knows these
_ALL = [(one.method, path) for path, found in OPERATIONS.items() for one in found] + OPEN
_ORDER = ("get", "put", "patch", "post", "delete")  # what is deleted cannot be asked for any more
ASKED = [f"{method} {path}" for method, path in sorted(_ALL, key=lambda each: (_ORDER.index(each[0]), each[1]))]


@dataclass
class Described:
    """`ids` are real ones by the names they have in paths; `headers` by who asks."""

    url: str
    headers: dict[str, dict[str, str]]
    ids: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        description = yaml.load(COMMITTED.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
        del description["security"], description["components"]["securitySchemes"]  # we bring our own
        self._operations: dict[str, APIOperation[Any, Any, Any, Any]] = {}
        for result in schemathesis.openapi.from_dict(description).get_all_operations():
            operation = result.ok()
            self._operations[f"{operation.method} {operation.path}"] = operation
        self._session = requests.Session()

    def ask(self, name: str, examples: int = EXAMPLES) -> set[int]:
        """The statuses that came. Raises what schemathesis does of an answer that is not as described."""
        operation, statuses, turns = self._operations[name], set[int](), itertools.count()
        asked = itertools.count()
        who = ["operator"] if operation.path.startswith(OPERATORS) else ["member", "key"]

        @hypothesis.settings(
            max_examples=examples,
            phases=[Phase.generate],
            database=None,
            deadline=None,
            derandomize=examples == EXAMPLES == 10,
            suppress_health_check=list(HealthCheck),
        )
        @hypothesis.given(case=self._cases(operation))
        def run(case: Any) -> None:
            known = {place: self.ids[place] for place in case.path_parameters if place in self.ids}
            if next(turns) % 3 != 2:  # else an id nobody has
                case.path_parameters = {**case.path_parameters, **known}
            headers = self.headers[who[next(asked) % len(who)]]
            answer = case.call(base_url=self.url, session=self._session, headers=headers, timeout=30)
            statuses.add(answer.status_code)
            # the schema is of the whole stream, schemathesis holds each of its events to it
            events = "text/event-stream" in str(answer.headers.get("content-type", ""))
            case.validate_response(answer, checks=CHECKS[:-1] if events else CHECKS)

        run()
        return statuses

    def _cases(self, operation: APIOperation[Any, Any, Any, Any]) -> Any:
        right = operation.as_strategy(schemathesis.GenerationMode.POSITIVE)
        if not operation.body and not operation.query:
            return right
        return st.one_of(right, operation.as_strategy(schemathesis.GenerationMode.NEGATIVE))
