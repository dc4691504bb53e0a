"""The programs whose traffic is simulated: what they ask, of which models, how often, and how it goes wrong.

Both the filled log (:mod:`promptop.simulator.traffic.backfill`) and the live traffic
(:mod:`promptop.simulator.traffic.live_traffic`) are made from these.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from promptop.simulator.answers import text


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """One use of one program: its prompt, its models, its share of the traffic."""

    app: str
    prompt: str
    """The prompt's name in the library."""
    models: Mapping[str, float]
    """Model → share."""
    weight: float
    """Share of all traffic."""
    system: str
    questions: tuple[str, ...]
    knowledge: tuple[str, int] = ("", 0)
    """Subject and sentences of the stable part that follows the system text."""
    context: tuple[str, int] = ("", 0)
    """Subject and sentences of the part that differs by question."""
    versions: tuple[str, str] = ("1", "1")
    """Version at the start and at the end of a day."""
    stream: bool = True
    max_tokens: int = 400
    temperature: float | None = None
    output_tokens: float = 150.0
    """Median of output tokens."""
    embeddings: bool = False
    conversation: bool = False
    nightly: bool = False
    """Runs in the small hours, in bursts."""
    hits: Mapping[str, float] = field(default_factory=dict)
    """Level of the response cache → share of its look-ups; empty where the program has no cache."""
    error_rate: float = 0.004
    cancel_rate: float = 0.006
    team: str = "core"

    def messages(self, question: int, version: str) -> list[dict[str, str]]:
        """Return the messages of one of its questions; a later version of the prompt is a trimmed one."""
        subject, sentences = self.knowledge
        if version != self.versions[0]:
            sentences = sentences * 3 // 5
        system = self.system
        if sentences:
            system += "\n" + paragraph(subject, sentences, 1)
        asked = self.questions[question % len(self.questions)]
        subject, sentences = self.context
        if sentences:
            asked = f"{paragraph(subject, sentences, question)}\n\n{asked}"
        return [{"role": "system", "content": system}, {"role": "user", "content": asked}]

    def body(self, model: str, question: int, version: str) -> dict[str, Any]:
        """Return the JSON body of one request."""
        if self.embeddings:
            subject, sentences = self.context
            return {"model": model, "input": [paragraph(subject, sentences, question)]}
        body: dict[str, Any] = {"model": model, "messages": self.messages(question, version), "stream": self.stream}
        reasons = model.startswith(("o1", "o3", "o4", "gpt-5"))
        body["max_completion_tokens" if reasons else "max_tokens"] = self.max_tokens * (4 if reasons else 1)
        if self.temperature is not None and not reasons:
            body["temperature"] = self.temperature
        return body


@cache
def paragraph(subject: str, sentences: int, number: int) -> str:
    """Return that many sentences about a subject, the same for the same number."""
    ask = text.read(subject)
    rng = text.seeded(subject, number)
    phrases = ask.phrases
    return "\n".join(text.fill(rng.choice(phrases.bodies), ask, rng) for _ in range(sentences))


