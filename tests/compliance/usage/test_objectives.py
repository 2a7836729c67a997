"""What is left of the errors an objective allows, and how fast it goes."""

from compliance.usage.objectives import judged
from compliance.usage.reader import Sums

NOW = 1000 * 3600 + 1800  # half past the hour 1000


def test_it_counts_what_completed_failed_and_aborted():
    hours = {1000: Sums(completed=95, failed=3, aborted=2, refused=50, cancelled=50)}
    found = judged(hours, 0.9, NOW)
    assert (found.counted, found.failed, round(found.left, 6)) == (100, 5, 0.5)


def test_burn_rates_are_of_the_last_hours():
    hours = {1000: Sums(completed=90, failed=10), 990: Sums(completed=100), 400: Sums(completed=100)}
    found = judged(hours, 0.99, NOW)
    assert [(each.hours, round(each.rate, 3)) for each in found.burns] == [(1, 10.0), (6, 10.0), (24, 5.0), (72, 5.0)]
    assert round(found.left, 3) == round(1 - 10 / 3, 3)


def test_without_turns_there_is_nothing_to_say():
    found = judged({}, 0.99, NOW)
    assert found.left is None and {each.rate for each in found.burns} == {None}
