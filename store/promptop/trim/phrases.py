"""Phrases that cost tokens and say little, with what stands for them. Patterns are read without regard to case.

A replacement of nothing removes the phrase; where it began a sentence, the next word takes over its capital. Safe
ones keep the instruction as it is; ``check`` ones may change tone or emphasis and want a look.
"""

from __future__ import annotations

_YOU = r"(?:你|您)"
_VERBS = "总结|分析|翻译|评估|说明|描述|检查|修改|优化|比较|分类|改写|归纳|概括|审查|处理|解释|整理"
_HELP = r"(?:帮忙|帮我|帮助我)?"
_THANKS_ZH = (
    r"(?:(?:非常|十分|万分|多谢|先)?(?:感谢|谢谢|多谢)(?:你|您)?(?:的)?(?:帮助|支持|配合|协助|理解|耐心|时间)?(?:了)?"
    r"|拜托(?:你|您)?了|辛苦(?:你|您)?了)"
)
_THANKS_EN = (
    r"(?:many thanks|thank you(?: (?:very|so) much)?|thanks(?: a lot| so much)?)(?: in advance)?"
    r"(?: for your (?:help|time|assistance|cooperation|support|attention|understanding))?"
    r"(?: (?:with|in|on) this(?: matter)?)?"
)

POLITE_EN: tuple[tuple[str, str], ...] = (
    (r"\b(?:could|can|would|will) you (?:please |kindly |be so kind as to |be able to )", ""),
    (r"\bi(?: would|'d|’d) (?:really )?(?:like|love|want) (?:for )?you to (?:please |kindly )?", ""),
    (r"\bi (?:really )?(?:want|need) you to (?:please |kindly )?", ""),
    (r"\bi(?: would|'d|’d) (?:really |greatly |very much )?appreciate it if you (?:could|would|can) (?:please )?", ""),
    (r"\bit would be (?:great|nice|helpful|good) if you (?:could|would|can) (?:please )?", ""),
    (r"\b(?:your (?:task|job|goal) is|you are (?:asked|required|expected)) to ", ""),
    (r"\b(?:please[ \n])?(?:make sure|be sure|ensure) (?:that )?you (?=(?:always |only )?[a-z]+ )"
     r"(?!(?:are|have|had|can|could|will|were|understand|know|do|did)\b)", ""),
    (r"\b(?:please[ \n])?(?:make sure|be sure) to ", ""),
    (r"\b(?:please[ \n])?make sure (?:that )?(?=(?:the|all|your|each|every|it|there|any) )", "ensure "),
    (r",? please(?=[.!?]|$)(?!\n[a-z])", ""),
    (r"\b(?:please|kindly),?[ \n](?=[a-z])", ""),
    (r"[ \t]*(?<=[.!?\s])" + _THANKS_EN + r"[.!]+", ""),
    (r"\bi hope (?:this|that) (?:helps|makes sense|is clear)[.!] ?", ""),
)  # fmt: skip

POLITE_ZH: tuple[tuple[str, str], ...] = (
    (r"[，,、][ \t]*" + _THANKS_ZH + r"(?=[。！!]|[ \t]*(?:\n|$))", ""),
    (r"(?<=[。！？!?\n])[ \t]*" + _THANKS_ZH + r"[。！!～~]*(?=[ \t]*(?:\n|$))", ""),
    (r"(?:麻烦|劳烦|有劳)" + _YOU + _HELP + r"(?:一下)?[，,]?", ""),
    (r"烦请" + _YOU + "?" + _HELP, ""),
    (r"请问[，,]?" + _YOU + r"?(?:能否|可否|是否可以|是否能够|能不能|可不可以)?" + _HELP, ""),
    (r"我(?:想请|希望|需要|想让|想要)" + _YOU + r"(?:能够|能|可以)?" + _HELP, ""),
    (_YOU + r"(?:能否|可否|是否可以|是否能够|能不能|可不可以|可以)" + r"(?:帮忙|帮我|帮助我)", ""),
    (r"(?:能否|可否|能不能|可不可以)(?:请)?" + _YOU + "?" + _HELP, ""),
    (r"请" + _YOU + r"(?!们)" + _HELP, ""),
    (r"请(?:帮忙|帮我|帮助我)", ""),
    (r"请(?=[\u4e00-\u9fff])(?![求教假客示问安勿柬帖罪战])", ""),
)
"""These begin a clause, except for thanks."""

