"""Answers questions out of the tenant's own databases.

The model is shown the allowed tables and answers with SQL; that is checked, run, and its rows are given back to the
model, which answers the question from them. See docs/databases.md."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from django.conf import settings as site
from django.utils import translation
from django.utils.translation import gettext as _
from msgspec import Meta

from engine.types import Json, Message
from plugins.base import PluginBase, PluginSettings, TurnContext, TurnResponse
from plugins.databases import wording
from plugins.databases.catalogue import Source
from plugins.databases.desk import Desk
from plugins.databases.failures import QueryFailed, Refused
from plugins.databases.services import compile_sources

MOST_REPAIRS = 2

Words = Annotated[str, Meta(min_length=1, max_length=64)]


class DatabaseSettings(PluginSettings, frozen=True, kw_only=True):
    """`sources` are names of the tenant's databases; none: all. `when` says which turns are meant: those that ask
    (`metadata.database`), those with one of `intents`, those whose text begins with `prefix`, or all; whoever asks is
    always meant. `repairs` is how often a query that was refused or failed may be mended. `visitors` of the web chat
    are meant only where this says so."""

    sources: Annotated[list[Words], Meta(max_length=50)] = []
    when: Literal["asked", "intent", "prefix", "always"] = "asked"
    intents: Annotated[list[Words], Meta(max_length=100)] = []
    prefix: Annotated[str, Meta(max_length=32)] = "/data"
    language: Literal["auto", "en", "zh"] = "auto"
    repairs: Annotated[int, Meta(ge=0, le=MOST_REPAIRS)] = MOST_REPAIRS
    visitors: bool = False


class DatabasePlugin(PluginBase):
    """One query a turn, mended at most `repairs` times; its rows are never taken for another one."""

    name = "database"
    label = "Databases"
    timeout: ClassVar[float] = 45.0
    rehearses: ClassVar[bool] = True
    Settings = DatabaseSettings
    settings: DatabaseSettings

    def __init__(self, settings: DatabaseSettings) -> None:
        super().__init__(settings)
        self._desk = Desk()

    @classmethod
    def gather(cls, tenant_id: int) -> tuple[Source, ...]:
        return compile_sources(tenant_id)

    async def close(self) -> None:
        self._desk.close()

    async def pre_process(self, context: TurnContext) -> None:
        sources = self._meant(context)
        if not sources:
            context.leave()
            return
        language = wording.language_of(context.text, self.settings.language)
        task = Message(role="system", content=wording.task(sources, language), passing=True)
        context.messages.insert(_after_system(context.messages), task)
        context.state.update(sources=[source.name for source in sources], language=language, left=self.settings.repairs)

    async def post_process(self, response: TurnResponse) -> None:
        state = response.context.state
        if state.get("answered"):
            return  # this is the answer that was made from the rows
        found = wording.found_sql(response.text)
        if found is None:
            if wording.declines(response.text) and response.rounds_left:
                state["answered"] = True
                response.ask([wording.without(state["language"])])
            return
        await self._answer(response, *found)

    async def _answer(self, response: TurnResponse, sql: str, named: str) -> None:
        state = response.context.state
        source = self._named(state, named)
        said: Json = {"source": source.name, "sql": sql}
        said["attempts"] = state["attempts"] = state.get("attempts", 0) + 1
        del response.choices[1:]  # one query a turn
        try:
            if response.context.dry_run:  # checked, and no database is asked
                checked = await self._desk.check(source, sql)
                response.metadata = {**said, "sql": checked.sql}
                return
            checked, rows = await self._desk.query(source, sql)
        except (Refused, QueryFailed) as error:
            self._failed(response, said, error)
            return
        said |= {"columns": rows.columns, "rows": rows.rows, "truncated": rows.truncated, "ms": rows.ms}
        response.metadata = {**said, "sql": checked.sql}
        state["answered"] = True
        if response.rounds_left:
            response.ask([wording.rows(rows.columns, rows.rows, rows.truncated, state["language"])])
        self._say(response, _listed(response, rows))

    def _failed(self, response: TurnResponse, said: Json, error: Refused | QueryFailed) -> None:
        """Lets the model mend its query; what the client is told where it cannot is there from the start."""
        state = response.context.state
        response.metadata = {**said, "refused": {"code": error.code, "message": str(error)}}
        mendable = error.code not in ("too_slow", "database_unreachable")
        if mendable and state["left"] > 0 and response.rounds_left:
            state["left"] -= 1
            response.ask([wording.mend(str(error), state["language"])])
        self._say(response, _sorry(response, error.code))

    def _say(self, response: TurnResponse, text: str) -> None:
        """The round, if there is one, still sees what the model said."""
        response.text = text

    def _meant(self, context: TurnContext) -> list[Source]:
        """The sources this turn may ask; none: it is not meant."""
        settings = self.settings
        if context.principal.kind == "visitor" and not settings.visitors:
            return []
        if not context.text or "response_format" in context.request.params:
            return []
        usable = [source for source in self.gathered or () if source.tables]
        usable = [source for source in usable if not settings.sources or source.name in settings.sources]
        asked = context.request.metadata.get("database")
        if asked:
            return [source for source in usable if asked is True or source.name == asked]
        return usable if self._by_itself(context) else []

    def _by_itself(self, context: TurnContext) -> bool:
        settings = self.settings
        if settings.when == "intent":
            return context.features.get("intent") in settings.intents
        if settings.when == "prefix":
            return bool(settings.prefix) and context.text.lstrip().startswith(settings.prefix)
        return settings.when == "always"

    def _named(self, state: Json, named: str) -> Source:
        """The one the model names, if it may; else the first."""
        sources: tuple[Source, ...] = self.gathered
        usable = {source.name: source for source in sources if source.name in state["sources"]}
        return usable.get(named) or next(iter(usable.values()))


def _after_system(messages: list[Message]) -> int:
    """Behind the caller's own instructions, before everything else."""
    return next((place for place, each in enumerate(messages) if each.role not in ("system", "developer")), 0)


def _listed(response: TurnResponse, rows: Any) -> str:
    with _in_language(response):
        if not rows.rows:
            return _("The database has no entries for this question.")
        return "\n".join([_("This is what the database has:"), wording.listed(rows.columns, rows.rows)])


def _sorry(response: TurnResponse, code: str) -> str:
    with _in_language(response):
        if code == "database_unreachable":
            return _("The database cannot be reached at the moment, so this question cannot be answered from it.")
        if code in ("too_slow", "cost"):
            return _("The question would take the database too long. Ask for less, such as a shorter time.")
        return _(
            "No query that is allowed could be made for this question, so it cannot be answered from the database."
        )


def _in_language(response: TurnResponse) -> Any:
    """Of the caller: what the request says, what was detected, or Chinese where Chinese is written."""
    context = response.context
    wanted = context.request.language or str(context.features.get("language") or "")
    if not wanted:
        wanted = "zh" if context.state.get("language") == "zh" else str(site.LANGUAGE_CODE)
    return translation.override("zh-hans" if wanted.lower().startswith("zh") else "en")
