from tenants.recent import Recent


def test_it_keeps_what_is_used_and_forgets_the_rest():
    recent = Recent(100)
    recent.put("mine", 1)
    for number in range(1000):
        recent.put(number, number)
        assert recent.get("mine") == 1
    assert len(recent.keys()) <= 100
    assert recent.get(0) is None
    assert recent.get(999) == 999


def test_it_replaces_only_what_is_there():
    recent = Recent(4)
    recent.put("a", 1)
    recent.replace("a", 2)
    recent.replace("b", 2)
    assert (recent.get("a"), recent.get("b")) == (2, None)


def test_it_forgets_on_request_in_both_generations():
    recent = Recent(2)
    for key in "ab":
        recent.put(key, key)
    for key in "ab":
        recent.drop(key)
    assert recent.keys() == []
    recent.put("c", "c")
    recent.clear()
    assert recent.get("c") is None
