"""Code, data and tables that stand in a prompt without a fence, known by the shape of their lines.

A prompt that is wrongly taken for code loses a saving; code that is wrongly taken for prose is harmed. So a doubt is
decided for code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

_DIFF = re.compile(r"diff --git |@@ .*@@|--- (?:a/|/dev)|\+\+\+ (?:b/|/dev)|<{5,}|>{5,}|={7}$")
_KEYWORD = re.compile(
    r"[ \t]*(?:(?:export |async |public |private |protected |static |final |pub )*"
    r"(?:def \w+\s*\(|class \w+\s*[:({]|function\b[^.\n]*\(|interface \w+\s*\{|enum \w+\s*\{|struct \w+|impl\b.*\{"
    r"|type \w+\s*=|(?:const|let|var|val) \w+[\s:=]|fn \w+|func \w+\(|namespace \w+\s*\{|module \w+\s*\{)"
    r"|from [\w.]+ import |import (?:[\w.]+(?: as \w+)?;?$|[\w{*].* from )|#include\b|#!/|using [\w.]+;|package"
    r" [\w.]+;?$"
    r"|(?:if|elif|else|for|while|with|try|except|switch|case|catch|return)\b[^\n]*[:{;]$(?<![a-z]{3}:)"
    r"|return [\w(\[{\"'.]+[\w.()\[\]]*$|@\w+(?:\.\w+)*(?:\(.*\))?$|raise \w+\(|print\(|console\.\w+\("
    r"|SELECT\b.+\bFROM\b|INSERT INTO\b|CREATE TABLE\b|UPDATE \w+ SET\b|\$ \w|>>> |\.\.\. |//|/\*|\*/"
    r"|(?:pip|npm|yarn|git|docker|curl|sudo|cd|python3?|node|brew|apt) [\w./-]+.*$(?<![.:!?]))"
)
_SQL_CLAUSE = re.compile(
    r"(?:SELECT|FROM|WHERE|AND|OR|(?:LEFT |RIGHT |INNER |OUTER |CROSS )*JOIN|ON|GROUP BY|ORDER BY|HAVING|LIMIT|VALUES"
    r"|DELETE FROM|SET|UNION(?: ALL)?)\b(?![.:!?])"
)
"""How the lines of a query begin that is written over several."""
_ASSIGNED = re.compile(r"[ \t]*[\w.\[\]\"']+(?:\s*:\s*[\w\[\], .|]+)?\s*(?:[-+*/]?=|:=)\s*\S")
_CALLED = re.compile(r"[ \t]*(?:await )?[\w.]+\([^()]*(?:\([^()]*\)[^()]*)*\)[;,]?$")
_ENDED = re.compile(r"(?:[;{}]|[)\]}][,;]|=>|\{|\(|\[)[ \t]*(?://.*|#.*)?$")
_KEYED = re.compile(r"[ \t]*[\"']?[\w$-]+[\"']?\??\s*:\s*[^\s].*,?$")
_JSON_LINE = re.compile(r"[ \t]*(?:\"[^\"\n]*\"\s*:|[\[\]{}]+[,;]?[ \t]*$|\"[^\"\n]*\",?$)")
_YAML = re.compile(
    r"[ \t]*(?:- )?[a-z_][\w.\-]*:(?:[ \t]+(?P<value>.*))?$|[ \t]*- [\w./\"'-]+$|[ \t]+- .*$|[ \t]*#[^#].*$"
)
_ROW = re.compile(r"[ \t]*\|.*\||[ \t]*[^|\n]+\|[^|\n]+\|[^|\n]+")
_COLUMNS = re.compile(r"[ \t]*\S(?:[^\n]{0,38}?[^\s.!?:;,])?(?P<gap> {2,}|\t+)(?=\S)")
"""A short cell and a wide gap, as in the list of a command's options."""
_CSV = re.compile(r"[^\s,][^,\n]*(?:,[^,\n]*){2,}$|[^\s,][^,\n]*,(?! )[^,\n]*$")
_SENTENCE = re.compile(
    r"(?:[-*+•#>]+ +|\d+[.)] +)?[*_\"“]{0,3}[A-Za-z][a-z'’]*[*_]{0,2}(?:[,;:]? [\w'’\-\"“”(),*`/<>.]+){3,}"
)
_CHINESE = re.compile(r"[\u4e00-\u9fff]{4,}[，。！？；]")
_OPENED = re.compile(r"[ \t]*(?:[\[{]|[^\n]*?[\w=)\]>:][ \t]*[\[{(])[ \t]*(?://.*|#.*)?$")
_MOST_LINES = 400
_ENGLISH = re.compile(
    r"\b(?:the|a|an|you|your|is|are|to|of|and|not|never|always|must|should|please|user|that|this|with)\b", re.IGNORECASE
)


