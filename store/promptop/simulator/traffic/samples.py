"""The prompt that the demo's editor opens with: polite, long-winded and so worth trimming, in the user's language."""

from __future__ import annotations

_ENGLISH = """\
system:
I would like you to please act as a very experienced senior customer support expert of an online book shop. Please
make sure that you always answer politely. Please make sure that you always answer politely and in a friendly way.
It is very important that you never invent facts about orders. You should basically keep your answers as short as
possible, and it would be great if you could use at most three sentences.

Today is 2026-11-21.

user:
Could you please be so kind as to explain in detail why this order has not been shipped yet? Thank you very much!

Order: {{order_id}}
Message: {{message}}
"""

_CHINESE = """\
system:
请你扮演一个非常资深的网上书店客服专家。请你务必始终礼貌地回答。请你务必始终礼貌、友好地回答。
有一点非常重要:绝对不要编造任何关于订单的事实。你基本上应该尽可能简短地回答,最好最多只用三句话。

今天是 2026-11-21。

user:
麻烦你帮我详细解释一下这个订单为什么还没有发货,非常感谢!请你一定要用简洁的中文回答。

订单号:{{order_id}}
顾客留言:{{message}}
"""


def sample(language: str) -> str:
    """Return the prompt in ``language`` (``zh``), or in English."""
    return _CHINESE if language == "zh" else _ENGLISH
