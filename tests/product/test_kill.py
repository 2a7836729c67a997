"""kill -9 of the web workers under load: no answer without its record, and what was cut is closed as aborted."""

import asyncio
import os
import signal

from benchmarks.journal_kill import journalled, keys_in
from clawdbot_site.selftest.ledger import compare, rounds
from tests.adapters.upstream import by_stream, events, streamed, whole
from tests.product.running import Product, until
from tests.product.upstreams import upstream_in_thread

CLIENTS = 16
ROUNDS = 3


async def test_it_has_a_record_of_every_answer_after_kill_9(tmp_path):
    with upstream_in_thread() as model:
        pieces = [f"piece {number}, " for number in range(10)]
        model.answers([0.02, *whole("".join(pieces))], streamed(events(*pieces), 0.005), choose=by_stream)
        with Product(tmp_path / "var", MODEL_ENDPOINT=model.url).up() as product:
            killed = []

            async def crash() -> None:
                for worker in product.workers():
                    os.kill(worker, signal.SIGKILL)
                    killed.append(worker)

            ledger = await rounds(
                base_url=product.url, key=product.key, crash=crash, count=ROUNDS, seconds=0.5, clients=CLIENTS
            )
            assert len(set(killed)) == ROUNDS
            journal = product.folder / "journal" / "journal.sqlite3"
            keys = keys_in(product.folder)
            await asyncio.to_thread(until, lambda: journalled(journal, keys)[1] == 0, "what was cut is closed", 30)
            found, still_open = journalled(journal, keys)
            verdict = compare(ledger, found, still_open)
            assert verdict.kept, str(verdict)
            assert verdict.answered > 2 * CLIENTS
            assert ledger.cut > 0, "nothing was running when the worker died: the test says nothing"
            states = {turn.state for turn in found.values()}
            assert states <= {"completed", "aborted", "cancelled", "failed"}
            assert "aborted" in states
            balance = product.manage("audit", "balance")
            assert balance.returncode == 0, balance.stdout
            assert product.ask().status_code == 200