SCENES: Sequence[Scene] = (
    Scene(
        app="support-bot",
        prompt="support/answer",
        models={"gpt-4o-mini": 0.8, "gpt-4o": 0.2},
        weight=0.32,
        system="你是一家网上书店的客服助手。请用简洁、礼貌的中文回答顾客的问题,不要编造订单信息。",
        questions=(
            "我的订单三天了还没有发货,能帮我查一下吗?",
            "电子书买错了可以退款吗?",
            "请问会员积分怎么兑换优惠券?",
            "收到的书封面有破损,应该怎么处理?",
            "发票抬头填错了,还能修改吗?",
            "海外地址的运费是多少?",
            "预售的新书什么时候到货?",
        ),
        knowledge=("退货政策 发货时间 会员积分 运费 发票 电子书", 120),
        versions=("4", "5"),
        output_tokens=130,
        conversation=True,
        team="shop",
    ),
    Scene(
        app="docs-search",
        prompt="rag/answer",
        models={"gpt-4.1-mini": 0.75, "gemini-2.5-flash": 0.25},
        weight=0.22,
        system="Answer from the passages only. Say so if they do not contain the answer. Be concise.",
        questions=(
            "How do I rotate an access token?",
            "What is the default timeout of a webhook?",
            "Which regions support private networking?",
            "How are invoices split between teams?",
            "Can a pipeline be resumed after it failed?",
            "Where are audit logs kept, and for how long?",
        ),
        knowledge=("passages citations access policy", 130),
        context=("access token webhook timeout region invoice pipeline audit", 35),
        versions=("7", "8"),
        output_tokens=110,
        hits={"memory": 0.10, "redis": 0.16, "disk": 0.04, "semantic": 0.05},
        team="platform",
    ),
    Scene(
        app="ticket-triage",
        prompt="triage/label",
        models={"gpt-4.1-nano": 1.0},
        weight=0.22,
        system="Classify the ticket. Answer with exactly one of: billing, technical, account, feature, other",
        questions=tuple(
            f"Ticket: {said}"
            for said in (
                "I was charged twice this month.",
                "The export button does nothing in Safari.",
                "Please delete my account.",
                "Dark mode would be great!",
                "登录时一直提示验证码错误。",
                "发票金额和合同不一致。",
            )
        ),
        stream=False,
        max_tokens=8,
        temperature=0,
        output_tokens=2,
        hits={"memory": 0.31, "redis": 0.22, "disk": 0.05},
        team="support",
    ),
    Scene(
        app="code-review",
        prompt="review/diff",
        models={"claude-sonnet-5-5": 0.6, "o4-mini": 0.25, "gpt-4.1": 0.15},
        weight=0.035,
        system="You are a careful reviewer. Point out bugs, races and missing tests in the diff. No praise.",
        questions=("Review this diff.", "Is this migration safe to run online?", "What does this change break?"),
        context=("diff function lock retry migration index transaction", 160),
        max_tokens=1200,
        output_tokens=420,
        cancel_rate=0.05,
        team="platform",
    ),
    Scene(
        app="translator",
        prompt="translate/zh-en",
        models={"deepseek-chat": 0.7, "qwen-plus": 0.3},
        weight=0.12,
        system="把用户给出的段落翻译成英文,保留专有名词和数字。",
        questions=("请翻译这一段。", "翻译下面的说明书。", "翻译这封邮件。"),
        context=("合同 交货 验收 质量 付款 保密", 14),
        versions=("2", "2"),
        temperature=0.3,
        output_tokens=260,
        team="global",
    ),
    Scene(
        app="nightly-report",
        prompt="report/extract",
        models={"gpt-4o": 0.7, "gpt-4o-mini": 0.3},
        weight=0.05,
        system="Extract the figures as JSON with the keys topic, summary, items, score. JSON only.",
        questions=("Summarise yesterday's incidents as JSON.", "Summarise the sales calls as JSON."),
        context=("incident sales revenue region outage latency", 90),
        stream=False,
        temperature=0,
        output_tokens=180,
        nightly=True,
        error_rate=0.02,
        team="data",
    ),
    Scene(
        app="research-agent",
        prompt="agent/plan",
        models={"gpt-5-mini": 0.7, "deepseek-reasoner": 0.3},
        weight=0.015,
        system="Plan the research in steps, then name the sources to read first.",
        questions=(
            "How did container shipping change port cities?",
            "比较三种城市供暖方式的碳排放。",
            "What limits the range of electric ferries?",
        ),
        max_tokens=700,
        output_tokens=300,
        conversation=True,
        cancel_rate=0.03,
        team="labs",
    ),
    Scene(
        app="index-sync",
        prompt="index/embed",
        models={"text-embedding-3-small": 1.0},
        weight=0.02,
        system="",
        questions=("",),
        context=("catalogue titles authors subjects", 12),
        stream=False,
        output_tokens=0,
        embeddings=True,
        nightly=True,
        team="data",
    ),
)
"""Eight programs of an imagined company."""


def pick(rng: random.Random, weights: Mapping[Any, float]) -> Any:
    """Return a key by its share."""
    return rng.choices(list(weights), list(weights.values()))[0]
