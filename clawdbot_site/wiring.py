"""The one place that knows everybody: builds the engine and its parts once a process and hands them down.

application = Application()          # nothing is opened yet
await application.startup()          # compiles the configuration, opens the journal, starts the threads
... application.app is the ASGI callable ...
await application.drain(); await application.shutdown()
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from django.conf import settings
from django.utils.module_loading import import_string

from access.asgi import App, Receive, Scope, Send
from access.authentication import Authenticator
from access.connections import Connections
from access.console.bridge import EngineBridge, LiveParts, SessionParts, bridged
from access.gateway import Gateway
from access.generations import Generations
from access.heartbeats import Heartbeats
from access.instance_states import INSTANCES, broken, states
from access.live_turns import LiveTurns
from access.management.rows import Rows
from access.metrics import Metrics
from access.metrics.standing import Platform, watch
from access.parts import Parts
from access.plugin_states import PLUGINS
from access.plugin_states import states as plugin_states
from access.resuming import Resuming
from access.tickets import Tickets
from access.turns import Canceller, RunningTurns
from access.visiting import Visiting
from access.watching import Watching
from clawdbot_site import readiness
from clawdbot_site.telemetry import opening
from compliance.compiling import compile_guard
from compliance.guard import GuardTable, WordGuard
from compliance.hits import HitCounter, HitWriter
from compliance.journal.idempotency import IdempotencyReader
from compliance.journal.opening import open_journal
from compliance.journal.reader import JournalReader
from compliance.journal.session_past import JournalPast
from compliance.journal.writer import JournalWriter
from compliance.personal.privacy import PersonalPrivacy, PersonalTable
from compliance.personal.switches import compile_personal
from compliance.sealing.forgetting import Forgotten
from compliance.sealing.sealer import Sealer
from compliance.sealing.vault import SubjectVault
from compliance.usage.spending import UsageReader
from engine.engine import Engine
from engine.outbound import Clients, HttpClient
from engine.queueing import Patience, Queue
from engine.snapshots import Cell
from engine.worker import Worker
from plugins.activations import compile_plugins
from plugins.active import PluginTable
from plugins.chain import PluginChain
from plugins.intents.live import LIVE, compile_intents
from plugins.lifecycle import close as close_plugins
from plugins.lifecycle import close_replaced as close_replaced_plugins
from routing.notices import NoticeBoard
from routing.probing import Prober
from routing.router import RuleRouter
from routing.snapshot import close_replaced, compile_routing
from routing.table import RoutingTable
from sessions_app.archive import Archive
from sessions_app.browsing import SessionBrowser
from sessions_app.changing import SessionChanges
from sessions_app.desk import SessionDesk
from sessions_app.finding import Finder
from sessions_app.leases import Leases
from sessions_app.recovery import SessionRecovery
from sessions_app.sight import Sight
from sessions_app.snapshots import SessionSnapshots
from sessions_app.store import AfterAppend, OpenSession, SessionStore
from sessions_app.streams import EventStore
from sessions_app.summarising import Summaries
from sessions_app.versions import SessionVersions
from sessions_app.windows import Windows
from tenants.addresses import numbered
from tenants.answers import AnswerStore
from tenants.asking import Asking
from tenants.bus import Bus
from tenants.credentials import Credentials
from tenants.directory import TenantTable, compile_tenants
from tenants.isolation import PLATFORM_DATABASE, Stores
from tenants.keyring import KeyTable
from tenants.limits import Limits
from tenants.limits.quotas import AllowanceTable, compile_allowances
from tenants.limits.standing import tenant_standing
from tenants.live import LiveConfig
from tenants.origins import Origins
from tenants.proxies import TrustedProxies
from tenants.stored_keys import compile_keys
from tenants.tokens import TokenVerifier
from tenants.valkey import Connection
from tenants.visitor_limits import VisitorLimits
from tenants.visitor_tickets import VisitorTickets

LINES = 4  # times as many turns as one tenant's may wait for the same places in all
# By name, since aiohttp takes six MiB of whoever loads it.
HTTP_CLIENTS = {"direct": "engine.http1.DirectClient", "aiohttp": "engine.aiohttp_client.AiohttpClient"}


class Application:
    """What a worker serves (`clawdbot_site.serving.server.Served`). Making it opens nothing."""

    def __init__(self, django: App, kind: str = "web") -> None:
        """`kind`: `web` or `grpc`."""
        self._kind = kind
        self.tenants: Cell[TenantTable] = Cell(TenantTable(by_id={}, by_slug={}))
        self.allowances: Cell[AllowanceTable] = Cell(AllowanceTable())
        self._routes: Cell[RoutingTable] = Cell(RoutingTable())
        self._words: Cell[GuardTable] = Cell(GuardTable())
        self._personal: Cell[PersonalTable] = Cell(PersonalTable())
        self._plugins: Cell[PluginTable] = Cell(PluginTable())
        self._tenant_keys: Cell[KeyTable] = Cell({})
        self.sealer = Sealer(self._tenant_keys)
        self.live = LiveConfig(settings.VALKEY_NODES[0])
        self.credentials = Credentials()
        self.origins = Origins(self.tenants, settings.CORS_ORIGINS)
        self.visitor_tickets = VisitorTickets(settings.SIMPLE_JWT)
        self.authenticator = Authenticator(
            self.credentials,
            TokenVerifier(settings.SIMPLE_JWT),
            self.tenants,
            TrustedProxies(settings.TRUSTED_PROXIES),
            tickets=self.visitor_tickets,
            origins=self.origins,
        )
        make: Callable[..., HttpClient] = import_string(HTTP_CLIENTS[settings.HTTP_CLIENT])
        self.http = Clients(*(opening.client(partial(make, private=private)) for private in (False, True)))
        self.metrics = Metrics(tenants=settings.METRICS_TENANTS, names=settings.METRICS_NAMES)
        self.watch_connections = partial(self.metrics.watch_connections, "web")  # a web worker's
        self.reader = JournalReader()
        self.spending = UsageReader()
        self.past = JournalPast(lambda tenant_id: self._tenant_keys.value.get(tenant_id))
        self.archive = Archive(SubjectVault())
        self.once = IdempotencyReader(self._tenant_keys)
        self._hits = HitCounter()
        self.hit_writer = HitWriter(self._hits)
        self.rows, self.trials, self.dry_runs = Rows(), Rows(1), Rows(1)
        self._django = django
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started = False
        self._draining = self._replaced = False
        self._register()
        self._serve: App = _not_started

    def _register(self) -> None:
        """Which rows become which snapshot, and when: `tenants.live` calls these in its threads."""
        for section in ("tenant_keys", "tenants"):  # before the tenants: a new one is known once it can be recorded
            self.live.register(section, compile_keys, self._tenant_keys.swap)
        self.live.register("tenants", compile_tenants, self.tenants.swap)
        self.live.register("allowances", compile_allowances, self.allowances.swap, slow=True)
        self.live.register("routing", self._compile_routes, self._swap_routes, slow=True)
        self.live.register("guard", lambda: compile_guard(self._words.value), self._words.swap, slow=True)
        self.live.register("personal", compile_personal, self._personal.swap)
        self.live.register("plugins", lambda: compile_plugins(self._plugins.value), self._swap_plugins, slow=True)
        self.live.register("intents", lambda: compile_intents(LIVE.value), LIVE.swap, slow=True)
        self.live.register("erasures", Forgotten().compile, self.sealer.forget)
        self.credentials.register(self.live)

    def _compile_routes(self) -> RoutingTable:
        return compile_routing(self._routes.value, self.http, timeout=settings.MODEL_TIMEOUT, workers=settings.WORKERS)

    def _swap_routes(self, table: RoutingTable) -> None:
        replaced = self._routes.value
        self._routes.swap(table)
        if self._loop is not None:
            asyncio.run_coroutine_threadsafe(close_replaced(replaced, table), self._loop)

    def _swap_plugins(self, table: PluginTable) -> None:
        replaced = self._plugins.value
        self._plugins.swap(table)
        if self._loop is not None:
            asyncio.run_coroutine_threadsafe(close_replaced_plugins(replaced, table), self._loop)

    def _visiting(self) -> Visiting:
        limits = VisitorLimits(self.stores.platform())
        return Visiting(self.tenants, self.visitor_tickets, self.origins, self.authenticator.address, limits)

    def _worker(self) -> Worker:
        patience = Patience(settings.MAX_WAIT, settings.MAX_WAITING, settings.MAX_WAITING * LINES)
        queue = Queue(patience=patience, share=self._share, meter=self.metrics)
        self.metrics.watch_queue(queue.waiting)
        return Worker(queue, max_turns=settings.MAX_TURNS)

    async def startup(self) -> None:
        """Raises what keeps a worker from starting: no database, an unusable journal."""
        self._loop = loop = asyncio.get_running_loop()
        self.telemetry = opening.open_telemetry()
        await asyncio.to_thread(self.live.load)
        self.journal: JournalWriter = await asyncio.to_thread(open_journal, self.sealer)
        self.journal.observe = self.metrics.commit
        self.metrics.watch_journal(lambda: self.journal.waiting)
        await self.journal.start()
        self.stores = Stores(settings.VALKEY_NODES, self.tenants)
        self.channels = Connection(settings.CHANNEL_URL)
        self.limits = Limits(
            self.stores, self.tenants, self.allowances, spending=self.spending, portions=settings.LIMIT_PORTIONS
        )
        self.bus = Bus(self.stores.platform(), *(numbered(node, PLATFORM_DATABASE) for node in settings.VALKEY_NODES))
        recovery = SessionRecovery(self.stores, self.past, archive=self.archive)
        await self.archive.warm()
        finder = Finder(self.stores, self.tenants, session_ttl=settings.SESSION_TTL, recovery=recovery)
        windows = Windows(share=settings.SUMMARY_PERCENT / 100)
        self.sessions = SessionStore(finder, Leases(self.stores, self.bus), windows)
        changes = SessionChanges(finder, self.journal, self.past)
        desk = SessionDesk(finder, changes, self.archive, self.past)
        self.snapshots = SessionSnapshots(finder, changes, every=settings.SNAPSHOT_EVERY)
        versions = SessionVersions(finder, self.sessions, changes, self.past)
        self.sessions.fork = versions.fork
        self.notices = NoticeBoard(self.stores.platform(), self._routes)
        self.prober = Prober(self.stores.platform(), self._routes, tell=self.notices.tell)
        router = RuleRouter(self._routes, tell=self.notices.tell, share=self._share, meter=self.metrics)
        self.answers = AnswerStore(self.stores, self.tenants)
        self.plugins = PluginChain(self._plugins, meter=self.metrics)
        self.engine = Engine(
            limiter=self.limits,
            sessions=self.sessions,
            guard=WordGuard(self._words, self._hits),
            plugins=self.plugins,
            router=router,
            journal=self.journal,
            meter=self.metrics,
            answers=self.answers,
            privacy=PersonalPrivacy(self._personal, self.metrics.masked),
            once=self.once,
            worker=self._worker(),
            tracer=self.telemetry.tracer,
            interval=self._stream_interval,
        )
        self.summaries = Summaries(finder, changes, self.engine.complete)
        self.sessions.after_append = _each(self.snapshots.after_append, self.summaries.after_append)
        running = RunningTurns()
        watching = Watching(self.channels)
        self.generations = Generations(
            self.engine,
            running,
            grace=self._resume_grace,
            shelf=EventStore(self.stores),
            begun=watching.tell,
        )
        canceller = Canceller(running, self.reader.turn, self.bus.tell)
        self.bus.on("cancel", canceller.heard)
        self.bus.on("reader", self.generations.heard)
        resuming = Resuming(self.generations, self.reader.turn, self.bus.tell)
        live = self._live(running, resuming, canceller, router)
        self.connections = Connections(self.authenticator)
        self.parts = parts = Parts(
            engine=self.engine,
            running=running,
            generations=self.generations,
            resuming=resuming,
            canceller=canceller,
            watching=watching,
            authenticator=self.authenticator,
            connections=self.connections,
            visiting=self._visiting(),
            origins=self.origins,
            sessions=desk,
            versions=versions,
            snapshots=self.snapshots,
            summaries=self.summaries,
            sight=Sight(finder, windows, router),
            answers=self.answers,
            limits=partial(tenant_standing, self.limits),
            router=router,
            read_turn=self.reader.turn,
            tickets=Tickets(self.stores.platform()),
            metrics=self.metrics,
            observer=self.telemetry.observer,
            rows=self.rows,
            trials=self.trials,
            dry_runs=self.dry_runs,
            words=self._words,
        )
        starting = (self.credentials, self.hit_writer, self.live, self.notices, self.bus, self.heartbeats, self.prober)
        for each in starting:
            each.start()
        self._visits = loop.create_task(parts.visiting.keep_watch(running))
        self.health = health = readiness.health(
            started=lambda: self._started,
            accepts=self.ready,
            journal=self.journal,
            store=self.stores.platform(),
            routes=self._routes,
        )
        shown = SessionParts(desk, versions, self.snapshots, SessionBrowser(self.stores))
        bridge = EngineBridge(self.engine, loop, self._routes, self.answers, self._words, shown, live, parts.limits)
        django = bridged(self._django, bridge)
        self._serve = Gateway(
            parts, django=django, lifespan=django, health=health, metrics_token=settings.METRICS_TOKEN
        )
        self._started = True

    def _live(self, running: RunningTurns, resuming: Resuming, canceller: Canceller, router: RuleRouter) -> LiveParts:
        asking = Asking(self.bus)
        asking.answers(INSTANCES, states(self._routes))
        asking.answers(PLUGINS, plugin_states(self.plugins))
        watch(self.metrics, self._routes, Platform(self.stores, self.tenants, self.limits), running.__len__)
        self.metrics.start(settings.VAR_DIR / "metrics", self._kind, settings.VERSION)
        told = partial(self._counts, running), broken(self._routes)
        self.heartbeats = Heartbeats(self.stores.platform(), self.bus.worker, settings.VERSION, *told)
        turns = LiveTurns(running, asking, self.heartbeats, resuming, canceller)
        return LiveParts(turns, self.generations, asking, router, self.reader.turn)

    def _counts(self, running: RunningTurns) -> tuple[int, int, int]:
        """Turns that are answered, turns that wait for it, entries that wait for the journal."""
        all_of_them = len(list(running))
        return len(running), all_of_them - len(running), self.journal.waiting.spooled

    def _share(self, tenant_id: int) -> float:
        """A tenant's weight among those who wait for the same place."""
        view = self.tenants.value.by_id.get(tenant_id)
        return view.share if view is not None else 1

    def _resume_grace(self, tenant_id: int) -> float:
        """Seconds."""
        view = self.tenants.value.by_id.get(tenant_id)
        own = view.resume_grace if view is not None else None
        return settings.RESUME_GRACE if own is None else own

    def _stream_interval(self, tenant_id: int) -> int:
        """Milliseconds."""
        view = self.tenants.value.by_id.get(tenant_id)
        return view.stream_interval if view is not None else 0

    def app(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """The ASGI callable. No coroutine of its own: a stream would keep it as long as it lasts."""
        return self._serve(scope, receive, send)

    def ready(self) -> bool:
        """Whether work may be sent to where this process listens: while it drains it may where others take it over."""
        return self._started and (not self._draining or self._replaced)

    async def drain(self, *, replaced: bool = False) -> None:
        """Readiness is false from the call on, unless others listen in its place (`replaced`); returns when no turn is
        running and all are recorded."""
        self._draining, self._replaced = True, replaced
        if self._started:
            await self.summaries.stop()
            await self.engine.drain()
            await self.snapshots.drain()

    def retire(self) -> None:
        """Connections that do nothing are told to go elsewhere, the others as soon as they do nothing."""
        if self._started:
            self.connections.retire()

    async def shutdown(self) -> None:
        """Closes what `startup` opened, in the opposite order; what still waits is committed first."""
        if not self._started:
            return
        await asyncio.to_thread(self.live.stop)
        await asyncio.to_thread(self.credentials.stop)
        await self.summaries.stop()
        self._visits.cancel()
        await self.generations.stop()
        await self.engine.drain()
        await self.snapshots.drain()
        await close_plugins(self._plugins.value.loaded(), wait=1.0)
        await self.prober.stop()
        await self.notices.stop()
        await self.heartbeats.stop()
        await self.bus.stop()
        self.limits.close()
        self.sessions.stop()
        await self.http.close()
        await self.channels.close()
        await self.stores.close()
        await self.journal.stop()
        await self.telemetry.close()
        await asyncio.to_thread(self.reader.close)
        await asyncio.to_thread(self.spending.close)
        await asyncio.to_thread(self.past.close)
        await asyncio.to_thread(self.archive.close)
        await asyncio.to_thread(self.once.close)
        await asyncio.to_thread(self.hit_writer.stop)
        await asyncio.to_thread(self.rows.close)
        await asyncio.to_thread(self.trials.close)
        await asyncio.to_thread(self.dry_runs.close)
        await self.metrics.stop()


def _each(*told: AfterAppend) -> AfterAppend:
    def after_append(session: OpenSession, version: int) -> None:
        for tell in told:
            tell(session, version)

    return after_append


async def _not_started(scope: Scope, receive: Receive, send: Send) -> None:
    raise RuntimeError("the application has not started")
