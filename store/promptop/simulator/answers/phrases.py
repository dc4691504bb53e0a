"""The sentences that simulated answers are made of, and the words that are not a topic."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Phrases:
    """Sentences of one language; ``{a}``, ``{b}`` and ``{c}`` stand for topic words."""

    stop: re.Pattern[str]
    """What never is a topic word."""
    openings: tuple[str, ...]
    bodies: tuple[str, ...]
    items: tuple[str, ...]
    thoughts: tuple[str, ...]
    code_before: tuple[str, ...]
    columns: tuple[str, str, str]
    grades: tuple[str, ...]
    nothing: str
    """Said where a prompt has no topic word."""
    beside: tuple[str, str]
    """Said where it has fewer than three."""


ENGLISH = Phrases(
    stop=re.compile(
        r"(?:a|about|above|after|all|also|am|an|and|any|are|as|ask|at|be|because|been|before|below|best|better|between"
        r"|both|brief|briefly|but|by|can|careful|concise|could|describe|detail|detailed|do|does|each|either|etc|every"
        r"|example|examples|explain|few|first|following|for|from|full|get|give|given|go|good|great|had|has|have|help"
        r"|helpful|here|how|however|i|if|important|in|include|including|into|is|it|its|just|kind|kindly|know|least|let"
        r"|like|list|lot|make|many|may|me|might|more|most|much|must|my|need|needs|no|not|now|of|on|one|only|or|other"
        r"|our|out|over|own|please|point|points|possible|provide|question|rather|really|same|sentence|sentences|should"
        r"|show|simple|so|some|such|summarise|summarize|sure|take|tell|than|thank|thanks|that|the|their|them|then"
        r"|there|these|they|thing|things|think|this|those|to|too|two|three|use|user|using|very|want|was|way|we|well"
        r"|were|what|when|where|which|while|who|why|will|with|word|words|would|write|you|your|answer|assistant|json"
        r"|table|keep|say|three|four|five|six|seven|eight|ten|exactly|idea|ideas|reason|reasons|classify|translate|bullet|bullets|step|steps|item|items|reply|respond|response|return|output|label|category)"
    ),
    openings=(
        "{a} is easiest to understand through {b}: one shapes the other.",
        "In short, {a} decides how well {b} works in practice.",
        "The main point about {a} is what it changes for {b}.",
        "{a} has three sides that matter here, and {b} touches each of them.",
        "Most questions about {a} come down to {b}.",
    ),
    bodies=(
        "Start with a small case of {a}, measure it, and only then widen the scope.",
        "Where {a} and {b} meet, the usual mistake is to change both at once.",
        "A clear limit on {a} keeps {c} predictable.",
        "Teams that write down their assumptions about {b} notice errors days earlier.",
        "If {a} grows, {b} tends to become the bottleneck before anything else does.",
        "It helps to separate what is known about {a} from what is guessed.",
        "The cost of {b} is paid on each call, so a shorter form pays back quickly.",
        "One counterexample is enough to show that {c} does not always follow from {a}.",
        "For {b}, a short check list works better than a long rule.",
        "Keep the stable part of {a} at the front and the part that changes at the end.",
        "Compare two versions of {a} side by side before you choose one.",
        "In numbers, a good setting of {b} saves about a third of the effort.",
        "None of this replaces a test with real data about {c}.",
        "When in doubt, prefer the version of {a} that a colleague can read in a minute.",
    ),
    items=(
        "Name the goal of {a} in one line.",
        "Measure {b} before and after the change.",
        "Keep {c} out of the critical path.",
        "Write one test that fails when {a} is wrong.",
        "Agree on a limit for {b}.",
        "Review {a} together with {c} once a week.",
        "Remove what nobody uses in {b}.",
        "Document the one exception to {a}.",
        "Show the result of {c} to its users early.",
        "Plan how to undo {a}.",
    ),
    thoughts=(
        "The question is about {a}, so {b} has to be considered first.",
        "Let me check whether {a} and {c} contradict each other.",
        "A short answer about {b} is enough here.",
        "I should mention {c}, but not in detail.",
        "The asker probably knows {a} already.",
    ),
    code_before=("Here is a small function for {a}.", "This handles {a} and the empty case of {b}."),
    columns=("Subject", "Share %", "Priority"),
    grades=("high", "medium", "low"),
    nothing="the task",
    beside=("its context", "the result"),
)

CHINESE = Phrases(
    stop=re.compile(
        "请你|帮我|麻烦|谢谢|感谢|非常|能否|能不能|可以|是否|什么是|什么|比如|例如|实际|怎么|怎样|如何|为什么|哪些|哪个|解释|说明|介绍|描述|列出|总结|概括|归纳|翻译"
        "|分析|比较|写出|编写|给出|提供|回答|输出|生成|详细|简单|简短|简要|简洁|一下|一个|一些|一种|一?句话|以下|下面|上面|这个|那个|这些|那些|这段|包括"
        "|包含|以及|并且|而且|或者|但是|因为|所以|如果|需要|必须|应该|不要|不能|要求|使用|进行|关于|对于|通过|根据|按照|我们|你们|他们|它们|自己|扮演"
        "|资深|作为|其中|主要|重要性?|常用|通俗易懂|专业术语|语言|中文|英文|英语|例子|举例|问题|内容|格式|表格|列表|清单|步骤|要点|个字|字以内|左右|还要"
        "|[的了是在和与及或对把被将给让向从到为以用请我你他她它们这那一二两三四五六七八九十个条点项种步些有没也都就还要会能可不很着过吗呢吧啊呀写做求出]"
    ),
    openings=(
        "{a}的关键在于{b}:先把目标说清楚,再决定怎么做。",
        "简单来说,{a}就是围绕{b}建立一套可以重复的方法。",
        "谈到{a},最先要看的是{b}。",
        "{a}可以从三个方面来理解,其中{b}最容易被忽略。",
        "要弄懂{a},不妨先看它怎样影响{b}。",
    ),
    bodies=(
        "实际工作中,{a}通常从一个小样本开始,量一量现状再动手。",
        "{a}和{b}最好分开调整,一次只改一处,才看得出效果。",
        "给{a}设一个明确的上限,{c}就会稳定得多。",
        "团队如果把对{b}的假设写下来,往往能提前几天发现错误。",
        "当{a}变多时,{b}常常最先成为瓶颈。",
        "关于{a},应当区分已经确认的事实和还在猜测的部分。",
        "{b}的开销每次调用都要付,所以写短一点很快就能回本。",
        "只要一个反例,就足以说明{c}并不总是由{a}决定的。",
        "对{b}来说,一张简短的检查表比一条长规则更管用。",
        "把{a}里不变的部分放在前面,把会变的部分放在最后。",
        "先把{a}的两个版本放在一起比较,再做选择。",
        "从数字上看,合适的{b}大约能省下三分之一的工作量。",
        "当然,这些都不能代替用真实数据检验{c}。",
        "拿不准的时候,选同事一分钟就能读懂的那种{a}。",
    ),
    items=(
        "用一句话写明{a}的目标。",
        "改动前后都量一次{b}。",
        "不要让{c}卡在关键路径上。",
        "为{a}准备一个会失败的测试。",
        "给{b}定一个上限。",
        "每周把{a}和{c}放在一起复查。",
        "删掉{b}里没有人用的部分。",
        "把{a}的例外情况记录下来。",
        "尽早把{c}的结果给使用者看。",
        "想好{a}出错时怎样撤回。",
    ),
    thoughts=(
        "这个问题问的是{a},所以要先考虑{b}。",
        "检查一下{a}和{c}之间有没有矛盾。",
        "关于{b},简短地回答就够了。",
        "应当提到{c},但不必展开。",
        "提问的人大概已经了解{a}。",
    ),
    code_before=("下面是处理{a}的一个小函数。", "这段代码实现{a},并考虑了{b}为空的情况。"),
    columns=("对象", "占比 %", "优先级"),
    grades=("高", "中", "低"),
    nothing="这项任务",
    beside=("具体情况", "结果"),
)