def is_sentence(line: str) -> bool:
    """Tell whether a line reads as a sentence rather than as code."""
    bare = line.strip()
    return (_SENTENCE.match(bare) is not None and len(_ENGLISH.findall(bare)) >= 2) or _CHINESE.search(bare) is not None


def _is_strong(line: str) -> bool:
    bare = line.strip()
    if not bare or (is_sentence(bare) and not bare.endswith((";", "{", "}"))):
        return bool(bare) and bool(_DIFF.match(bare))
    return bool(
        _DIFF.match(bare)
        or _KEYWORD.match(bare)
        or _SQL_CLAUSE.match(bare)
        or _JSON_LINE.match(line)
        or (_ASSIGNED.match(bare) and not bare.endswith((".", "?", "!")))
        or (_CALLED.match(bare) and not bare.startswith("("))
        or (_ENDED.search(bare) and re.search(r"[=({;}\]]", bare) and not bare.endswith((").", "(")))
    )


def _is_weak(line: str) -> bool:
    bare = line.strip()
    return (
        not bare
        or line[0] in " \t"
        or (not is_sentence(bare) and (bool(_KEYED.match(bare)) or bare.startswith(("#", "//", "+", "-", "*"))))
    )


def _balanced(lines: Sequence[str], at: int) -> int:
    """Return the line behind the one that closes the brackets opened on line ``at``; ``at`` if none does."""
    depth = 0
    for number in range(at, min(len(lines), at + _MOST_LINES)):
        bare = re.sub(r"\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|//.*", "", lines[number])
        depth += sum(bare.count(sign) for sign in "([{") - sum(bare.count(sign) for sign in ")]}")
        if depth <= 0:
            return number + 1 if number > at else at
    return at


def _name(lines: Sequence[str]) -> str:
    """Return what a run of code is called."""
    text = "\n".join(lines)
    if any(_DIFF.match(line.strip()) for line in lines):
        return "a diff"
    if text.lstrip()[:1] in ("{", "["):
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            return "JSON or a type" if '"' in text else "a type"
        return "JSON"
    return "code"


def code_runs(lines: Sequence[str], free: Sequence[bool]) -> Iterator[tuple[int, int, str]]:
    """Yield (first line, line behind the last, what it is) of code, JSON, YAML and diffs among the ``free`` lines."""
    at = 0
    while at < len(lines):
        if not free[at] or not lines[at].strip():
            at += 1
            continue
        end, name = _run(lines, free, at)
        if end > at:
            yield at, end, name
            at = end
        else:
            at += 1


