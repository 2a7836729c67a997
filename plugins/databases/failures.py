"""Why a question gets no rows."""

from __future__ import annotations


class Refused(ValueError):
    """The query may not run. `code` is stable: `too_long`, `syntax`, `statement`, `construct`, `function`, `table`,
    `column`, `limit`, `cost`; the text says more, in English, for the model to mend it."""

    def __init__(self, code: str, text: str) -> None:
        self.code = code
        super().__init__(text)


class QueryFailed(Exception):
    """It did not run to its end. `code`: `database_error` (the text is the database's own, for the model to mend the
    query), `too_slow`, `database_unreachable`."""

    def __init__(self, code: str, text: str) -> None:
        self.code = code
        super().__init__(text)
