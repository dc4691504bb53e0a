"""How hard a task is, from what its prompt says, and which tier of model it calls for.

The score is a sum of four terms, each of which never falls when its measure grows, and lies within 0 … 1:

=========  ======  =================================================================
term       at most  measure
=========  ======  =================================================================
lines      0.3     logarithm of the lines of code asked for or given, 10 → 0, 1,000 → 0.3
files      0.2     logarithm of the files, 1 → 0, 20 → 0.2
algorithm  0.3     0 basic, 0.1 a known algorithm, 0.2 an advanced one, 0.3 research
domain     0.2     0 general, 0.1 a field with its own rules, 0.2 distributed, real-time or critical
=========  ======  =================================================================

So a basic task of 10 lines scores 0.0, and a distributed system of 1,000 lines in 20 files 0.7.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

TIERS = ("simple", "medium", "complex", "expert")
THRESHOLDS = (0.3, 0.6, 0.9)
"""Scores from which on the second, third and fourth tier begin."""

_LEVELS = (("basic", 0.0), ("known", 0.1), ("advanced", 0.2), ("research", 0.3))
_FIELDS = (("general", 0.0), ("special", 0.1), ("critical", 0.2))


class _Words:
    """Words of one kind, looked for in text in small letters.

    A pattern of many words takes 40 µs for a page of text, and nearly always finds nothing. ``words`` are those with
    which its matches begin, ``stems`` what stands in matches of other words: what has none of them has no match.
    """

    __slots__ = ("_pattern", "_stems", "_words")

    def __init__(self, pattern: str, words: str, stems: str) -> None:
        self._pattern = re.compile(pattern)
        self._words = frozenset(words.encode().split())
        self._stems = tuple(stems.split())

    def found_in(self, text: str, words: frozenset[bytes]) -> bool:
        """Say whether ``text``, which has the ``words``, has one of these."""
        if self._words.isdisjoint(words):
            for stem in self._stems:  # any() over a generator takes three times as long
                if stem in text:
                    break
            else:
                return False
        return self._pattern.search(text) is not None


_ALGORITHMS = (
    _Words(
        r"\b(?:sort(?:ing)?|search(?:ing)?|recursi\w+|hash(?:ing)?|tree|graph|queue|pars(?:e|er|ing)|algorithm|regex)\b"
        r"|算法|排序|递归|二叉树|图论|解析",
        "sort sorting search searching hash hashing tree graph queue parse parser parsing algorithm regex",
        "recursi 算法 排序 递归 二叉树 图论 解析",
    ),
    _Words(
        r"\b(?:dynamic programming|optimi[sz]ation|concurren\w+|parallel\w*|scheduling|compiler|machine learning"
        r"|cryptograph\w+|shortest path|backtracking|lock-free|big[- ]?o|time complexity)\b"
        r"|动态规划|并发|并行|调度|编译器|机器学习|加密|最短路径|回溯|时间复杂度|性能优化",
        "dynamic optimisation optimization scheduling compiler machine shortest backtracking lock big bigo time",
        "concurren parallel cryptograph 动态规划 并发 并行 调度 编译器 机器学习 加密 最短路径 回溯 时间复杂度 性能优化",
    ),
    _Words(
        r"\b(?:np-(?:hard|complete)|formal(?:ly)? (?:proof|verif\w+)|prove that|novel algorithm|state of the art"
        r"|consensus protocol|theorem)\b|形式化|证明|定理|共识协议|前沿",
        "np formal formally prove novel state consensus theorem",
        "形式化 证明 定理 共识协议 前沿",
    ),
)
_DOMAINS = (
    _Words(
        r"\b(?:financ\w+|legal|law|medical|clinical|security|database|network\w*|embedded|statistic\w+|tax|compliance)\b"
        r"|金融|法律|医疗|医学|安全|数据库|网络|嵌入式|统计|税务|合规",
        "legal law medical clinical security database embedded tax compliance",
        "financ network statistic 金融 法律 医疗 医学 安全 数据库 网络 嵌入式 统计 税务 合规",
    ),
    _Words(
        r"\b(?:distributed|microservices?|real[- ]time|high[- ]availability|fault[- ]toleran\w+|safety[- ]critical"
        r"|kernel|multi[- ]region|large[- ]scale)\b|分布式|微服务|实时|高可用|容错|内核|大规模",
        "distributed microservice microservices real high fault safety kernel multi large",
        "分布式 微服务 实时 高可用 容错 内核 大规模",
    ),
)
_ONLY_LETTERS = bytes(byte if 97 <= byte <= 122 else 32 for byte in range(256))
_LINES = re.compile(r"(?P<n>\d[\d,]*)\s*[- ]?(?:lines?(?: of code)?\b|loc\b|行)")
_OF_LINES = ("line", "loc", "行")
_FILES = re.compile(r"(?P<n>\d[\d,]*)\s*[- ]?(?:(?:source |code )?(?:files?|modules?)\b|个?(?:文件|模块))")
_OF_FILES = ("file", "module", "文件", "模块")
_FENCE = re.compile(r"^[ \t]*(?P<fence>`{3,}|~{3,})[^\n]*\n(?P<code>.*?)^[ \t]*(?P=fence)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Task:
    """The measures of a task."""

    lines: int = 0
    files: int = 1
    algorithm: int = 0
    """0 basic … 3 research."""
    domain: int = 0
    """0 general … 2 critical."""


@dataclass(frozen=True, slots=True)
class Complexity:
    """A score with its terms."""

    score: float
    """0 … 1."""
    tier: str
    """One of :data:`TIERS`."""
    terms: tuple[tuple[str, float, str], ...]
    """Name, share of the score, what it was read from."""

    def __str__(self) -> str:
        terms = ", ".join(f"{name} {value:.2f} ({said})" for name, value, said in self.terms if value)
        return f"{self.score:.2f} {self.tier}" + (f": {terms}" if terms else "")


def read(text: str) -> Task:
    """Read the measures from a prompt: numbers that it names, code that it holds, words that it uses."""
    fences: list[str] = []
    plain = text
    if "```" in text or "~~~" in text:
        fences = [found["code"] for found in _FENCE.finditer(text)]
        plain = _FENCE.sub("", text)
    plain = plain.lower()
    words = frozenset(plain.encode("utf-8", "replace").translate(_ONLY_LETTERS).split())
    return Task(
        lines=max([*_numbers(_LINES, _OF_LINES, plain), sum([code.count("\n") for code in fences])]),
        files=max([1, len(fences), *_numbers(_FILES, _OF_FILES, plain)]),
        algorithm=_highest(_ALGORITHMS, plain, words),
        domain=_highest(_DOMAINS, plain, words),
    )


def _highest(levels: Sequence[_Words], text: str, words: frozenset[bytes]) -> int:
    """Return the highest level, from 1, of which ``text`` has a word; 0 if it has none."""
    for at in range(len(levels), 0, -1):
        if levels[at - 1].found_in(text, words):
            return at
    return 0


def score(task: Task, thresholds: Sequence[float] = THRESHOLDS) -> Complexity:
    """Score a task; ``thresholds`` are three rising scores at which the tiers change."""
    lines, files, level, field = _terms(task)
    algorithm, domain = _LEVELS[level][1], _FIELDS[field][1]
    total = _sum(lines, files, algorithm, domain)
    tier = TIERS[sum(total >= each for each in sorted(thresholds)[:3])]
    terms = (
        ("lines", round(lines, 6), f"{task.lines:,}"),
        ("files", round(files, 6), f"{task.files:,}"),
        ("algorithm", algorithm, _LEVELS[level][0]),
        ("domain", domain, _FIELDS[field][0]),
    )
    return Complexity(total, tier, terms)


def points(task: Task) -> float:
    """Return the score alone, 0 … 1: at a fifth of the time that :func:`score` takes with its words."""
    lines, files, level, field = _terms(task)
    return _sum(lines, files, _LEVELS[level][1], _FIELDS[field][1])


def _terms(task: Task) -> tuple[float, float, int, int]:
    """Return the terms of lines and files, and the places of the other two in their tables."""
    level = min(max(task.algorithm, 0), len(_LEVELS) - 1)
    return (
        0.3 * _share(task.lines / 10, 100),
        0.2 * _share(task.files, 20),
        level,
        min(max(task.domain, 0), len(_FIELDS) - 1),
    )


def _sum(*terms: float) -> float:
    return round(min(1.0, sum(terms)), 6)  # 0.3 + 0.2 + 0.2 is to be 0.7


def recommended(tier: str, models: Sequence[str], chosen: Sequence[str] = ()) -> str:
    """Return the model for a tier: the one that is set for it, else of ``models`` the one at that place by price.

    The dearest priced model stands for *expert*, the cheapest for *simple*; an empty string if none has a price.
    """
    from promptop.models import price

    at = TIERS.index(tier)
    if len(chosen) > at and chosen[at]:
        return chosen[at]
    costs = [(price(name, input_tokens=1000, output_tokens=500).usd, name) for name in models]
    ranked = sorted((usd, name) for usd, name in costs if usd is not None)
    return ranked[round(at * (len(ranked) - 1) / (len(TIERS) - 1))][1] if ranked else ""


def _share(value: float, full: float) -> float:
    return min(1.0, max(0.0, math.log(value) / math.log(full))) if value > 1 else 0.0


def _numbers(pattern: re.Pattern[str], units: Sequence[str], text: str) -> list[int]:
    """Return the numbers before one of ``units``."""
    for unit in units:
        if unit in text:
            return [_number(found["n"]) for found in pattern.finditer(text)]
    return []


def _number(digits: str) -> int:
    return min(int(digits.replace(",", "") or 0), 10**9)