def _run(lines: Sequence[str], free: Sequence[bool], at: int) -> tuple[int, str]:
    """Return the line behind the code that begins on line ``at`` and its name; ``at`` where none does."""
    line = lines[at]
    if _OPENED.match(line) and not is_sentence(line):
        end = _balanced(lines, at)
        inside = [each for each in lines[at + 1 : end - 1] if each.strip()]
        if end > at + 1 and all(free[at:end]) and sum(map(is_sentence, inside)) * 2 <= len(inside):
            return end, _name(lines[at:end])
    yaml = _yaml(lines, free, at)
    if yaml > at:
        return yaml, "YAML"
    if line.lstrip()[:1] in ("{", "[") and len(line) > 2:
        try:
            json.loads(line)
        except (ValueError, RecursionError):
            pass
        else:
            return at + 1, "JSON"
    if not _is_strong(line):
        return at, ""
    strong, last, number = 1, at, at + 1
    while number < len(lines) and free[number] and number - last <= 3:
        if _is_strong(lines[number]):
            strong, last = strong + 1, number
        elif not _is_weak(lines[number]):
            break
        number += 1
    single = bool(_DIFF.match(line.strip()) or _KEYWORD.match(line)) and not is_sentence(line)
    if strong >= 2 or single:
        is_diff = _DIFF.match(line.strip()) is not None
        while last + 1 < len(lines) and free[last + 1] and _goes_on(lines, last + 1, is_diff=is_diff):
            last += 1
        return last + 1, _name(lines[at : last + 1])
    return at, ""


def _goes_on(lines: Sequence[str], at: int, *, is_diff: bool) -> bool:
    """Tell whether a line belongs to the code before it: what is indented, comments and an empty line between them."""
    line = lines[at]
    if is_diff and line[:1] in ("+", "-", " ", "@", "\\"):
        return True
    if not line.strip():
        return at + 1 < len(lines) and lines[at + 1][:1] in (" ", "\t") and bool(lines[at + 1].strip())
    return line[:1] in (" ", "\t")


def _yaml(lines: Sequence[str], free: Sequence[bool], at: int) -> int:
    """Return the line behind the YAML that begins on line ``at``; ``at`` where none does."""
    end, keys, deep, spoken = at, 0, 0, 0
    while end < len(lines) and free[end]:
        line = lines[end]
        if not line.strip():
            if end + 1 < len(lines) and free[end + 1] and lines[end + 1][:1] in (" ", "\t", "-") and keys:
                end += 1
                continue
            break
        found = _YAML.match(line)
        if found is None:
            break
        value = found["value"] or ""
        keys += ":" in line
        deep += line[0] in " \t"
        spoken += is_sentence(value)
        end += 1
    while end > at and not lines[end - 1].strip():
        end -= 1
    return end if keys >= 3 and deep >= 1 and spoken * 3 <= keys else at


def _column(line: str) -> int:
    """Return where the second column of an aligned line begins; 0 where there is none."""
    found = _COLUMNS.match(line)
    return found.end() if found else 0


def aligned_rows(lines: Sequence[str], free: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """Yield (first line, line behind the last) of lines whose second column begins at the same place.

    Code is aligned as well, and diffs of it: look here only at what is neither.
    """
    at = 0
    while at < len(lines):
        end = at
        while end < len(lines) and free[end] and (column := _column(lines[end])) and column == _column(lines[at]):
            end += 1
        if end - at >= 2:
            yield at, end
        at = max(end, at + 1)


def table_rows(lines: Sequence[str], free: Sequence[bool]) -> Iterator[tuple[int, int]]:
    """Yield (first line, line behind the last) of tables: rows with bars, or three lines of CSV in a row."""
    at = 0
    while at < len(lines):
        end = at
        while end < len(lines) and free[end] and _ROW.match(lines[end]):
            end += 1
        if end - at >= 2 or (end - at == 1 and lines[at].count("|") >= 3):
            yield at, end
            at = end
            continue
        end = at
        columns = lines[at].count(",")
        while (
            end < len(lines)
            and free[end]
            and _CSV.match(lines[end])
            and lines[end].count(",") == columns
            and not is_sentence(lines[end])
        ):
            end += 1
        if end - at >= 3:
            yield at, end
            at = end
        else:
            at += 1
