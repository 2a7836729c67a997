"""How busy the machine is."""

from access.machine import SAMPLES, MachineCpu


def test_it_is_the_share_of_the_time_between(tmp_path):
    stat = tmp_path / "stat"
    cpu = MachineCpu(stat)
    assert cpu.share() is None
    stat.write_text("cpu 0 0 0 0 0 0 0 0 0 0\ncpu0 1\n")
    assert cpu.share() is None
    stat.write_text("cpu 60 0 25 10 5 0 0 0 0 0\n")
    assert cpu.share() == 0.85
    for _ in range(SAMPLES):  # nothing happens for longer than is looked back
        cpu.share()
    assert cpu.share() is None
    stat.write_text("what is this")
    assert cpu.share() is None
    assert 0 <= (MachineCpu().share() or 0) <= 1
