"""kill -9 in the middle of the load: what was acknowledged is there, and the harness that says so can say no."""

import asyncio
import subprocess
import sys

import pytest

from benchmarks.journal_kill import journalled
from clawdbot_site.selftest.ledger import Found, Ledger, Line, compare, rounds
from compliance.journal.slots import claim
from compliance.journal.sqlite import SqliteStore
from tests.compliance.journals import KEYS, kinds

# Prints the id of a turn after each acknowledgement, 16 turns at a time, for as long as it is let.
WRITER = """
import asyncio, sys
from pathlib import Path
from tests.compliance.journals import completion, intent, writer_on

async def client(writer):
    while True:
        asked = intent()
        await writer.intent(asked)
        print("intent", asked.turn_id, flush=True)
        await writer.completion(completion(asked))
        print("completed", asked.turn_id, flush=True)

async def main():
    writer = writer_on(Path(sys.argv[1]), sys.argv[2])
    await writer.start()
    await asyncio.gather(*(client(writer) for _ in range(16)))

asyncio.run(main())
"""

# Answers in the OpenAI form, by the rule: no first byte without an intent, no last one without a completion.
GATEWAY = """
import asyncio, json, sys
from pathlib import Path
from aiohttp import web
from tests.compliance.journals import completion, intent, writer_on
from engine.types import Message

async def chat(request):
    asked = await request.json()
    started = intent(messages=[Message(**asked["messages"][0])])
    journal, text = request.app["journal"], "answer to " + started.turn_id
    await journal.intent(started)
    if not asked["stream"]:
        await journal.completion(completion(started, text=text))
        return web.json_response({"choices": [{"message": {"role": "assistant", "content": text}}]})
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for piece in (text[:9], text[9:]):
        chunk = json.dumps({"choices": [{"delta": {"content": piece}}]})
        await response.write(b"data: " + chunk.encode() + b"\\n\\n")
        await asyncio.sleep(0.002)
    await journal.completion(completion(started, text=text))
    await response.write(b"data: [DONE]\\n\\n")
    return response

async def main():
    app = web.Application()
    app["journal"] = writer_on(Path(sys.argv[1]), sys.argv[2])
    await app["journal"].start()
    app.router.add_post("/v1/chat/completions", chat)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", int(sys.argv[3]), reuse_address=True)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.fixture
def start():
    """`start(script, *arguments)`: a Python process that is killed after the test at the latest."""
    started = []

    def run(script, *arguments):
        command = [sys.executable, "-c", script, *map(str, arguments)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def test_it_has_every_acknowledged_entry_after_a_kill(journal_file, start):
    acknowledged: dict[str, set[str]] = {"intent": set(), "completed": set()}
    for number in range(3):
        process = start(WRITER, journal_file, f"w{number}")
        lines = [process.stdout.readline() for _ in range(150 + 50 * number)]
        process.kill()
        lines += process.stdout.readlines()  # what it could say before it died, up to a torn last line
        for line in lines:
            kind, _, turn_id = line.strip().partition(" ")
            if len(turn_id) == 32:
                acknowledged[kind].add(turn_id)
        process.wait()
    store = SqliteStore(claim(journal_file), "last")
    store.open()
    store.close(finished=True)
    found = kinds(journal_file)
    assert len(acknowledged["intent"]) > 300
    assert acknowledged["intent"] <= set(found)
    assert all(found[turn_id] == ["intent", "completed"] for turn_id in acknowledged["completed"])
    assert {tuple(entries) for entries in found.values()} <= {("intent", "completed"), ("intent", "aborted")}


async def test_it_has_every_answer_of_a_killed_server(journal_file, start):
    async def begin(port=0):
        process = start(GATEWAY, journal_file, "web", port)
        return process, int(await asyncio.to_thread(process.stdout.readline))

    process, port = await begin()

    async def crash():
        nonlocal process
        process.kill()
        await asyncio.to_thread(process.wait)
        process, _ = await begin(port)

    ledger = await rounds(base_url=f"http://127.0.0.1:{port}", key="k", crash=crash, count=2, seconds=0.3, clients=16)
    verdict = compare(ledger, *journalled(journal_file, KEYS.get))
    assert verdict.kept, str(verdict)
    assert verdict.answered > 50
    assert {line.stream for line in ledger.lines.values() if line.terminal} == {True, False}


def test_it_notices_answers_that_have_no_record():
    marks = [f"ledger-{number:032x}" for number in range(4)]
    by_mark = {
        marks[1]: Found("t1", state="aborted"),
        marks[2]: Found("t2", state="completed", text="one thing"),
        marks[3]: Found("t3", state="completed", text="same"),
    }
    texts = ["a", "b", "another", "same"]
    lines = {
        mark: Line(stream=False, first_byte=True, terminal=True, text=text)
        for mark, text in zip(marks, texts, strict=True)
    }
    verdict = compare(Ledger(lines=lines), by_mark, 0)
    assert not verdict.kept
    assert verdict.without_intent == [marks[0]]
    assert verdict.without_completion == marks[:2]
    assert verdict.other_text == [marks[2]]
