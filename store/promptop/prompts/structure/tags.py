"""Tags in a prompt: which belong together, and whether what stands between them is instructions or data."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_TAG = re.compile(r"<(?P<close>/)?(?P<name>[A-Za-z_\u4e00-\u9fff][\w:.\-\u4e00-\u9fff]*)(?P<rest>[^<>\n]*)>")
_ROLE_WORDS = (
    "role identity persona character profile task tasks goal goals objective objectives mission purpose instruction"
    " instructions rule rules guideline guidelines policy policies constraint constraints restriction restrictions"
    " limit limits limitation limitations requirement requirements format formatting style tone voice behavior"
    " behaviour behaviors conduct design principle principles step steps workflow procedure procedures process approach"
    " method methodology strategy capabilities capability responsibilities responsibility duties duty scope system"
    " important note notes reminder reminders warning warnings safety security privacy ethics guardrail guardrails"
    " communication calling changes debugging planning testing deployment quality criteria expectations standards"
    " conventions practices dos donts handling usage guidance preferences refusal refusals wellbeing overview intro"
    " introduction editing reading writing reasoning thinking research citations verification autonomy"
    " 角色 身份 任务 目标 指令 规则 准则 约束 限制 要求 格式 风格 语气 原则 步骤 流程 能力 职责 注意事项 说明 安全"
)
_DATA_WORDS = (
    "example examples sample samples shot shots demo demonstration document documents doc docs context source sources"
    " passage passages article articles transcript email mail message messages ticket tickets conversation chat history"
    " log logs data dataset input inputs output outputs result results search query question questions answer answers"
    " response responses reply user assistant human ai content text code file files diff patch snippet find replace old"
    " new original before after put quote quotes excerpt paragraph page html json yaml xml csv table schema record"
    " records item items reference references attachment letter review reviews comment comments post story poem draft"
    " essay report template templates env environment details old_str new_str old_string new_string edit edits thought"
    " command path args arguments parameters parameter tool tools function functions call invoke artifact"
    " 资料 文档 材料 原文 文章 示例 例子 样例 上下文 背景 数据 参考 输入 输出 对话 历史 知识库 内容 片段 代码"
    " 问题 邮件 回答"
)
_ROLES = frozenset(_ROLE_WORDS.split())
_DATA = frozenset(_DATA_WORDS.split())
_DIRECTIVE = re.compile(
    r"\b(?:you|your|never|always|must|should|do not|don't|avoid|ensure|make sure|use)\b|你|必须|不得|不要|应当|禁止",
    re.IGNORECASE,
)
_FEWEST_DIRECTIVES = 0.5


@dataclass(frozen=True, slots=True)
class TagPair:
    """A tag and the one that closes it; offsets in characters of the text."""

    name: str
    start: int
    inner_start: int
    inner_end: int
    end: int
    attributes: str = ""


def pairs(text: str, start: int, end: int, is_free: Sequence[tuple[int, int]]) -> list[TagPair]:
    """Return the pairs in [start, end), outer before inner; tags inside one of the ``is_free`` spans are left out."""
    opened: list[re.Match[str]] = []
    found: list[TagPair] = []
    blocked = list(is_free)
    for tag in _TAG.finditer(text, start, end):
        while blocked and blocked[0][1] <= tag.start():
            blocked.pop(0)
        if blocked and blocked[0][0] <= tag.start():
            continue
        if tag["rest"].endswith("/"):
            continue
        if not tag["close"]:
            opened.append(tag)
            continue
        for at in range(len(opened) - 1, -1, -1):
            if opened[at]["name"] == tag["name"]:
                first = opened[at]
                found.append(
                    TagPair(tag["name"], first.start(), first.end(), tag.start(), tag.end(), first["rest"].strip())
                )
                del opened[at:]
                break
    return sorted(found, key=lambda pair: (pair.start, -pair.end))


def holds_instructions(text: str, pair: TagPair) -> bool:
    """Tell whether what stands between two tags is instructions; a doubt makes it data, which stays as it is."""
    words = [word for word in re.split(r"[_\-.:]|(?<=[a-z])(?=[A-Z])", pair.name) if word]
    lowered = [word.lower() for word in words]
    for word in reversed(lowered):
        if word in _DATA or word.removesuffix("s") in _DATA:
            return False
        if word in _ROLES:
            return True
    inside = text[pair.inner_start : pair.inner_end]
    lines = [line for line in inside.split("\n") if len(line.strip()) > 15]
    if "\n" not in inside.strip() or len(lines) < 2 or pair.attributes:
        return False
    return sum(bool(_DIRECTIVE.search(line)) for line in lines) >= _FEWEST_DIRECTIVES * len(lines)
