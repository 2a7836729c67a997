from access.metrics import Metrics
from engine.types import Usage, Verdict


def test_it_meters_turns():
    metrics = Metrics()
    for state in ("completed", "completed", "rate_limited"):
        metrics.turn(
            tenant="acme",
            model="m",
            edge="rest",
            state=state,
            ttft=0.02 if state == "completed" else None,
            duration=0.3,
            usage=Usage(3, 5) if state == "completed" else Usage(),
        )
    text = metrics.text().decode()
    assert 'clawdbot_turns_total{edge="rest",state="completed",tenant="acme"} 2.0' in text
    assert 'clawdbot_turns_total{edge="rest",state="rate_limited",tenant="acme"} 1.0' in text
    assert 'clawdbot_tokens_total{kind="completion",model="m",tenant="acme"} 10.0' in text
    assert 'clawdbot_turn_seconds_count{edge="rest"} 3.0' in text
    assert 'clawdbot_time_to_first_token_seconds_bucket{edge="rest",le="0.025"} 2.0' in text


def test_it_counts_what_was_masked():
    metrics = Metrics()
    for kind, number in (("phone", 2), ("id_cn", 1), ("phone", 1)):
        metrics.masked(kind, number)
    text = metrics.text().decode()
    assert 'clawdbot_personal_masked_total{kind="phone"} 3.0' in text
    assert 'clawdbot_personal_masked_total{kind="id_cn"} 1.0' in text


def test_it_keeps_processes_parts_apart():
    first, second = Metrics(), Metrics()
    first.request("/api/chat", "POST", 200)
    assert b'http_requests_total{method="POST",path="/api/chat",status="200"} 1.0' in first.text()
    assert b'path="/api/chat"' not in second.text()


def test_it_meters_words_and_what_was_held_back():
    metrics = Metrics()
    found = [Verdict("house", 3, "bad", "block", "output"), Verdict("house", 3, "ugly", "block", "output")]
    metrics.guard(edge="sse", verdicts=found, held=(6, 0.02))
    metrics.guard(edge="sse", verdicts=[], held=(0, 0.0))
    metrics.guard(edge="rest", verdicts=[Verdict("house", 3, "bad", "mask", "input")], held=None)
    text = metrics.text().decode()
    assert 'clawdbot_guard_hits_total{action="block",list="house",where="output"} 2.0' in text
    assert 'clawdbot_guard_hits_total{action="mask",list="house",where="input"} 1.0' in text
    assert 'clawdbot_guard_holdback_characters_bucket{edge="sse",le="4.0"} 1.0' in text
    assert 'clawdbot_guard_holdback_characters_bucket{edge="sse",le="8.0"} 2.0' in text
    assert 'clawdbot_guard_holdback_seconds_sum{edge="sse"} 0.02' in text
    assert 'holdback_seconds_count{edge="rest"}' not in text


def test_it_counts_waits_and_refusals_for_want_of_a_place():
    metrics = Metrics()
    waiting = {"worker": 2, "instance": 0}
    metrics.watch_queue(waiting)
    metrics.waited(tenant="acme", place="instance", outcome="served", seconds=0.3)
    metrics.waited(tenant="acme", place="worker", outcome="foreseen", seconds=0.0)
    metrics.waited(tenant="acme", place="worker", outcome="left", seconds=0.1)
    waiting["instance"] = 7
    text = metrics.text().decode()
    assert 'clawdbot_waiting_turns{place="worker"} 2.0' in text
    assert 'clawdbot_waiting_turns{place="instance"} 7.0' in text
    assert 'clawdbot_wait_seconds_bucket{le="0.5",outcome="served"} 1.0' in text
    refusals = 'clawdbot_wait_refusals_total{outcome="foreseen",place="worker",tenant="acme"} 1.0'
    assert refusals in text and text.count("clawdbot_wait_refusals_total{") == 1


def test_it_tells_how_the_journal_does():
    metrics = Metrics()
    metrics.watch_journal(lambda: (3, 4096, 70))
    metrics.commit("durable", 0.002)
    metrics.commit("failed", 2.0)
    text = metrics.text().decode()
    assert "clawdbot_journal_waiting_entries 3.0" in text
    assert "clawdbot_journal_waiting_bytes 4096.0" in text
    assert "clawdbot_journal_spool_bytes 70.0" in text
    assert 'clawdbot_journal_commit_seconds_bucket{le="0.005",outcome="durable"} 1.0' in text
    assert 'clawdbot_journal_commit_seconds_sum{outcome="failed"} 2.0' in text
