"""The tree of what was said, from the list of a session's versions."""

from __future__ import annotations

import json

TREE = """async ([lines, messages]) => {
    const { history, turnsOf } = await import("/static/chat/history.js");
    const { now, path, origin, last } = history(lines);
    const told = (node) => ({
        version: node.version ?? null, turn: node.turnId, newest: node.newest,
        before: node.parent?.version ?? null, alternatives: node.alternatives.map((each) => each.turnId),
    });
    return {
        path: path.map(told), last, origin, ahead: now.children.map((child) => child.turnId), now: now.onward ?? null,
        turns: turnsOf(messages, path).map(
            ({ node, messages }) => [node?.turnId ?? null, messages.map((each) => each.content)]),
    };
}"""


def turn(version: int, messages: int = 2) -> dict:
    return {"version": version, "action": "turn", "turn_id": f"t{version}", "messages": messages}


def restored(version: int, of: int) -> dict:
    return {"version": version, "action": "restored", "of": {"version": of}}


def said(*texts: str) -> list[dict]:
    return [{"role": "user" if text.startswith("q") else "assistant", "content": text} for text in texts]


def tree(page, lines, messages=()):
    return page.evaluate(TREE, [lines, list(messages)])


def test_turns_follow_each_other(module_page):
    found = tree(module_page, [turn(2), turn(1)], said("q1", "a1", "q2", "a2"))
    assert [(each["version"], each["before"]) for each in found["path"]] == [(1, 0), (2, 1)]
    assert found["turns"] == [["t1", ["q1", "a1"]], ["t2", ["q2", "a2"]]]
    assert (found["last"], found["ahead"], found["origin"]) == (2, [], None)


def test_another_answer_stands_beside_the_first(module_page):
    lines = [turn(1), turn(2), restored(3, 1), turn(4), restored(5, 1), turn(6), turn(7)]
    found = tree(module_page, lines)
    assert [each["turn"] for each in found["path"]] == ["t1", "t6", "t7"]
    assert found["path"][1]["alternatives"] == ["t2", "t4", "t6"]
    assert (found["path"][0]["version"], found["path"][1]["before"]) == (5, 5)  # the newest of the same content


def test_the_way_back_leads_to_the_end_of_the_other_branch(module_page):
    lines = [turn(1), turn(2), turn(3), restored(4, 1), turn(5)]
    found = tree(module_page, lines)
    assert found["path"][1]["alternatives"] == ["t2", "t5"]
    again = tree(module_page, [*lines, restored(6, 3)])
    assert [(each["turn"], each["newest"]) for each in again["path"]] == [("t1", 6), ("t2", 6), ("t3", 6)]
    assert again["path"][1]["alternatives"] == ["t2", "t5"]


def test_names_and_summaries_change_nothing_of_what_was_said(module_page):
    lines = [turn(1), {"version": 2, "action": "patched"}, {"version": 3, "action": "summarised"}, turn(4)]
    found = tree(module_page, lines)
    assert [(each["turn"], each["version"]) for each in found["path"]] == [("t1", 3), ("t4", 4)]


def test_it_goes_back_to_before_the_first_turn(module_page):
    found = tree(module_page, [turn(1), restored(2, 0), turn(3)])
    assert [(each["turn"], each["alternatives"], each["before"]) for each in found["path"]] == [("t3", ["t1", "t3"], 2)]
    left = tree(module_page, [turn(1), restored(2, 0)])
    assert (left["path"], left["ahead"], left["now"]) == ([], ["t1"], 1)


def test_a_branch_knows_where_it_comes_from_but_not_its_versions(module_page):
    origin = {"session_id": "s", "version": 7}
    lines = [{"version": 1, "action": "branched", "of": origin}, turn(2)]
    found = tree(module_page, lines, said("q1", "a1", "q2", "a2", "b2", "q3", "a3"))
    assert found["turns"] == [[None, ["q1", "a1"]], [None, ["q2", "a2", "b2"]], ["t2", ["q3", "a3"]]]
    assert (found["origin"], found["path"][0]["before"]) == (origin, 1)


def test_versions_that_are_no_longer_kept_are_not_offered(module_page):
    found = tree(module_page, [turn(8), restored(9, 3), turn(10)], said("q1", "a1", "q2", "a2"))
    assert found["turns"] == [[None, ["q1", "a1"]], ["t10", ["q2", "a2"]]]
    first = tree(module_page, [turn(8)], said("q1", "a1"))
    assert first["path"][0]["before"] is None


def test_a_turn_of_many_messages_is_one(module_page):
    system = [{"role": "system", "content": "Be kind."}]
    found = tree(module_page, [turn(1, 4), turn(2)], [*system, *said("q1", "c", "r", "a1", "q2", "a2")])
    assert found["turns"] == [["t1", ["q1", "c", "r", "a1"]], ["t2", ["q2", "a2"]]]


def test_contents_that_are_no_text_are_named(module_page):
    texts = module_page.evaluate(
        """async () => {
            const { textOf } = await import("/static/chat/history.js");
            return [null, "a", [{ type: "text", text: "b" }, { type: "image_url" }, null], 7].map(textOf);
        }"""
    )
    assert json.dumps(texts) == '["", "a", "b\\n[image_url]\\n[?]", ""]'