SHORTER_EN: tuple[tuple[str, str], ...] = (
    (r"\bin order to\b", "to"),
    (r"\bso as to\b", "to"),
    (r"\bdue to the fact that\b", "because"),
    (r"\bfor the reason that\b", "because"),
    (r"\bin spite of the fact that\b", "although"),
    (r"\bdespite the fact that\b", "although"),
    (r"\bat this point in time\b", "now"),
    (r"\bat the present time\b", "now"),
    (r"\bin the event that\b", "if"),
    (r"\bunder the condition that\b", "if"),
    (r"\bwith (?:regard|respect) to\b", "about"),
    (r"\bin (?:regard|relation) to\b", "about"),
    (r"\bfor the purpose of\b", "for"),
    (r"\ba (?:large|great|significant) number of\b", "many"),
    (r"\ba (?:large|great) deal of\b", "much"),
    (r"\bthe majority of\b", "most"),
    (r"\bmake use of\b", "use"),
    (r"\btake into (?:consideration|account)\b", "consider"),
    (r"\bgive consideration to\b", "consider"),
    (r"\b(?:is|are) able to\b", "can"),
    (r"\b(?:has|have) the ability to\b", "can"),
    (r"\bin a clear and concise (?:manner|way)\b", "clearly and concisely"),
    (r"\bin a concise (?:manner|way)\b", "concisely"),
    (r"\bin a (?:clear|detailed) (?:manner|way)\b", "clearly"),
    (r"\bprovide (?:me )?(?:with )?a summary of\b", "summarize"),
    (r"\bprovide (?:me )?(?:with )?an explanation of\b", "explain"),
    (r"\bprovide (?:me )?(?:with )?a (?:brief |short )description of\b", "briefly describe"),
    (r"\bprovide (?:me )?(?:with )?a list of\b", "list"),
    (r"\bgive me a list of\b", "list"),
    (r"\bperform an analysis of\b", "analyze"),
    (r"\bconduct an analysis of\b", "analyze"),
    (r"\bcome up with\b", "create"),
    (r"\beach and every\b", "every"),
    (r"\bfirst and foremost\b", "first"),
    (r"\bprior to\b", "before"),
    (r"\bsubsequent to\b", "after"),
    (r"\bin addition to\b", "besides"),
    (r"\bwhether or (?=to\b)", "whether "),
    (r"\buntil such time as\b", "until"),
    (r"\bin the process of\b", "while"),
    (r"\b(?:it is|it's) (?:important|worth|crucial|essential) (?:to note |noting |to remember |to mention )that ", ""),
    (r"\bit should be noted that ", ""),
    (r"\b(?:please[ \n])?(?:note|keep in mind|bear in mind|remember) that (?=[a-z])", ""),
    (r"\bas (?:previously )?mentioned (?:above|before|earlier|previously),? ", ""),
    (r"\bneedless to say,? ", ""),
)

SHORTER_ZH: tuple[tuple[str, str], ...] = (
    (r"进行(?:一次|一个)?(?P<how>全面|详细|深入|简要|简单|仔细)?的?(?P<verb>" + _VERBS + ")", r"\g<how>\g<verb>"),
    (r"(?P<verb>" + _VERBS + r"|介绍)一下", r"\g<verb>"),
    (r"(?:需要|值得|应该|请)?(?:特别)?注意的是[，,：:]?", ""),
    (r"(?:总的来说|总而言之|众所周知|换句话说|毫无疑问|一般来说|简单来说)[，,]", ""),
    (r"也就是说[，,]", "即"),
    (r"由于(?P<why>[^，。\n]{1,30})的(?:原因|缘故)", r"因\g<why>"),
    (r"在(?P<when>[^，。\n]{1,20})的情况下", r"\g<when>时"),
    (r"如果(?P<what>[^，。\n]{1,30})的话", r"如果\g<what>"),
    (r"为了能够", "为"),
    (r"能够(?=[\u4e00-\u9fff])", "能"),
    (r"尽可能地", "尽量"),
    (r"以便于", "以便"),
    (r"如下所示", "如下"),
    (r"与此同时", "同时"),
    (r"到目前为止", "至今"),
    (r"(?:并且|而且)(?=[\u4e00-\u9fff])", "并"),
    (r"或者是?(?=[\u4e00-\u9fff])", "或"),
    (r"根据(?P<what>[^，。\n]{1,20})来(?=[\u4e00-\u9fff])", r"根据\g<what>"),
    (r"(?P<how>的(?:方式|形式))来(?=[\u4e00-\u9fff])", r"\g<how>"),
)  # fmt: skip

HEDGES: tuple[tuple[str, str], ...] = (
    (r"\b(?:very|really|extremely|absolutely|basically|actually|simply|quite|truly|literally) (?=[a-z])", ""),
    (r"\b(?:i think|i believe|i guess|in my opinion),? (?:that )?", ""),
    (r"\b(?:kind|sort) of (?=[a-z])", ""),
    (r"\bfeel free to ", ""),
    (r"(?:非常|十分|极其|特别地|相当)(?=[\u4e00-\u9fff])(?!感谢|谢谢)", ""),
    (r"(?:我觉得|我认为|我想)[，,]?", ""),
)

PREAMBLES: tuple[tuple[str, str], ...] = (
    (r"\byou are (?:an? )?(?:(?:very |highly |extremely )?"
     r"(?:helpful|friendly|knowledgeable|world-class|expert|professional|experienced|skilled|intelligent|smart),? "
     r"(?:and )?)+"
     r"(?:ai )?(?:assistant|expert|ai|model|chatbot|language model)(?: that| who)?[^.\n]{0,80}\.[ \t]*", ""),
    (r"\b(?:act|behave) as (?:if you (?:are|were) )?an? [^.\n]{1,80}\.[ \t]*", ""),
    (r"你是一(?:个|位|名)[^。\n]{0,40}(?:助手|助理|专家|大师|机器人|模型)[。，,]", ""),
    (r"(?:假设|想象)你是一(?:个|位|名)[^。\n]{0,40}[。，,]", ""),
)  # fmt: skip
