"""Django's backend for PostgreSQL, on which a statement runs as whom `tenants.walls` says.

The connection remembers as whom it stands; only a statement for somebody else is preceded by another that changes it,
so requests of one tenant one after the other cost nothing, and nothing of a request is left to the next one, however
it ended. PostgreSQL takes such a change back with the transaction it was made in; then nobody knows, and the next
statement says it again.

The wall is for the program's own mistakes, a filter that was forgotten. Whoever can run SQL of their own can take the
role off. A pooler that hands connections from one transaction to another (PgBouncer's `transaction` mode) must not
stand between: what is said holds for a connection."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from django.db.backends.postgresql import base

from tenants import walls

log = logging.getLogger(__name__)

UNKNOWN: Final = object()
_STAND: Final = "SELECT set_config('role', %s, false), set_config(%s, %s, false)"
_USABLE: Final = f"SELECT {walls.MAY_BECOME} AND NOT rolsuper AND NOT rolbypassrls FROM pg_roles WHERE rolname = %s"  # noqa: S608
# They neither read nor change a row; the first of them is all that a broken transaction still takes.
_FREE: Final = ("ROLLBACK", "SAVEPOINT", "RELEASE")

_unwalled: set[str] = set()


class DatabaseWrapper(base.DatabaseWrapper):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._stands_for: object = None
        self._in_doubt = False
        self._usable: bool | None = None
        self.execute_wrappers.append(self._execute_walled)

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        connection = super().get_new_connection(conn_params)
        self._stands_for = UNKNOWN if self.settings_dict["OPTIONS"].get("pool") else None
        self._in_doubt, self._usable = False, None
        return connection

    def _execute_walled(self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
        wanted = walls.current()
        if wanted != self._stands_for and not (isinstance(sql, str) and sql.startswith(_FREE)):
            self._stand_for(wanted)
        return execute(sql, params, many, context)

    def _stand_for(self, tenant_id: int | None) -> None:
        with self.wrap_database_errors, self.connection.cursor() as cursor:
            if tenant_id is not None and not self._has_role(cursor):
                self._warn()
            else:
                role = "none" if tenant_id is None else walls.ROLE
                cursor.execute(_STAND, [role, walls.SETTING, "" if tenant_id is None else str(tenant_id)])
        self._stands_for = tenant_id
        self._in_doubt = self._in_doubt or self.in_atomic_block or not self.get_autocommit()

    def _has_role(self, cursor: Any) -> bool:
        """Asked once a connection."""
        if self._usable is None:
            cursor.execute(_USABLE, [walls.ROLE])
            found = cursor.fetchone()
            self._usable = bool(found and found[0])
        return self._usable

    def _warn(self) -> None:
        """Once a process and database: the first wall stands alone, as `manage.py rowsecurity --check` says too."""
        if self.alias not in _unwalled:
            _unwalled.add(self.alias)
            log.warning("the database %s has no usable role %s: see docs/isolation.md", self.alias, walls.ROLE)

    # What takes back, or may take back, where the connection stands -------------------------------------------------

    def _commit(self) -> Any:
        try:
            return super()._commit()  # that of a transaction that is broken rolls back
        finally:
            self._doubt()

    def _rollback(self) -> Any:
        try:
            return super()._rollback()
        finally:
            self._doubt()

    def _savepoint_rollback(self, sid: str) -> None:
        try:
            super()._savepoint_rollback(sid)
        finally:
            if self._in_doubt:
                self._stands_for = UNKNOWN

    def _doubt(self) -> None:
        if self._in_doubt:
            self._stands_for, self._in_doubt = UNKNOWN, False
