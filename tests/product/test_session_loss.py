"""The store emptied, killed, and put back to older files under turns: every answered turn is there, in its order."""

from benchmarks.session_loss import lose


async def test_it_loses_no_answered_turn_with_the_store(tmp_path):
    loss = await lose(tmp_path, sessions=6, rounds=4, seconds=1.5)
    assert not loss.faults, "\n".join(loss.faults)
    assert all(talk.answered for talk in loss.talks)
    assert loss.failed, "the store was never away: the test says nothing"
