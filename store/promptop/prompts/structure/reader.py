"""From the text of a prompt to its structure: lines get a kind, lines make blocks, headings and tags make sections."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

from promptop.prompts import comments
from promptop.prompts.structure import shapes, tags
from promptop.prompts.structure.inline import inline_spans
from promptop.prompts.structure.language import language_of
from promptop.prompts.structure.model import Block, BlockKind, Cover, Protected, Section, Span
from promptop.prompts.syntax.role_lines import DIRECTIVE

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

    from promptop.prompts.document import Prompt

_BULLET = re.compile(
    r"[ \t]*(?:>[ \t]?)*(?:(?:[-*+•●▪◦·○✓✅❌→]|\d{1,3}[.)、）．]|\d+(?:\.\d+)+[a-z]?[.)]?|[A-Za-z][.)]"
    r"|[（(][\da-z一二三四五六七八九十]{1,3}[)）]"
    r"|[一二三四五六七八九十]{1,3}[、.．]|[①-⑳])(?=[ \t]|$|(?<=[、）．①-⑳)•●▪◦·○])\S)[ \t]*)(?:\[[ xX]?\][ \t]*)?"
)
_MARKS = re.compile(r"[*_#>`\s\-:：【】\[\]()（）.、\d一二三四五六七八九十]*")
_LABEL = re.compile(
    r"[ \t]*(?:\*{1,2}[^*\n]{1,60}\*{1,2}[:：]?|__[^_\n]{1,60}__[:：]?|\[[A-Z][A-Z _-]{1,30}\]|【[^】\n]{1,30}】[:：]?"
    r"|[A-Z][A-Z0-9 &/'-]{2,40}[:：]?|[^\s:：.!?。！？，,][^\n:：.!?。！？]{0,50}[:：])[ \t]*$"
)
_TITLE = re.compile(r"(?:[A-Z][\w&/'-]*(?: (?:of|and|for|the|to|&|[A-Z][\w&/'-]*)){0,5}|[\u4e00-\u9fff]{2,8})[ \t]*$")
_INTRO = re.compile(r"[:：][*_]{0,2}[ \t]*$")
_EXAMPLE_TITLE = re.compile(
    r"\bexamples?\b|\bfew[- ]shots?\b|\bsamples?\b|\bdemonstrations?\b|示例|样例|例子|范例|举例|案例"
    r"|例[一二三四五\d]|例：|^例$|例$",
    re.IGNORECASE,
)
_SOURCES = (
    r"text|e-?mail|mail|message|article|passage|document|context|transcript|review|comment|content|sentence|paragraph|ticket|conversation|dialogue"
    r"|source|letter|post|story|code|data|query|原文|文本|内容|文章|资料|邮件|评论|句子|段落|对话|工单|上下文|正文|材料"
)
_EXAMPLE_LINE = re.compile(
    r"[ \t]*(?:[-*+] )?[*_]{0,2}(?:(?:good|bad|wrong|correct|incorrect|right|original|source|input|user)"
    r" )?(?:examples?|input|output|q|a|user|human"
    r"|assistant|ai|bot|question|answer|customer|示例|样例|例子?|输入|输出|问|答|用户|助手|问题|回答|正例|反例|"
    + _SOURCES
    + r")(?:[ ]?[\d一二三四五]{1,2})?[*_]{0,2}[ ]?[:：][*_]{0,2}[ \t]*\S",
    re.IGNORECASE,
)
_SOURCE_LABEL = re.compile(
    rf"[ \t]*[*_]{{0,2}}(?:(?:here is |this is |below is )?(?:the |my |our )?(?:original |source |input "
    rf"|customer |following |user |draft |full )?(?:{_SOURCES})s?|[\u4e00-\u9fff]{{0,4}}(?:原文|文本"
    rf"|正文))[*_]{{0,2}}[ ]?[:：][*_]{{0,2}}[ \t]*$",
    re.IGNORECASE,
)
_SALUTATION = re.compile(
    r"[ \t]*(?:Dear [A-Za-z]|(?:Hi|Hello|Hey|To) [A-Z])[^.!?\n]{0,40}[,:][ \t]*$|[ \t]*(?:尊敬的"
    r"|亲爱的)[^。！？\n]{1,20}[：:，,][ \t]*$"
)
_MAIL_HEADER = re.compile(
    r"[ \t]*(?:From|To|Cc|Bcc|Subject|Date|Sent|Reply-To|发件人|收件人|抄送|主题)[:：][ \t]*\S", re.IGNORECASE
)
_SIGN_OFF = re.compile(
    r"[ \t]*(?:(?:kind|best|warm|many) (?:regards|wishes|thanks)|regards|best|sincerely|yours(?: (?:truly"
    r"|sincerely|faithfully))?|cheers|thanks|thank you|此致|敬礼|祝好|顺颂商祺)[,，!！]?[ \t]*$",
    re.IGNORECASE,
)
_EXAMPLE_HEAD = re.compile(
    r"[ \t]*(?:[-*+] )?[*_]{0,2}(?:examples?|samples?|cases?|示例|样例|例子?)[ ]?(?:#?\d{1,3}|[A-Z]"
    r"|[一二三四五六七八九十])"
    r"[*_.:：)]{0,3}[ \t]*$",
    re.IGNORECASE,
)
_TURN = re.compile(
    r"[ \t]*(?:[-*+] |>[ \t]?)?[*_]{0,2}(?P<label>[A-Z][A-Za-z]*(?: [A-Za-z]+){0,2}|[\u3040-\u30ff\u4e00-\u9fff]{1,8})"
    r"[*_]{0,2}[ ]?[:：][*_]{0,2}(?:[ \t]|\S|$)"
)
_PARAMETERS = re.compile(
    r"[ \t]*[*_#]*[ ]?(?:(?:required |optional |input |output )?(?:parameters?|args?|arguments?|params?"
    r"|options?|fields?|"
    r"properties|attributes|columns|keys|returns?)|(?:入参|参数|字段|属性|选项"
    r"|返回值?)[^\n]{0,6})[*_]*[ ]?[:：]?[*_]*[ \t]*$",
    re.IGNORECASE,
)
_PARAMETER = re.compile(
    r"[*_`\"']*[\w.$-]+(?:, ?[\w.$-]+)*[`*_\"']*[ ]?(?:[:：][ ]?)?[(（\[][^)）\]\n]{0,40}"
    r"(?:required|optional|default|string|number|integer|boolean|array|object|必填|选填|可选|必须|默认)[^)）\]\n]{0,40}[)）\]]"
    r"|[*_]{0,2}`[\w.$-]+`[*_]{0,2}[ ]?(?:[(（\[][^)\n]{0,40}[)）\]])?[ ]?[:：–—-]",
    re.IGNORECASE,
)
_DOC_TAG = re.compile(
    r"[ \t]*(?:\*[ \t]*)?(?:@(?:params?|args?|returns?|throws|raises|type|property)\b"
    r"|:(?:param|type|returns?|raises)\b[^:\n]*:)"
)
_LITERAL_TITLE = re.compile(
    r"\b(?:phrases?|scripts?|wordings?|canned|templates?|snippets?|greetings?|sample (?:replies|responses)|replies"
    r"|word for word|verbatim|exact (?:text|words|wording)|exactly as|standard (?:replies|responses))\b"
    r"|话术|用语|模板|逐字|原样|照抄|固定回复|标准回复|文案",
    re.IGNORECASE,
)
_TEMPLATE_LINE = re.compile(r"[ \t]*(?:\{\{[{#/^>!&~]?[^{}\n]*\}?\}\}|\{%[^\n]*%\}|\{#[^\n]*#\}|<%[^\n]*%>)[ \t]*$")
_FORM = re.compile(
    r"[^\n]*(?:_{4,}|\.{5,}|…{3,})|[ \t]*(?:[-*+•]|\d{1,3}[.)、])[ \t]*(?:\[[ xX]?\])?[ \t]*(?:\[\s*\])?$"
)
_SEPARATOR = re.compile(r"[ \t]*(?P<mark>[-=*_#~—])(?P=mark){2,}[ \t]*$")
_QUOTED = re.compile(r"[ \t]*(?P<mark>\"{3,}|'{3,}|<{3,}|>{3,}|`{3,}|「{2,}|={3,}BEGIN.*|-{3,}BEGIN.*)[ \t]*$")
_CLOSERS = {'"""': '"""', "'''": "'''", "<<<": ">>>", ">>>": "<<<", "```": "```"}
_PROSE_FENCES = ("", "markdown", "md", "text", "txt", "prompt", "plaintext", "plain")
_FREE: tuple[BlockKind | None, ...] = ("paragraph", "item")


@cache
def _markdown() -> MarkdownIt:
    """Return the reader of Markdown blocks: no HTML, no code by indentation, as prompts have both as prose."""
    from markdown_it import MarkdownIt

    reader = MarkdownIt("commonmark", {"maxNesting": 40}).enable("table")
    return reader.disable(["code", "html_block", "reference", "lheading"])


def _block_tokens(source: str) -> list[Token]:
    from markdown_it.token import Token as Made

    reader = _markdown()
    tokens: list[Made] = []
    reader.block.parse(source, reader, {}, tokens)
    return tokens


@dataclass(slots=True)
class _Line:
    start: int
    end: int
    text: str
    kind: BlockKind | None = None
    """None is an empty line."""
    detail: str = ""
    level: int = 0
    """Of a heading, 1 to 6."""
    begins: bool = False
    """Whether a new block begins here."""
    breaks: bool = False
    """Whether a new section of prose begins here."""


@dataclass(slots=True)
class _Found:
    """What reading a message adds to."""

    blocks: list[Block] = field(default_factory=list)
    protected: list[Protected] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    section: int = 0


class Structure:
    """The tree of one text; offsets are in characters of it."""

    def __init__(self, text: str, prompt: Prompt | None) -> None:
        self.text = text
        self.body_start = prompt.body_start if prompt is not None else len(text)
        """Offset behind the front matter; the length of a text whose front matter cannot be read."""
        self.messages: tuple[Span, ...] = ()
        self.roles: tuple[str, ...] = ()
        found = _Found()
        if prompt is not None:
            self.messages = tuple((message.start, message.end) for message in prompt.messages)
            self.roles = tuple(message.role for message in prompt.messages)
            _read_messages(text, self.body_start, self.messages, self.roles, found)
        off = [Protected(start, end, "switched off") for start, end in comments.spans(text, self.body_start)]
        if off:  # neither sent nor judged
            found.blocks = [
                each for each in found.blocks if not any(o.start < each.end and each.start < o.end for o in off)
            ]
            found.protected += off
        if self.body_start:
            found.protected.append(Protected(0, self.body_start, "front matter"))
        found.protected += [
            Protected(*each.span(), "what is not text: an image, a file, a tool call")
            for each in DIRECTIVE.finditer(text, self.body_start)
        ]
        self.blocks: tuple[Block, ...] = tuple(sorted(found.blocks, key=lambda block: block.start))
        self._starts = [block.start for block in self.blocks]
        self.cover = Cover(found.protected)
        self._sections = found.sections

    @property
    def protected(self) -> tuple[Protected, ...]:
        """Spans that no safe edit changes, in order."""
        return self.cover.spans

    @cached_property
    def prose(self) -> tuple[Block, ...]:
        """Blocks whose words are instructions, in order; those in languages without rules are left out."""
        return tuple(block for block in self.blocks if block.is_prose and block.language != "other")

    def block_at(self, offset: int) -> Block | None:
        """Return the block that holds ``offset``; None between blocks."""
        at = bisect_right(self._starts, offset) - 1
        return self.blocks[at] if at >= 0 and offset < self.blocks[at].end else None

    def message_at(self, offset: int) -> int:
        """Return the number of the message that holds ``offset``; -1 between messages."""
        return next((at for at, (start, end) in enumerate(self.messages) if start <= offset < end), -1)

    @cached_property
    def sentences(self) -> tuple[tuple[Block, int, int], ...]:
        """Sentences of prose as (block, start, end), in order, without the blanks around them."""
        found = []
        for block in self.prose:
            found += [(block, start, end) for start, end in sentences_of(self.text, block.start, block.end)]
        return tuple(found)

    @cached_property
    def outline(self) -> tuple[Section, ...]:
        """The messages with the sections in them, nested; each covers all its text."""
        found: list[Section] = []
        for (start, end), role in zip(self.messages, self.roles, strict=True):
            inside = [each for each in self._sections if start <= each.start and each.end <= end]
            found.append(_nested(Section("message", role, start, end), inside))
        return tuple(found)


def _nested(parent: Section, inside: Sequence[Section]) -> Section:
    ordered = sorted(inside, key=lambda each: (each.start, -each.end))
    children = []
    at = 0
    while at < len(ordered):
        first = ordered[at]
        within = [each for each in ordered[at + 1 :] if each.start < first.end and each.end <= first.end]
        children.append(_nested(first, within))
        at += 1
        while at < len(ordered) and ordered[at].start < first.end:
            at += 1
    return Section(parent.kind, parent.title, parent.start, parent.end, tuple(children))


_SENTENCE = re.compile(r"[^\s].*?(?:[.!?](?:[\"'”’)*_]{0,3})(?=\s|$)|[。！？]+[”’」』）]?|[;；](?=\s*\n)|$)", re.DOTALL)
_ABBREVIATED = re.compile(r"(?:\b(?:e\.g|i\.e|etc|vs|cf|resp|approx|Mr|Mrs|Dr|No|Fig)|(?<![\w.])[A-Z])\.$")


def sentences_of(text: str, start: int, end: int) -> Iterator[Span]:
    """Yield the sentences of ``text[start:end]``, cut behind the punctuation that ends one, not behind "e.g."."""
    at = start
    while at < end:
        found = _SENTENCE.search(text, at, end)
        if found is None:
            return
        first, stop = found.span()
        while stop < end and _ABBREVIATED.search(text, max(first, stop - 8), stop):
            more = _SENTENCE.search(text, stop, end)
            if more is None:
                break
            stop = more.end()
        if stop <= first:
            return
        yield first, stop
        at = stop


@lru_cache(maxsize=4)
def read_structure(text: str) -> Structure:
    """Return the structure of a text; the last few are kept, as trims, lint and outline ask one after the other.

    Never fails: a text whose front matter cannot be read has no messages.
    """
    from promptop.prompts import parse

    try:
        prompt = parse(text)
    except Exception as error:
        from promptop.base.errors import PromptopError

        if not isinstance(error, PromptopError):
            raise
        return Structure(text, None)
    return Structure(text, prompt)


def _read_messages(text: str, body_start: int, messages: Sequence[Span], roles: Sequence[str], found: _Found) -> None:
    at = body_start
    last_user = max((k for k, role in enumerate(roles) if role == "user"), default=-1)
    for number, ((start, end), role) in enumerate(zip(messages, roles, strict=True)):
        head = text[at:start]
        if head.strip():
            found.protected.append(
                Protected(at + len(head) - len(head.lstrip()), start, "the line that names the role")
            )
        at = end
        found.section += 1
        if start == end:
            continue
        is_shown = "assistant" in roles[number + 1 :] and role == "user" and number < last_user
        if role in ("assistant", "tool") or is_shown:
            reason = "a tool's answer" if role == "tool" else "a turn of the conversation"
            found.blocks.append(Block("example", start, end, found.section, number, reason))
            found.protected.append(Protected(start, end, reason))
            continue
        _Message(text, start, end, number, found).read()


class _Message:
    """One message while its lines are being given kinds."""

    def __init__(self, text: str, start: int, end: int, number: int, found: _Found) -> None:
        self.text, self.start, self.end, self.number, self.found = text, start, end, number, found
        self.lines: list[_Line] = []
        at = start
        for piece in text[start:end].split("\n"):
            self.lines.append(_Line(at, at + len(piece), piece.rstrip("\r")))
            at += len(piece) + 1
        self._starts = [line.start for line in self.lines]

    def read(self) -> None:
        """Give each line a kind, then add blocks, protected spans and sections."""
        first, last = self._peeled()
        self._markdown(first, last)
        self._templates()
        self._tags()
        self._quoted()
        self._code_and_tables()
        self._indented()
        self._headings_and_labels()
        self._letters()
        self._examples()
        self._parameters_and_literals()
        self._blocks()

    def _line_at(self, offset: int) -> int:
        return max(0, bisect_right(self._starts, offset) - 1)

    def _peeled(self) -> tuple[int, int]:
        """Return the lines to read: all, or those inside the one fence that holds the whole prompt."""
        full = [at for at, line in enumerate(self.lines) if line.text.strip()]
        if len(full) >= 3:
            head, foot = self.lines[full[0]].text.strip(), self.lines[full[-1]].text.strip()
            mark = re.match(r"`{3,}|~{3,}", head)
            inner = self.lines[full[0] + 1 : full[-1]]
            if (
                mark
                and foot == mark[0]
                and head[len(mark[0]) :].strip().lower() in _PROSE_FENCES
                and sum(line.text.strip().startswith(mark[0]) for line in inner) % 2 == 0
                and sum(shapes.is_sentence(line.text) for line in inner) >= 2
            ):
                for at in (full[0], full[-1]):
                    self.lines[at].kind, self.lines[at].detail = "separator", "the fence around the prompt"
                return full[0] + 1, full[-1]
        return 0, len(self.lines)

    def _markdown(self, first: int, last: int) -> None:
        lines = self.lines
        for line in lines[first:last]:
            line.kind = "paragraph" if line.text.strip() else None
        source = "\n".join(line.text for line in lines[first:last])
        for token in _block_tokens(source):
            if token.map is None:
                continue
            low, high = token.map[0] + first, min(token.map[1] + first, last)
            if token.type == "heading_open":
                if not lines[low].text.lstrip().startswith("#"):
                    continue  # a comment behind the sign of a diff
                self._mark(low, high, "heading", level=int(token.tag[1]))
            elif token.type == "fence":
                language = token.info.strip().split(" ")[0]
                self._mark(low, high, "fence", f"a fence of {language}" if language else "a fence", blank=True)
            elif token.type == "hr":
                self._mark(low, high, "separator")
            elif token.type == "table_open":
                self._mark(low, high, "table", "a table")
            elif token.type == "blockquote_open":
                self._mark(low, high, "literal", "a quoted block")
            elif token.type == "list_item_open" and lines[low].kind in ("paragraph", "item"):
                for line in lines[low:high]:
                    if line.kind == "paragraph":
                        line.kind = "item"
                lines[low].begins = True
        for at in range(first, last):
            line = lines[at]
            if line.kind == "paragraph" and _SEPARATOR.match(line.text):
                line.kind = "separator"
            elif line.kind in _FREE and (mark := _BULLET.match(line.text)) and mark.end() > 0 and mark[0].strip():
                line.kind, line.begins = "item", True

    def _mark(
        self, low: int, high: int, kind: BlockKind, detail: str = "", *, level: int = 0, blank: bool = False
    ) -> None:
        """Give lines [low, high) a kind; empty ones only with ``blank``."""
        for line in self.lines[low:high]:
            if line.kind is not None or blank:
                line.kind, line.detail, line.level = kind, detail, level
                line.begins = False
        if low < len(self.lines):
            self.lines[low].begins = True

    def _templates(self) -> None:
        for line in self.lines:
            if line.kind in _FREE and _TEMPLATE_LINE.match(line.text):
                line.kind, line.detail, line.begins = "template", "template syntax", True

    def _tags(self) -> None:
        fences = [(line.start, line.end) for line in self.lines if line.kind == "fence"]
        held = self.start
        for pair in tags.pairs(self.text, self.start, self.end, fences):
            if pair.start < held:
                continue
            low, high = self._line_at(pair.start), self._line_at(pair.end - 1)
            alone = (
                not self.text[self.lines[low].start : pair.start].strip()
                and not self.text[pair.end : self.lines[high].end].strip()
            )
            if alone and tags.holds_instructions(self.text, pair):
                self._instruction_tag(pair, low, high)
                continue
            held = pair.end
            reason = f"what stands in <{pair.name}>"
            self.found.protected.append(Protected(pair.start, pair.end, reason))
            if alone:
                is_example = bool(re.search(r"example|shot|sample|示例|样例|例子", pair.name, re.IGNORECASE))
                kind: BlockKind = "example" if is_example else "data"
                self._mark(low, high + 1, kind, reason, blank=True)
                if high > low:
                    title = f"<{pair.name}>"
                    self.found.sections.append(
                        Section("example" if is_example else "data", title, pair.start, pair.end)
                    )

    def _instruction_tag(self, pair: tags.TagPair, low: int, high: int) -> None:
        self.found.sections.append(Section("tag", f"<{pair.name}>", pair.start, pair.end))
        for at, start, end in ((low, pair.start, pair.inner_start), (high, pair.inner_end, pair.end)):
            line = self.lines[at]
            self.found.protected.append(Protected(start, end, "a tag"))
            line.breaks = True
            if not (self.text[line.start : start] + self.text[end : line.end]).strip():
                line.kind, line.detail, line.begins = "tag", "a tag", True
            if at + 1 < len(self.lines):
                self.lines[at + 1].breaks = self.lines[at + 1].begins = True

    def _quoted(self) -> None:
        """Mark what stands between lines of three quotes or brackets."""
        at = 0
        while at < len(self.lines):
            line = self.lines[at]
            mark = _QUOTED.match(line.text) if line.kind in ("paragraph", "item", "literal") else None
            if mark is None:
                at += 1
                continue
            closing = _CLOSERS.get(mark["mark"][:3], "")
            end = next(
                (
                    k
                    for k in range(at + 1, len(self.lines))
                    if (closing and self.lines[k].text.strip().startswith(closing))
                    or (not closing and re.match(r"[ \t]*[-=」]{2,}", self.lines[k].text))
                ),
                len(self.lines) - 1,
            )
            self._mark(at, end + 1, "data", "quoted text", blank=True)
            at = end + 1

    def _code_and_tables(self) -> None:
        texts = [line.text for line in self.lines]
        free = [line.kind in (*_FREE, None) for line in self.lines]
        for low, high in shapes.table_rows(texts, [line.kind in _FREE for line in self.lines]):
            self._mark(low, high, "table", "a table")
        free = [line.kind in (*_FREE, None) for line in self.lines]
        for low, high, name in shapes.code_runs(texts, free):
            self._mark(low, high, "code", name, blank=True)
            if high - low >= 3:
                self.found.sections.append(Section("code", name, self.lines[low].start, self.lines[high - 1].end))
        for low, high in shapes.aligned_rows(texts, [line.kind in _FREE for line in self.lines]):
            self._mark(low, high, "table", "a table")

    def _headings_and_labels(self) -> None:
        """Find where sections of prose begin; labels that are no sentence are left as they are."""
        before: BlockKind | None = None
        for at, line in enumerate(self.lines):
            if line.kind in ("heading", "separator", "tag", "fence", "code", "data", "example", "table", "template"):
                line.breaks = line.breaks or line.kind != before
            elif line.kind in _FREE:
                if before not in (*_FREE, "label", None):
                    line.breaks = True
                bare = line.text.strip()
                is_label = (
                    bool(_LABEL.match(bare)) and len(bare) <= 60 and not (shapes.is_sentence(bare) and len(bare) > 24)
                )
                if not is_label and self._is_title(at):
                    is_label = True
                if line.kind == "item":
                    is_label = is_label and bool(_INTRO.search(bare)) and len(bare) <= 40
                if is_label and (_INTRO.search(bare) or self._alone(at)):
                    line.kind, line.begins = "label", True
                    line.breaks = True
                elif _INTRO.search(bare):
                    line.breaks = line.begins = True
                elif _FORM.match(line.text):
                    line.kind, line.detail, line.begins = "form", "a place to fill in", True
            if line.kind is not None:
                before = line.kind

    def _is_title(self, at: int) -> bool:
        """Tell whether a line is a heading without marks: a few words alone, with no sentence in them."""
        line, following = self.lines[at], self.lines[at + 1] if at + 1 < len(self.lines) else None
        return (
            line.kind == "paragraph"
            and self._alone(at)
            and following is not None
            and (following.kind in (None, "item") or _BULLET.match(following.text) is not None)
            and _TITLE.match(line.text) is not None
        )

    def _alone(self, at: int) -> bool:
        """Tell whether the line before is empty or no prose."""
        return at == 0 or self.lines[at - 1].kind not in _FREE

    def _letters(self) -> None:
        """Mark letters, from the salutation to the name under the sign-off, and what follows a label such as Text:."""
        lines = self.lines
        stops = ("heading", "separator", "tag", "template")
        at = 0
        while at < len(lines):
            line = lines[at]
            is_source = line.kind == "label" and _SOURCE_LABEL.match(line.text) is not None
            if is_source:
                following = next((each.kind for each in lines[at + 1 :] if each.kind is not None), None)
                is_source = following in _FREE  # quoted or fenced text says itself where it ends
            is_mail = self._is_mail(at)
            if not is_source and not is_mail and not (line.kind in (*_FREE, "label") and _SALUTATION.match(line.text)):
                at += 1
                continue
            end = at + 1
            while end < len(lines) and lines[end].kind not in stops and not (is_source and lines[end].kind == "label"):
                end += 1
                if not is_source and _SIGN_OFF.match(lines[end - 1].text):
                    end = min(len(lines), end + 2)
                    break
            last = end
            while last > at + 1 and lines[last - 1].kind is None:
                last -= 1
            self._mark(at + is_source, last, "data", "text to work on", blank=True)
            at = end

    def _is_mail(self, at: int) -> bool:
        """Tell whether the header of a mail begins on a line: two fields in a row, such as From and Subject."""
        return all(
            line.kind in _FREE and _MAIL_HEADER.match(line.text) is not None for line in self.lines[at : at + 2]
        ) and at + 1 < len(self.lines)

    def _indented(self) -> None:
        """Mark what is set off by indentation under a line that announces it: verses, a text, a listing."""
        lines = self.lines
        for at, line in enumerate(lines):
            if line.kind != "paragraph" or not _INTRO.search(line.text) or at + 2 >= len(lines):
                continue
            margin = len(line.text) - len(line.text.lstrip()) + 4
            end = at + 2
            while end < len(lines) and (
                (lines[end].kind == "paragraph" and lines[end].text.startswith((" " * margin, "\t")))
                or (lines[end].kind is None and end + 1 < len(lines) and lines[end + 1].kind == "paragraph")
            ):
                end += 1
            while end > at + 2 and lines[end - 1].kind is None:
                end -= 1
            if lines[at + 1].kind is None and end > at + 2:
                self._mark(at + 2, end, "literal", "an indented block")

    def _examples(self) -> None:
        lines = self.lines
        at = 0
        while at < len(lines):
            line = lines[at]
            title = _title(line.text)
            is_titled = (
                line.kind in ("heading", "label") and len(title) <= 60 and _EXAMPLE_TITLE.search(title) is not None
            )
            if is_titled:
                end = self._example_end(at)
                self._mark_example(at, end)
                at = end
            elif line.kind in _FREE and (_EXAMPLE_LINE.match(line.text) or _EXAMPLE_HEAD.match(line.text)):
                end = at + 1
                while end < len(lines) and lines[end].kind in _FREE and not lines[end].breaks:
                    end += 1
                self._mark_example(at, end)
                at = end
            else:
                at += 1
        self._turns()

    def _mark_example(self, low: int, high: int) -> None:
        while high > low + 1 and not self.lines[high - 1].text.strip():
            high -= 1
        for at in range(low, high):
            line = self.lines[at]
            if line.kind in (*_FREE, "label", "literal", "form"):
                line.kind, line.detail = "example", "an example"
                line.breaks = True
        self.found.sections.append(
            Section("example", _title(self.lines[low].text)[:60], self.lines[low].start, self.lines[high - 1].end)
        )

    def _example_end(self, at: int) -> int:
        """Return the line behind an example that begins with a heading or label on line ``at``."""
        lines = self.lines
        head = lines[at]
        if head.kind == "heading":
            for end in range(at + 1, len(lines)):
                if (lines[end].kind == "heading" and lines[end].level <= head.level) or lines[end].kind == "tag":
                    return end
            return len(lines)
        end, seen = at + 1, False
        while end < len(lines):
            line = lines[end]
            if line.kind in ("heading", "tag", "separator"):
                break
            if line.kind is None:
                following = next((each for each in lines[end + 1 :] if each.kind is not None), None)
                if following is None or following.kind in ("heading", "tag", "separator"):
                    break
                goes_on = (
                    following.kind in ("code", "fence", "data", "example", "table", "literal")
                    or bool(_TURN.match(following.text))
                    or following.text[:1] in (" ", "\t")
                )
                if seen and not goes_on:
                    break
            else:
                seen = True
            end += 1
        return end

    def _turns(self) -> None:
        """Find few-shot pairs: lines of one section whose labels come again in turn, such as ``Q:`` and ``A:``."""
        lines = self.lines
        low = 0
        cuts = [at for at, line in enumerate(lines) if line.kind in ("heading", "tag", "separator")]
        for high in [*cuts, len(lines)]:
            labels = {}
            for at in range(low, high):
                turn = _TURN.match(lines[at].text) if lines[at].kind in (*_FREE, "label", "example") else None
                if turn and not _PARAMETERS.match(lines[at].text):
                    labels[at] = turn["label"].lower()
            names = list(labels.values())
            again = {name for name in names if names.count(name) >= 2}
            places = [at for at, name in labels.items() if name in again]
            if len(again) >= 2 and len(places) >= 4 and _in_turn([labels[at] for at in places]):
                first = labels[places[0]]
                end = places[-1] + 1
                while end < high and lines[end].kind in (*_FREE, "example"):
                    end += 1
                units = [at for at in places if labels[at] == first]
                for begin, stop in zip(units, [*units[1:], end], strict=True):
                    last = max((at for at in places if begin <= at < stop), default=begin)
                    while last + 1 < stop and lines[last + 1].kind in (*_FREE, "example", "label"):
                        last += 1
                    if lines[begin].kind != "example":
                        self._mark_example(begin, last + 1)
            low = high + 1

    def _parameters_and_literals(self) -> None:
        lines = self.lines
        mode, level = "", 0
        for at, line in enumerate(lines):
            if line.kind in ("heading", "label") or (line.kind in _FREE and _INTRO.search(line.text)):
                title = _title(line.text)
                if line.kind == "heading":
                    mode = "literal" if _LITERAL_TITLE.search(title) and len(title) <= 50 else ""
                    level = line.level
                elif _PARAMETERS.match(line.text):
                    mode = "parameter"
                    continue
                elif _LITERAL_TITLE.search(line.text):
                    mode = "literal"
                    continue
                elif line.kind == "label" and not (mode == "literal" and level):
                    mode = ""
            elif line.kind in ("separator", "tag"):
                mode = ""
            if (line.kind in _FREE and _DOC_TAG.match(line.text)) or (
                line.kind == "item" and (mode == "parameter" or _PARAMETER.match(_body(line.text)))
            ):
                line.kind, line.detail, line.begins = "parameter", "a parameter", True
            elif line.kind == "item" and mode == "literal":
                line.kind, line.detail, line.begins = "literal", "text to be said word for word", True
            elif line.kind == "paragraph" and mode == "parameter":
                mode = ""
            elif (
                line.kind == "paragraph"
                and at
                and lines[at - 1].kind == "label"
                and _LITERAL_TITLE.search(lines[at - 1].text)
            ):
                line.kind, line.detail, line.begins = "literal", "text to be said word for word", True

    def _blocks(self) -> None:
        found, lines = self.found, self.lines
        first_block = len(found.blocks)
        at = 0
        heads: list[tuple[int, int, str]] = []
        while at < len(lines):
            line = lines[at]
            if line.kind is None:
                at += 1
                continue
            if line.breaks or line.kind in ("heading", "label"):
                found.section += 1
            end = at + 1
            while (
                end < len(lines)
                and lines[end].kind == line.kind
                and lines[end].detail == line.detail
                and not lines[end].begins
                and not lines[end].breaks
            ):
                end += 1
            start, stop = line.start, lines[end - 1].end
            if line.kind == "item":
                mark = _BULLET.match(line.text)
                start += mark.end() if mark else len(line.text) - len(line.text.lstrip())
            elif line.kind == "paragraph":
                start += len(line.text) - len(line.text.lstrip())
            if self.text[stop - 1 : stop] == "\r":
                stop -= 1
            if line.kind == "heading":
                heads.append((line.level, line.start, _title(line.text)))
            if start < stop:
                self._add(line, start, stop)
            at = end
        self._leave_foreign(first_block)
        for number, (level, start, title) in enumerate(heads):
            end = next((begin for other, begin, _ in heads[number + 1 :] if other <= level), self.end)
            end = min(
                [end, *(each.end for each in found.sections if each.kind == "tag" and each.start < start < each.end)]
            )
            while end > start and self.text[end - 1] in "\r\n":
                end -= 1
            found.sections.append(Section("heading", title, start, end))

    def _leave_foreign(self, first_block: int) -> None:
        """Leave all prose alone of a message that is mostly in a language without rules: English is quoted there."""
        blocks = self.found.blocks
        prose = [at for at in range(first_block, len(blocks)) if blocks[at].is_prose]
        other = sum(blocks[at].end - blocks[at].start for at in prose if blocks[at].language == "other")
        if 2 * other > sum(blocks[at].end - blocks[at].start for at in prose):
            for at in prose:
                if blocks[at].language != "other":
                    blocks[at] = replace(blocks[at], language="other")
                    self.found.protected.append(Protected(blocks[at].start, blocks[at].end, "a language without rules"))

    def _add(self, line: _Line, start: int, end: int) -> None:
        found = self.found
        assert line.kind is not None
        if line.kind in ("paragraph", "item"):
            language = language_of(self.text[start:end])
            found.blocks.append(Block(line.kind, start, end, found.section, self.number, line.detail, language))
            if language == "other":
                found.protected.append(Protected(start, end, "a language without rules"))
            else:
                found.protected += inline_spans(self.text, start, end)
            return
        detail = line.detail or {"heading": "a heading", "label": "a label", "separator": "a separator"}.get(
            line.kind, ""
        )
        found.blocks.append(Block(line.kind, start, end, found.section, self.number, detail))
        if line.kind != "separator" or detail != "a separator":
            found.protected.append(Protected(start, end, detail or line.kind))


def _in_turn(labels: Sequence[str]) -> bool:
    """Tell whether labels come in turn: no label twice in a row for most of them."""
    pairs = list(pairwise(labels))
    return sum(one != other for one, other in pairs) >= 0.8 * len(pairs)


def _body(line: str) -> str:
    """Return a list item without its mark."""
    mark = _BULLET.match(line)
    return line[mark.end() :] if mark else line.lstrip()


def _title(line: str) -> str:
    """Return a heading or label without its marks."""
    return re.sub(r"^[#*_>\s\-]+|[#*_:：\s]+$", "", line)
