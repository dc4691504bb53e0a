"""Prompts to begin with: each holds ``{{placeholders}}`` with sample values in its front matter."""

from __future__ import annotations

from dataclasses import dataclass

from promptop.base.errors import UsageError


@dataclass(frozen=True, slots=True)
class Template:
    """A prompt with placeholders."""

    name: str
    description: str
    text: str


def _code(sample: str) -> str:
    return f"""\
---
sample:
  {sample}
---
"""


PERFORMANCE = Template(
    "performance-requirements",
    "code with measurable limits: target time, library, fields, paging",
    _code("""task: list the orders of a customer
  language: Python 3.12
  library: asyncpg
  rows: 1,000,000
  target_ms: 50
  fields: id, created_at, total
  page_size: 100""")
    + """\
system:
You write {{language}} code. Output one code block and nothing else.

user:
{{task}}

Requirements:
- Target: {{target_ms}} ms at p95 for {{rows}} rows.
- Library: {{library}} only.
- Fields: select {{fields}}; no SELECT *.
- Paging: keyset, {{page_size}} rows a page; no OFFSET.
- At most 60 lines.
""",
)

PERFORMANCE_ZH = Template(
    "performance-requirements-zh",
    "性能要求：目标时间、库、字段、分页",
    _code("""task: 查询一个客户的订单
  language: Python 3.12
  library: asyncpg
  rows: 100万
  target_ms: 50
  fields: id, created_at, total
  page_size: 100""")
    + """\
system:
你编写{{language}}代码。只输出一个代码块。

user:
{{task}}

要求：
- 目标：{{rows}}行数据，p95不超过{{target_ms}}毫秒。
- 库：只用{{library}}。
- 字段：只查询{{fields}}，不用SELECT *。
- 分页：键集分页，每页{{page_size}}行，不用OFFSET。
- 最多60行。
""",
)

TEMPLATES: tuple[Template, ...] = (
    PERFORMANCE,
    PERFORMANCE_ZH,
    Template(
        "extract-json",
        "facts out of a text as JSON with named fields",
        """\
---
parameters: {max_tokens: 200, temperature: 0}
sample: {fields: "name, date, amount", text: "Invoice of Lin Mei, 3 May: 120 euros."}
---
system:
Extract {{fields}} from the text. Output one JSON object with these keys:
values of at most 20 words, null where the text does not say.

user:
{{text}}
""",
    ),
    Template(
        "classify-few-shot",
        "one label of a list, with two examples",
        """\
---
parameters: {max_tokens: 5, temperature: 0}
sample: {labels: "bug, question, praise", example: "The app crashes", label: bug, text: "How do I sign in?"}
---
system:
Classify the message. Output one word, exactly one of: {{labels}}.

user:
{{example}}

assistant:
{{label}}

user:
{{text}}
""",
    ),
    Template(
        "summarise",
        "a summary with a limit of words and points",
        """\
---
parameters: {max_tokens: 300}
sample: {points: "3", words: "20", document: "…"}
---
system:
Summarise the document in {{points}} bullets of at most {{words}} words each.

user:
Document:
{{document}}
""",
    ),
    Template(
        "answer-from-context",
        "an answer from a document alone, stable text first",
        """\
---
sample: {document: "…", question: "What is the notice period?"}
---
system:
Answer from the document only, in at most 3 sentences. If it does not say, output: not stated.

user:
Document:
{{document}}

Question:
{{question}}
""",
    ),
    Template(
        "review-code",
        "findings on a diff by severity, none invented",
        """\
---
sample: {count: "5", diff: "…"}
---
system:
Review the diff for defects. Output a list of at most {{count}} lines: file:line, severity (high, low), defect, fix.
No praise.

user:
{{diff}}
""",
    ),
)
"""All templates, in the order in which they are offered."""


def template(name: str) -> Template:
    """Return the template of this name; raise :class:`UsageError` if there is none."""
    for each in TEMPLATES:
        if each.name == name:
            return each
    names = ", ".join(each.name for each in TEMPLATES)
    raise UsageError(f"There is no template {name!r}.", f"Templates: {names}.")
