"""What a check of a prompt is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from promptop.prompts import Prompt
from promptop.prompts.structure import Block, Structure

Severity = Literal["warning", "hint"]


@dataclass(frozen=True, slots=True)
class Place:
    """What a check found: offsets in characters (equal for the whole prompt) and what to do about it."""

    start: int
    end: int
    message: str


@dataclass(frozen=True, slots=True)
class LintCheck:
    """A rule: its id, severity, what it says of itself, and how it looks."""

    id: str
    severity: Severity
    description: str
    look: Callable[[Structure, Prompt], Iterator[Place]]


def pattern(text: str) -> re.Pattern[str]:
    """Compile a pattern that is read without regard to case, line by line."""
    return re.compile(text, re.IGNORECASE | re.MULTILINE)


def sentences(structure: Structure) -> Iterator[tuple[Block, int, int, str]]:
    """Yield (block, start, end, text) of the sentences that ask something: prose of system and user messages."""
    for block, start, end in structure.sentences:
        yield block, start, end, structure.text[start:end]


def is_quoted(structure: Structure, start: int, end: int) -> bool:
    """Tell whether a place stands in a protected span: code, a quotation, an example, a placeholder."""
    return structure.cover.first_in(start, end) is not None


def instructions(structure: Structure) -> str:
    """Return all that the system and the user say, examples and code left out."""
    return "\n".join(
        structure.text[block.start : block.end]
        for block in structure.blocks
        if block.kind in ("paragraph", "item", "heading", "label", "literal")
    )


def written(structure: Structure) -> str:
    """Return all that the system and the user say, with code and examples."""
    return "\n".join(
        structure.text[start:end]
        for (start, end), role in zip(structure.messages, structure.roles, strict=True)
        if role not in ("assistant", "tool")
    )


_MADE = (
    r"(?:code|functions?|class(?:es)?|programs?|apps?|applications?|scripts?|websites?|endpoints?|apis?|web servers?|microservices?|sql|sql quer(?:y|ies)"
    r"|components?|modules?|unit tests?|parsers?|algorithms?|regex(?:es)?|cli|crawlers?|scrapers?)"
)
CODE_ASKED = pattern(
    r"(?:^|[.!?:;,]\s+|\b(?:please|and|then|to|will|must|should|you|also|just|can)\s+)(?P<order>(?:write|create|build|implement|generate|develop|refactor|optimi[sz]e|produce|give me)\s+"
    rf"(?:(?!\b(?:for|about|to|answering|of|from|with|that|on|using|which|no|not)\b)[^.!?\n]){{0,40}}?\b{_MADE}\b)"
    r"|(?P<zh>(?:(?<![改重填缩扩续撰书不要能会])写|编写|实现|开发|生成|创建|设计|优化|重构)(?:一)?(?:个|段|份|套|下)?[^。！？\n]{0,24}?"
    r"(?:代码(?!块|库|审查|风格|规范|评审)|函数|程序(?!员)|脚本|网站|接口|SQL|API|组件|算法|爬虫|端点|应用程序|系统(?=[。，,]|$)|查询(?:语句|代码)|网页))"
)
"""An order to write code."""
_NO_CODE = pattern(
    r"\b(?:code review|review(?:er)? of code|promo(?:tional)? code|zip code|dress code|code of conduct|class(?:es)? of (?!.*method)"
    r"|customer service|service desk|meal|study program|training program|fitness program|(?:tiktok|youtube|video|film|movie|tv|podcast|radio|phone|call|sales|speech|interview|comedy|voice-?over|ad|series|cartoon|story|episode|skit|drama) scripts?"
    r"|scripts? for (?:(?:a|an|the|either|your|our|any) )?(?:[\w-]+ ){0,3}(?:video|movie|film|play|podcast|series|show|ad|call|speech|channel)s?)\b"
)


_DENIED = pattern(
    r"(?:(?:\bnot|n['’]t|\bnever)(?:[*_]{0,3} to)?[*_]{0,3}|\bability to|\bable to|\bused to|\bhow to)\s+\Z|(?:不要|不得|不能|禁止|不|能够?|可以|如何|怎样|怎么)\Z"
)


_SHOWN = pattern(
    r"\b(?:photo(?:graph(?:y|ic)?|realis(?:m|tic))?s?|portrait|cinematic|illustrations?|(?:ultra|hyper)[- ]realistic|[248]k|aspect ratio|9:16|16:9|bokeh"
    r"|depth of field|camera|close-up|low[- ]angle|diorama|midjourney|dall-?e|stable diffusion|anime|concept art|posters?|logos?|wallpaper|stickers?"
    r"|render(?:ed|ing)?|lighting|composition|background|palette|textures?|lens|framing|typography|pixel art|watercolou?r|cartoon|miniature|chibi|clay|vector|vertical|isometric|3d)\b"
    r"|海报|插画|渲染|摄影|写实|构图|镜头|光影|背景虚化|高清"
)
_SHOW_ASKED = pattern(
    r"(?:^|[.!?:;,\"“]\s*|\b(?:please|and|then|to|will|must|should|you)\s+)(?:create|generate|make|design|produce|draw|render|paint|edit|modify|transform|turn|merge|provide|give)\b[^.!?\n]{0,60}?"
    r"\b(?:images?|pictures?|photo(?:s|graphs?)?|portraits?|posters?|illustrations?|logos?|videos?|animations?|scenes?|shots?|dioramas?|wallpapers?|stickers?|artworks?|icons?|banners?|diagrams?|charts?|worlds?|songs?|soundtracks?)\b"
    r"|\b(?:image|picture|photo|video) (?:creator|generator|editor|artist)\b|\bgenerating (?:[\w-]+ ){0,3}(?:images?|pictures?|photos?|videos?)\b"
    r"|(?:生成|绘制|画|制作|设计)(?:一)?(?:张|幅|个|段|组)?[^，。！？\n]{0,16}(?:图片|图像|海报|插画|照片|视频|动画|头像)"
)
_WORDS_ABOUT = pattern(
    r"\b(?:prompts?|captions?|descriptions?|scripts?|ideas?|titles?|storyboards?|alt text)\b|提示词|文案|脚本"
)
_BUILT = pattern(
    r"(?:^|[.!?:;,]\s+|\b(?:please|and|then|to|with|will|must|should|you|for)\s+)(?:build|building|create|creating|develop|developing|design|designing|implement|implementing|code|coding|make)\b[^.!?\n]{0,70}?"
    r"\b(?:games?|apps?|applications?|dashboards?|websites?|web ?pages?|pages?|landing pages?|simulations?|simulators?|prototypes?|extensions?|plugins?|chatbots?|bots?|platforms?|portfolio|ui|interfaces?|systems?|controllers?|engines?|index\.html|spreadsheets?)\b"
    r"|\bgame concept\b|\b(?:glsl|shaders?|three\.js|webgl|game loop)\b"
    r"|(?:开发|搭建|构建|实现|制作|做)(?:一)?(?:个|款|套)?[^，。！？\n]{0,16}(?:游戏|应用|网站|网页|页面|平台|系统|小程序|插件|工具)"
)


_OF_THE_GIVEN = pattern(
    r"\b(?:for|of|from) (?:the |my |this |your )?(?:selected|given|provided|following|attached|existing) (?:code|function|class|file|script)\b"
)
"""Code is asked for that code of the request decides the language and size of."""
_PICTURE_GIVEN = pattern(
    r"\b(?:my|your|the (?:uploaded|attached|given|reference)|uploaded|attached|reference|an?) (?:photo|picture|image|selfie)\b(?! (?:prompt|description|caption))|上传的?(?:图片|照片)|参考图"
)


def makes_a_thing(text: str) -> bool:
    """Tell whether a prompt wants a picture, a video or a program: "how long?" and "in what form?" do not apply."""
    shown = {found[0].lower() for found in _SHOWN.finditer(text)}
    asked = _SHOW_ASKED.search(text)
    if len(shown) >= 4 or (asked is not None and (shown - {asked[0].lower()} or len(text) < 700)):
        return asked is None or _WORDS_ABOUT.search(asked[0]) is None
    if len(text) < 800 and shown and _PICTURE_GIVEN.search(text):
        return True
    return _BUILT.search(text) is not None


def asks_for_code(text: str) -> re.Match[str] | None:
    """Find an order to write code; None where there is none."""
    for found in CODE_ASKED.finditer(text):
        before = text[max(0, found.start() - 14) : found.start("order" if found["order"] else "zh")]
        around = text[found.start() : found.end() + 60].split("\n", 1)[0]
        if _OF_THE_GIVEN.search(around):
            continue
        if not _NO_CODE.search(around) and not _DENIED.search(before):
            return found
    return None
