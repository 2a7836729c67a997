"""Equal requests with a key race over the workers of the product, while its store is flushed and a worker is killed."""

from benchmarks.idempotency import Plan, run


async def test_it_calls_the_model_once_a_key(tmp_path):
    result = await run(Plan(rounds=3, keys=8, racers=20, workers=2), tmp_path)
    assert result.kept, result
    assert result.keys == 24 <= result.calls
    assert result.flushes and result.kills and result.replays > 24 * 2
