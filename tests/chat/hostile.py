"""What somebody may say, through any field there is, who would like the page to run it or to call elsewhere."""

from __future__ import annotations

from typing import Final

AWAY: Final = "https://away.invalid"

VECTORS: Final = [
    "<script>alert(1)</script>",
    "<SCRIPT SRC=https://away.invalid/x.js></SCRIPT>",
    "<img src=x onerror=alert(1)>",
    "<img src=https://away.invalid/pixel.png>",
    '<img srcset="https://away.invalid/a.png 1x">',
    "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    '<svg><use href="https://away.invalid/x.svg#a"></use></svg>',
    "<math><mi xlink:href=javascript:alert(1)>x</mi></math>",
    "<iframe src=javascript:alert(1)></iframe>",
    "<iframe srcdoc='<script>parent.alert(1)</script>'></iframe>",
    "<object data=https://away.invalid/x></object>",
    "<embed src=https://away.invalid/x>",
    "<link rel=stylesheet href=https://away.invalid/x.css>",
    "<style>@import 'https://away.invalid/x.css';</style>",
    "<meta http-equiv=refresh content='0;url=https://away.invalid'>",
    "<base href=https://away.invalid/>",
    "<form action=https://away.invalid><button>Sign in</button></form>",
    "<details open ontoggle=alert(1)>x</details>",
    "<video src=https://away.invalid/x.mp4 autoplay></video>",
    "<audio src=https://away.invalid/x.mp3 autoplay onerror=alert(1)></audio>",
    "<input autofocus onfocus=alert(1)>",
    "<a href=javascript:alert(1)>x</a>",
    "<div style='background:url(https://away.invalid/x)'>x</div>",
    "<template><script>alert(1)</script></template>",
    "</code></pre><script>alert(1)</script>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java\tscript:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](&#x6A;avascript:alert&#40;1&#41;)",
    "[x](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)",
    "[x](vbscript:msgbox(1))",
    "[x](blob:https://away.invalid/1)",
    "[x](file:///etc/passwd)",
    "[x](//away.invalid)",
    "[x](/admin/logout/)",
    '[x](https://away.invalid "onmouseover=alert(1)")',
    '[x](https://away.invalid/"onmouseover="alert(1))',
    "[![x](https://away.invalid/p.png)](javascript:alert(1))",
    "![x](https://away.invalid/p.png)",
    "![x](javascript:alert(1))",
    '![x](https://away.invalid/p.png"onerror="alert(1))',
    '![" onerror=alert(1) "](https://away.invalid/p.png)',
    "![x](data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9YWxlcnQoMSk+)",
    "![x](data:text/html,<script>alert(1)</script>)",
    "<javascript:alert(1)>",
    "<data:text/html,<script>alert(1)</script>>",
    "[x]: javascript:alert(1)\n\n[x]",
    "```html\n<script>alert(1)</script>\n```",
    '```"><script>alert(1)</script>\nx\n```',
    "`<img src=x onerror=alert(1)>`",
    "| <img src=x onerror=alert(1)> | b |\n|---|---|\n| <svg onload=alert(1)> | [x](javascript:alert(1)) |",
    "# <img src=x onerror=alert(1)>",
    "- <img src=x onerror=alert(1)>\n- [ ] <svg onload=alert(1)>",
    "> <script>alert(1)</script>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "<!-- --!><img src=x onerror=alert(1)> -->",
    "<![CDATA[<img src=x onerror=alert(1)>]]>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "{{constructor.constructor('alert(1)')()}}",
    "${alert(1)}",
    "\u202e<img src=x onerror=alert(1)>",
    "<scr\u0000ipt>alert(1)</script>",
    "</script><script>alert(1)</script>",
]

# Elements that are the page's own work, in what it makes of a text.
ALLOWED: Final = frozenset(
    "a blockquote br button caption code del div em figcaption figure h3 h4 h5 h6 hr li ol p pre span strong svg table "
    "tbody td th thead tr ul use".split()
)
