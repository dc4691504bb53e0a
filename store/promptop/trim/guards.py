"""What a safe edit must leave as it was, asked of the result: of a block of prose before it and after it.

A rule can only say what it looks for. Whether a negation, a demand, a list item or a sentence went with it shows in the
text that comes out, so that is what is judged.
"""

from __future__ import annotations

import re

from promptop.prompts.structure import Structure, sentences_of
from promptop.trim.verbs import BASE, has_verb

_NEGATION = re.compile(
    r"\b(?:not|no|never|none|neither|nor|nothing|nobody|without|cannot|unless|except|avoid|only|don['’]t|doesn['’]t"
    r"|didn['’]t|won['’]t|can['’]t|isn['’]t|aren['’]t|shouldn['’]t|mustn['’]t|couldn['’]t|wouldn['’]t|haven['’]t|hasn['’]t"
    r"|wasn['’]t|weren['’]t)\b"
    r"|(?<![能可是要会])不(?!妨)|没有?|(?<![特分类区识个性级鉴])别|勿|无(?!论)|非(?!常)|禁止|避免|除非|除了|仅|只|未",
    re.IGNORECASE,
)
_EMPTY_NEGATION = re.compile(
    r"\b(?:it goes )?without saying\b|\bwithout (?:any )?further ado\b|\blast but (?:certainly )?not least\b"
    r"|\bno doubt\b"
    r"|\b(?:can(?:no|['’])t wait)\b|毫无疑问|毋庸置疑|不言而喻|不用说|不必说|能不能|可不可以|不胜感激|不客气"
    r"|(?<=[^不])无疑",
    re.IGNORECASE,
)
_DEMAND = re.compile(
    r"\b(?:must|shall|should|ought|may|might|have to|has to|needs? to|always|at least|at most|exactly)\b"
    r"|必须|务必|应当|应该|须|可以|至少|最多|一定|始终|总是|不得|立即|尽量",
    re.IGNORECASE,
)
_EMPTY_DEMAND = re.compile(
    r"\bit (?:should|must) (?:also )?be (?:noted|said|remembered|mentioned|pointed out|stressed|emphasi[sz]ed)"
    r"|\bas you (?:may|might)\b|\b(?:may|might) (?:happen to )?be(?=[.,;!?]|$)"
    r"|\b(?:what )?(?:i|we|you) (?:really )?(?:need|have) (?:for )?(?:you )?to\b|\balways (?=do your|give)"
    r"|相信你一定|你一定"
    r"|可不可以|是否可以|你可以帮|您可以帮|如果可以的话|尽可能",
    re.IGNORECASE,
)
_SPACING = re.compile(
    r"\S[ ]{2,}\S|[ ](?:[,.;:!?](?=\s|$)|[，。！？；：])|(?<=[a-z][.!?])[A-Z](?=[a-z])"
    r"|,,|,[ ]?[.!?;:](?=\s|$)|，，|，。|。。|\([ ]|[ ]\)"
)
_DANGLING = re.compile(
    r"\b(?:and|or|but|if|that|to|of|the|an?|for|with|because|when|as)[.!?;,](?=\s|$)|(?:的|把|对|和|或|在|由于|因)(?=[，。！？；])",
    re.IGNORECASE,
)
_DOUBLED = re.compile(r"\b(\w+) \1\b", re.IGNORECASE)
_SUBORDINATED = re.compile(
    r"\b(?:if|whether|because|unless|who|which|while) (?P<word>[a-z]+)\b(?! (?:by|in|of|is|are|was)\b)",
    re.IGNORECASE,
)
_START = re.compile(r"[*_\"“(\[（「]*(?P<first>.)", re.DOTALL)


def negations(text: str) -> list[str]:
    """Return the words of a text that deny, restrict or except, in order."""
    return [found[0].lower().replace("’", "'") for found in _NEGATION.finditer(_EMPTY_NEGATION.sub("", text))]


def demands(text: str) -> list[str]:
    """Return the words of a text that say how strongly something is asked, in order."""
    return [found[0].lower() for found in _DEMAND.finditer(_EMPTY_DEMAND.sub("", text))]


def meaning_lost(before: str, after: str) -> str:
    """Return what an edit does to the meaning of a block; an empty string if nothing that is watched changed."""
    if negations(before) != negations(after):
        return "it would change a negation"
    if demands(before) != demands(after):
        return "it would change how strongly something is asked"
    return ""


def grammar_lost(before: str, after: str) -> str:
    """Return what is wrong with the sentences of a block after an edit that was not wrong before."""
    if re.search(r"\w", before) and not re.search(r"\w", after):
        return "nothing would be left of the line"
    if before[:1] not in " \t\n" and after[:1] in (" ", "\t", "\n", ",", ".", ";", "，", "。", "；", "、", ":", "："):
        return "the line would begin with a gap"
    for pattern, reason in (
        (_SPACING, "the blanks would be wrong"),
        (_DANGLING, "a word would be left hanging"),
        (_DOUBLED, "a word would stand twice"),
    ):
        if len(pattern.findall(after)) > len(pattern.findall(before)):
            return reason
    if _orders_in_clauses(after) > _orders_in_clauses(before):
        return "a clause would lose its subject"
    old, new = _sentences(before), _sentences(after)
    known = set(old)
    changed = [sentence for sentence in new if sentence not in known]
    if sum(_is_lower(each) for each in changed) > sum(_is_lower(each) for each in old if each not in set(new)):
        return "a sentence would begin with a small letter"
    if any(_without_verb(each) for each in changed) and sum(map(_without_verb, new)) > sum(map(_without_verb, old)):
        return "a sentence would lose its verb"
    return ""


def paragraph_needed(structure: Structure, start: int, end: int) -> bool:
    """Tell whether [start, end) holds all that stands under a heading or label."""
    before = [block for block in structure.blocks if block.end <= start]
    after = [block for block in structure.blocks if block.start >= end]
    head = before[-1].kind if before else "separator"
    foot = after[0].kind if after else "heading"
    return head in ("heading", "label", "tag", "template") and foot in (
        "heading",
        "label",
        "tag",
        "separator",
        "template",
    )


def _orders_in_clauses(text: str) -> int:
    return sum(found["word"].lower() in BASE for found in _SUBORDINATED.finditer(text))


def _sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences_of(text, 0, len(text))]


def _is_lower(sentence: str) -> bool:
    found = _START.match(sentence)
    return found is not None and found["first"].isascii() and found["first"].islower()


def _without_verb(sentence: str) -> bool:
    if re.search(r"[\u4e00-\u9fff]", sentence):
        return len(re.findall(r"[\u4e00-\u9fff]", sentence)) < 2
    return bool(re.search(r"[A-Za-z]", sentence)) and not has_verb(sentence)
