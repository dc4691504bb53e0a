"""Barriers: places in a text where every tokenizer here must split, whatever stands to the left and to the right.

These tokenizers cut a text into *pieces* with a regular expression, leftmost match after leftmost match, and encode
each piece on its own. A position is a **barrier** if, in any text, (1) a piece ends there, and (2) the pieces to its
left are those of the left part alone. (3) No pattern looks behind, so the pieces to its right are always those of the
right part alone. From the three follows ``count(text) = count(left) + count(right)``.

**B1: a letter, digit, kana or Han character, then blank, tab, CR, LF or a punctuation mark other than the
apostrophe.** (1) No alternative lets white space or punctuation follow a letter or digit inside a match: the one
prefix that may stand before letters is a single character at the match's start, and the only tail of a word is a
contraction, which starts with the apostrophe. (2) A match that ends at the barrier is a run of letters or digits; it
ends there because the next character is neither, and at the end of the left part alone it ends there too. A match
before that one can look ahead only past a run of white space, and that run is over at the latest before the letter.

**B2: a newline, then a letter, digit, kana, Han character or a punctuation mark other than the slash.** (1) Newlines
occur inside a match only in the tail of punctuation (``[\\r\\n/]*``), which a slash would continue, and in white
space, which the next character ends. (2) If the piece is white space, the alternative for runs that end in a newline
stands before the one that leaves the last blank to the next word, so all of the run up to the newline is one piece in
the whole text; in the left part alone it is so too (cl100k's ``\\s++$`` then takes the same run). Not so for GPT-2's
pattern (p50k, r50k), which has no alternative for newlines: there B2 is not a barrier.

Qwen's text is brought to normal form C first. No character on the right of a barrier composes with what precedes it,
and none on the left of B1 is the second half of a composition, so normalising commutes with the split and keeps the
barrier.

The sets are fixed and small, no Unicode tables are needed: more barriers would exist, these are frequent enough (one
in about six characters of English or code, one in about nine of Chinese).

Why not simply split the text by the tokenizer's regular expression again, starting one piece before the edit? Because
a piece's end may depend on text without bound to its right (o200k decides at the end of a run of letters where a
capital one ends), which is wrong in 0.04 to 0.23 % of edits.
"""

from __future__ import annotations

import re

_WORD = r"A-Za-z0-9\u3041-\u3096\u30a1-\u30fa\u4e00-\u9fa5"
_CJK_MARKS = r"\u3001\u3002\uff0c\uff01\uff1a\uff1b\uff1f\uff08\uff09\u300a\u300b\u201c\u201d"
_MARKS = r"!\"#$%&()*+,\-.:;<=>?@\[\\\]\^_`{|}~" + _CJK_MARKS

_AFTER_WORD = rf"(?<=[{_WORD}])(?=[ \t\n\r/{_MARKS}])"
_AFTER_NEWLINE = rf"(?<=\n)(?=['{_WORD}{_MARKS}])"

BARRIER = re.compile(f"{_AFTER_WORD}|{_AFTER_NEWLINE}")
"""Matches, without width, at each barrier."""
BARRIER_GPT2 = re.compile(_AFTER_WORD)
"""Barriers of GPT-2's pattern."""
