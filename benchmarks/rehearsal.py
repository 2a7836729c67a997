"""A production start without a container engine: `python -m benchmarks.rehearsal` (`make prod-rehearsal`).

What deploy/docker-compose.prod.yml says is run on this machine: its commands, settings, secrets and health checks;
PostgreSQL with the product's own roles, a Valkey cluster for sessions, a broker (a standalone Valkey, or RabbitMQ
where Debian's is installed), an S3 server, nginx in front where Debian's is installed. Then: chat, stream,
WebSocket, gRPC, the console, a rolling restart of the web workers under load, backup, everything lost, restore, and
SIGTERM for all. Exit 0: every step held."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clawdbot_site.settings")

import grpc
import httpx2
import psycopg
from websockets.sync.client import connect

from access.edges.grpc.generated import chat_pb2 as pb
from tests.deploy.stage import BEHIND, Failed, Stage, ours
from tests.product.upstreams import ANSWER, upstream_in_thread
from tests.services.cluster import ValkeyCluster
from tests.services.nginx import NGINX, Nginx
from tests.services.objects import ObjectServer
from tests.services.rabbitmq import RABBITMQ, RabbitServer

SERVICE = "clawdbot.v1.ChatService"


class Rehearsal:
    def __init__(self, stage: Stage, proxy: Nginx | None) -> None:
        self.stage = stage
        self.proxy = proxy
        self.access: dict[str, str] = {}

    @property
    def url(self) -> str:
        return self.proxy.url if self.proxy else f"http://127.0.0.1:{self.stage.port}"

    def client(self) -> httpx2.Client:
        headers = {"Authorization": f"Bearer {self.access['api_key']}"}
        return httpx2.Client(base_url=self.url, headers=headers, timeout=60, trust_env=False)

    def ask(self, session: str | None = None) -> dict:
        with self.client() as client:
            body = {"message": "Hello", **({"session_id": session} if session else {})}
            answer = client.post("/api/chat", json=body)
        must(answer.status_code == 200, f"/api/chat answers {answer.status_code}: {answer.text}")
        return answer.json()

    # Steps -----------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self.stage.start(*ours())
        self.stage.wait_until_healthy("web", "grpc")
        must(self.stage.alive(*BEHIND), "the background services run")

    def first_access(self) -> None:
        self.access = json.loads(self.stage.run("web", "first-access").stdout)

    def chat(self) -> None:
        told = self.ask()
        must(told["message"]["content"] == ANSWER, "the model's answer")
        must(self.ask(told["session_id"])["session_id"] == told["session_id"], "the session goes on")

    def stream(self) -> None:
        with (
            self.client() as client,
            client.stream("POST", "/api/chat", json={"message": "Hi", "stream": True}) as told,
        ):
            kinds = [line.split(":")[1].strip() for line in told.iter_lines() if line.startswith("event:")]
        must(kinds[0] == "start" and kinds[-1] == "done", f"start to done: {kinds}")

    def socket(self) -> None:
        protocols = ["bearer", self.access["api_key"]]
        with connect(f"ws{self.url[4:]}/ws/chat", subprotocols=protocols, proxy=None) as opened:
            opened.send(json.dumps({"type": "chat", "ref": "1", "message": "Hello"}))
            while json.loads(opened.recv(timeout=60))["type"] != "done":
                pass

    def calls(self) -> None:
        port = self.proxy.grpc if self.proxy else self.stage.grpc_port
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            method = channel.unary_unary(
                f"/{SERVICE}/Chat", pb.ChatRequest.SerializeToString, pb.ChatResponse.FromString
            )
            key = (("authorization", f"Bearer {self.access['api_key']}"),)
            answer = method(pb.ChatRequest(message="Hello"), metadata=key, timeout=60, wait_for_ready=True)
        must(answer.message.content == ANSWER, "the model's answer")

    def console(self) -> None:
        with httpx2.Client(base_url=self.url, follow_redirects=True, timeout=60, trust_env=False) as client:
            page = client.get("/accounts/login/")
            must(page.status_code == 200, f"the page answers {page.status_code}")
            token = client.cookies["csrftoken"]
            form = {"login": self.access["admin_user"], "password": self.access["admin_password"]}
            form |= {"csrfmiddlewaretoken": token, "next": "/console/"}
            inside = client.post("/accounts/login/", data=form, headers={"Referer": self.url})
            must(inside.status_code == 200 and "/accounts/login" not in str(inside.url), f"signed in: {inside.url}")
            must(client.get("/console/").status_code == 200, "the console opens")

    def background(self) -> None:
        """An export and a replay: broker, both workers, journal, object storage."""
        with self.client() as client:
            form = {"username": self.access["admin_user"], "password": self.access["admin_password"]}
            token = client.post("/api/token/", json={**form, "tenant": self.access["tenant"]}).json()["access"]
            client.headers["Authorization"] = f"Bearer {token}"
            now = time.time()
            asked = {
                "/api/audit/exports": {"format": "jsonl", "filters": {}},
                "/api/route/replay": {"rules": [], "from": now - 3600, "to": now},
            }
            for path, body in asked.items():
                job = client.post(path, json=body)
                must(job.status_code == 202, f"{path} answers {job.status_code}: {job.text}")
                finish(client, job.json()["id"], path)

    def rolling_restart(self) -> None:
        """SIGHUP replaces every web worker; nobody notices."""
        before, over, bad, good = children(self.stage.pid("web")), threading.Event(), [], []

        def keep_asking() -> None:
            while not over.is_set():
                try:
                    good.append(self.ask()["id"])
                except (Failed, httpx2.HTTPError) as error:
                    bad.append(str(error))

        askers = [threading.Thread(target=keep_asking) for _ in range(4)]
        for each in askers:
            each.start()
        os.kill(self.stage.pid("web"), signal.SIGHUP)
        try:
            deadline = time.monotonic() + 120
            while set(children(self.stage.pid("web"))) & set(before):
                must(time.monotonic() < deadline, "all workers are replaced within 120 s")
                time.sleep(0.1)
        finally:
            over.set()
            for each in askers:
                each.join()
        must(not bad, f"{len(bad)} of {len(bad) + len(good)} requests failed: {bad[:1]}")

    def backup_and_restore(self) -> None:
        session = self.ask()["session_id"]
        with self.client() as client:
            before = client.get(f"/api/sessions/{session}").json()
        self.stage.run("web", "backup", "--to", "storage")
        self.stop()
        for name in ("DATABASE_URL", "JOURNAL_URL"):
            with psycopg.connect(self.stage.secret(name), autocommit=True) as lost:
                lost.execute("DROP SCHEMA public CASCADE")
                lost.execute("CREATE SCHEMA public")
        [newest] = sorted(self.backups())[-1:]
        self.stage.run("migrate")
        self.stage.run("web", "manage", "restore", f"storage:{newest}", "--force")
        self.start()
        with self.client() as client:
            after = client.get(f"/api/sessions/{session}").json()
        must(after.get("context_stack") == before["context_stack"], f"the session is the same: {after}")
        must(len(self.ask(session)["message"]["content"]) > 0, "and goes on")

    backups: Callable[[], list[str]] = list

    def stop(self) -> None:
        codes = self.stage.stop(*ours())
        must(set(codes.values()) == {0}, f"exit codes {codes}")


def finish(client: httpx2.Client, job: str, what: str) -> None:
    deadline = time.monotonic() + 120
    while (told := client.get(f"/api/jobs/{job}").json())["state"] in ("queued", "running"):
        must(time.monotonic() < deadline, f"{what} is done within 120 s")
        time.sleep(0.2)
    must(told["state"] == "done", f"{what}: {told}")
    must(client.get(f"/api/jobs/{job}/result").status_code == 200, f"{what} left a result")


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def must(true: bool, what: str) -> None:
    if not true:
        raise Failed(what)


@contextlib.contextmanager
def scene(folder: Path) -> Iterator[Rehearsal]:
    """Everything but the product's own services."""
    cluster = ValkeyCluster(folder / "cluster", databases=32)
    objects = ObjectServer(folder / "objects")
    with upstream_in_thread() as model, contextlib.ExitStack() as stack:
        stack.callback(cluster.stop)
        objects.start()
        stack.callback(objects.stop)
        broker = {}
        if RABBITMQ:
            rabbit = RabbitServer(folder / "rabbit")
            stack.callback(rabbit.stop)
            rabbit.start()
            broker = {"BROKER_URL": rabbit.url}
        stage = Stage(
            folder / "stage",
            {
                # the seed's five
                "MODEL_ENDPOINT": model.url,
                "API_KEY": "your-api-key",
                "REDIS_HOST": ",".join(f"127.0.0.1:{node.port}" for node in cluster.primaries),
                "SESSION_TTL": "3600",
                "MODEL_TIMEOUT": "30",
                **objects.environment(),
                **broker,
                "WORKERS": "2",
                "GRPC_WORKERS": "2",
                "TRUSTED_PROXIES": "127.0.0.1",
            },
        )
        stack.callback(stage.end)
        stage.prepare()
        for node in cluster.primaries:
            node.ask("CONFIG", "SET", "requirepass", stage.secret("REDIS_PASSWORD"))
        proxy = Nginx(folder / "nginx", web=stage.port, grpc=stage.grpc_port) if NGINX else None
        if proxy:
            proxy.start()
            stack.callback(proxy.stop)
        rehearsal = Rehearsal(stage, proxy)
        rehearsal.backups = lambda: [
            each["Key"]
            for each in objects.client().list_objects_v2(Bucket=objects.bucket, Prefix="backups/")["Contents"]
        ]
        yield rehearsal


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="rehearsal-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        print("nginx is in front" if NGINX else "without nginx (Debian: apt-get install nginx)", flush=True)
        print("the broker is RabbitMQ" if RABBITMQ else "the broker is Valkey, there is no rabbitmq-server", flush=True)
        with scene(folder) as rehearsal:
            steps: dict[str, Callable[[], object]] = {
                "migrate": lambda: rehearsal.stage.run("migrate"),
                "row-level security": lambda: rehearsal.stage.run("web", "manage", "rowsecurity", "--check"),
                "start": rehearsal.start,
                "first access": rehearsal.first_access,
                "chat": rehearsal.chat,
                "stream": rehearsal.stream,
                "WebSocket": rehearsal.socket,
                "gRPC": rehearsal.calls,
                "console": rehearsal.console,
                "background jobs": rehearsal.background,
                "rolling restart": rehearsal.rolling_restart,
                "backup, loss, restore": rehearsal.backup_and_restore,
                "SIGTERM": rehearsal.stop,
            }
            for step, act in steps.items():
                began = time.monotonic()
                try:
                    act()
                except (Failed, OSError, grpc.RpcError, httpx2.HTTPError, KeyError) as reason:
                    print(f"{step}: FAILED: {reason!r}", flush=True)
                    kept = Path(tempfile.mkdtemp(prefix="rehearsal-log-"))
                    for log in (rehearsal.stage.folder / "log").iterdir():
                        (kept / log.name).write_bytes(log.read_bytes())
                    print(f"what the services said is in {kept}", flush=True)
                    return 1
                print(f"{step}: {time.monotonic() - began:.1f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
