from access.metrics import Metrics
from engine.types import Usage


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


def test_it_keeps_processes_parts_apart():
    first, second = Metrics(), Metrics()
    first.request("/api/chat", "POST", 200)
    assert b'http_requests_total{method="POST",path="/api/chat",status="200"} 1.0' in first.text()
    assert b'path="/api/chat"' not in second.text()


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
