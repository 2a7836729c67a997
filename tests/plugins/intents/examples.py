"""A small shop's intents, in Chinese and English, and texts that nobody trained on."""

from __future__ import annotations

EXAMPLES: dict[str, list[str]] = {
    "refund": [
        "i want my money back", "how do i get a refund", "please refund my last order", "refund the payment to my card",
        "when will i receive my refund", "i was charged twice and want a refund",
        "我要退款", "怎么申请退款", "钱什么时候退给我", "东西坏了我要退钱", "退款多久到账", "我想退货退款",
    ],
    "shipping": [
        "where is my package", "when will my order arrive", "track my order", "has my parcel been shipped",
        "my package did not arrive", "how long does delivery take",
        "我的快递到哪了", "什么时候发货", "包裹还没到", "查一下物流", "订单几天能送到", "怎么还没有发货",
    ],
    "password": [
        "i forgot my password", "reset my password", "how do i change my password", "i cannot log in to my account",
        "my password does not work", "send me a new password",
        "我忘记密码了", "怎么重置密码", "登录不了账号", "修改密码在哪里", "密码错误进不去", "帮我改一下密码",
    ],
}  # fmt: skip
PAIRS = [(text, intent) for intent, texts in EXAMPLES.items() for text in texts]
UNSEEN = [
    ("can i get a refund for this order", "refund"),
    ("请问退款什么时候到账", "refund"),
    ("where is my parcel", "shipping"),
    ("我的包裹到哪了", "shipping"),
    ("help, i forgot the password of my account", "password"),
    ("密码忘记了怎么办，想重置密码", "password"),
    ("我的 order 什么时候 arrive", "shipping"),
]
ELSEWHERE = ["what do giraffes sound like", "how do you play the violin", "长颈鹿怎么叫", "小提琴怎么拉", "!!!", ""]
