"""Markdown as elements: what it looks like, that nothing in it can run, and that it is the same however it came."""

from __future__ import annotations

import random

import pytest

from tests.chat.hostile import ALLOWED, VECTORS

MARKDOWN = "const { lex, render } = await import('/static/chat/markdown.js');"
RENDER = f"""async (text) => {{
    {MARKDOWN}
    const root = document.getElementById("root");
    root.replaceChildren(render(lex(text)));
    return root.innerHTML;
}}"""
DESCRIBED = f"""async (text) => {{
    {MARKDOWN}
    const root = document.getElementById("root");
    root.replaceChildren(render(lex(text)));
    const all = [...root.querySelectorAll("*")];
    return {{
        tags: all.map((each) => each.localName),
        handlers: all.flatMap((each) => each.getAttributeNames()).filter((name) => /^on|^style$/.test(name)),
        links: all.filter((each) => each.localName === "a").map((each) => [each.protocol, each.rel, each.target]),
        loads: all.filter((each) => each.hasAttribute("src") || each.hasAttribute("srcset")).length,
        uses: all.filter((each) => each.localName === "use").map((each) => each.getAttribute("href")[0]),
    }};
}}"""
LIVE = """async (pieces) => {
    const { LiveText } = await import("/static/chat/live_text.js");
    const root = document.getElementById("root");
    root.replaceChildren();
    const text = new LiveText(root);
    for (const piece of pieces) {
        text.add(piece);
        if (piece.length % 3) text._show();
    }
    text.finish();
    return root.innerHTML;
}"""

EVERYTHING = """# A *title*

A paragraph with **bold**, `code`, ~~gone~~ and a
second line, &amp; an entity, 3 < 4.

1. one
2. two

   with a paragraph
   - and
   - more

- [ ] open
- [x] closed

```python
def f(x):
    return x < 3

```

| a | b |
|---|--:|
| 1 | **2** |

> quoted
> - list

***

Setext
------

    indented code

<div>raw</div>

Done. https://example.com/a?b=c&d=e
"""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a **b** *c* ~~d~~ `e<`", "<p>a <strong>b</strong> <em>c</em> <del>d</del> <code>e&lt;</code></p>"),
        ("a\nb", "<p>a<br>b</p>"),
        ("# a\n\n###### b", "<h3>a</h3><h6>b</h6>"),
        ("3. a\n4. b", '<ol start="3"><li>a</li><li>b</li></ol>'),
        ("> a", "<blockquote><p>a</p></blockquote>"),
        ("&amp;lt; &copy; &#65; &#x42; &#0; &nope;", "<p>&amp;lt; &amp;copy; A B \ufffd &amp;nope;</p>"),
        ("\\*a\\*", "<p>*a*</p>"),
        ("<b>a</b>", "<p>&lt;b&gt;a&lt;/b&gt;</p>"),
        ("<div>\na\n</div>", '<p class="plain">&lt;div&gt;\na\n&lt;/div&gt;</p>'),
        ("[a]: https://example.com\n\n[a]", '<p><a href="https://example.com/" target="_blank" '
         'rel="noopener noreferrer nofollow" title="https://example.com/">a</a></p>'),
        ("[a](mailto:a@example.com)", '<p><a href="mailto:a@example.com" target="_blank" '
         'rel="noopener noreferrer nofollow" title="mailto:a@example.com">a</a></p>'),
        ("[a](javascript:b)", '<p><span class="dead-link" title="javascript:b">a</span></p>'),
        ("[a](/admin/)", '<p><span class="dead-link" title="/admin/">a</span></p>'),
        ("", ""),
    ],
)  # fmt: skip
def test_it_shows_markdown(module_page, text, shown):
    assert module_page.evaluate(RENDER, text) == shown


@pytest.mark.parametrize("wrapped", ["{}", "**{}**", "- {}\n- b", "> {}", "a\n\n{}\n\nb"])
def test_nothing_in_a_text_can_run_or_load(module_page, wrapped):
    asked = []
    module_page.on("request", lambda request: asked.append(request.url))
    module_page.on("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    module_page.evaluate(RENDER, "a")
    asked.clear()
    for vector in VECTORS:
        found = module_page.evaluate(DESCRIBED, wrapped.replace("{}", vector))
        assert set(found["tags"]) <= ALLOWED, vector
        assert (found["handlers"], found["loads"]) == ([], 0), vector
        assert all(link[1:] == ["noopener noreferrer nofollow", "_blank"] for link in found["links"]), vector
        assert {link[0] for link in found["links"]} <= {"http:", "https:", "mailto:"}, vector
        assert set(found["uses"]) <= {"#"}, vector
    assert asked == []


def test_a_picture_is_loaded_when_somebody_asks_for_it(module_page):
    asked = []
    module_page.route(
        "https://pictures.example/**", lambda route: (asked.append(route.request), route.fulfill(body=""))
    )
    module_page.evaluate(RENDER, "![A cat](https://pictures.example/cat.png) ![Plain](http://pictures.example/p.png)")
    button = module_page.get_by_role("button", name="A cat · Show picture from pictures.example")
    assert asked == [] and module_page.locator("button").count() == 1
    with module_page.expect_request("https://pictures.example/cat.png"):
        button.click()
    assert module_page.locator("img").get_attribute("alt") == "A cat"
    assert [request.headers.get("referer") for request in asked] == [None]


def test_code_can_be_copied_and_is_told_apart(module_page, browser):
    module_page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    module_page.evaluate(RENDER, "```js\nlet a = '<b>';\n```")
    assert module_page.get_by_role("region", name="Code in js").inner_text() == "let a = '<b>';"
    module_page.get_by_role("button", name="Copy code").click()
    module_page.get_by_role("button", name="Copied").wait_for()
    assert module_page.evaluate("navigator.clipboard.readText()") == "let a = '<b>';"


@pytest.mark.parametrize("seed", range(6))
def test_a_text_that_grows_ends_as_the_whole_one(module_page, seed):
    chance = random.Random(seed)
    texts = [
        EVERYTHING,
        EVERYTHING.replace("\n", "\r\n"),
        "\n\n".join(VECTORS),
        "[a][b]\n\nc\n\n[b]: https://example.com",
    ]
    for text in texts:
        pieces, rest = [], text
        while rest:
            size = chance.choice((1, 1, 2, 3, 5, 8, 40))
            pieces.append(rest[:size])
            rest = rest[size:]
        assert module_page.evaluate(LIVE, pieces) == module_page.evaluate(RENDER, text.replace("\r", ""))


def test_what_is_settled_is_not_made_again(module_page):
    kept = module_page.evaluate(
        """async () => {
            const { LiveText } = await import("/static/chat/live_text.js");
            const root = document.getElementById("root");
            root.replaceChildren();
            const text = new LiveText(root);
            const show = (piece) => { text.add(piece); text._show(); };
            show("First.\\n\\n```js\\nlet a;\\n");
            const [first, code] = [root.children[0], root.children[1].querySelector("code").firstChild];
            show("let b;\\n");
            const grown = code === root.children[1].querySelector("code").firstChild && code.data;
            show("```\\n\\nLast.");
            return [first === root.children[0], grown, root.children.length];
        }"""
    )
    assert kept == [True, "let a;\nlet b;", 3]


def test_a_text_nested_beyond_measure_is_shown_as_it_is(module_page):
    for text in ("> " * 20_000 + "a", "*" * 50_000 + "a", "[" * 20_000, "- " * 20_000 + "a"):
        assert module_page.evaluate(
            "async (text) => { await (" + RENDER + ")(text); return root.textContent.length; }", text
        )
