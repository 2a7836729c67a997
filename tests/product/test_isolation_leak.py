"""`manage.py selftest isolation` against a program that leaks: it must say no."""

from clawdbot_site.selftest.isolation import running


def test_it_says_no_to_a_program_that_leaks():
    said: list[str] = []
    plan = running.Plan(database="sqlite", settings_module="tests.product.leaking", kinds=("http",), under="/api/rules")
    report = running.run(plan, said.append)
    assert (report.code, report.could_run) == (1, True), report.error
    found = {(each.door, each.who, each.kind) for each in report.findings}
    assert ("GET /api/rules", "stranger", "shown") in found
    # one of them may have deleted it before the others asked
    assert any(door.endswith(" /api/rules/{rule_id}") and who == "stranger" for door, who, _ in found)
    assert ("the owner's configuration", "somebody", "changed") in found
    assert not any(kind == "not covered" and "{rule_id}" not in door for door, _, kind in found)
