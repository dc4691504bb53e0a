"""English phrases that cost tokens and say little. A blank in a pattern stands for a blank or one line break.

Where a phrase may stand decides whether it is safe: ``if you are asked to simplify`` is a condition, ``You are asked to
simplify`` is an order, and only the order can do without its first four words.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Place = Literal["any", "start", "demand", "order", "verb", "second", "sentence", "opening"]
"""``start``: where a sentence begins. ``order``: there, and what follows is an order. ``verb``: anywhere before an order. ``demand``: as start, where a demand follows.
``second``: an order that follows what the writer of the prompt will do: "I will give you a text and you will …".
``sentence``: the phrase is a whole sentence. ``opening``: a whole sentence or clause that begins a paragraph."""


class Phrase(NamedTuple):
    """A pattern, what stands for it, and where it may stand.

    A group ``gerund`` of the pattern goes on behind ``after`` as the verb's base form: attracting → attract.
    """

    pattern: str
    after: str
    place: Place = "any"


_KINDLY = r"(?:(?:please|kindly|perhaps),? )?"
_VERY = r"(?:(?:very|really|extremely|absolutely|truly|also|so|highly|particularly|especially|incredibly) ){0,2}"
_NICE = (
    r"(?:great|nice|helpful|good|wonderful|amazing|fantastic|appreciated|lovely|useful|best|ideal|perfect|awesome|kind)"
)
_NOTE = (
    r"(?:note|remember|mention|know|understand|realize|realise|recogni[sz]e|point out|stress|emphasi[sz]e|highlight"
    r"|bear in mind|keep in mind|be aware|state|say|add|observe)"
)
_IMPORTANT = r"(?:important|essential|crucial|vital|critical|worth|imperative|useful|helpful|good|necessary|worthwhile|key|interesting)"
_ADVERB = (
    r"(?:clear|concise|polite|professional|consistent|careful|precise|respectful|neutral|formal|natural|logical|systematic"
    r"|efficient|accurate|brief|thorough|objective|honest|direct|calm|quick)"
)

POLITE: tuple[Phrase, ...] = (
    Phrase(rf"(?:could|can|would|will) you {_KINDLY}(?:be so kind as to |be able to |help me (?:to )?)?", "", "order"),
    Phrase(r"would you mind ", "", "order"),
    Phrase(rf"(?:i|we)(?: would|['’]d) {_VERY}(?:very much )?(?:like|love|want|prefer) (?:for )?you to {_KINDLY}", "", "order"),
    Phrase(rf"(?:i|we) {_VERY}(?:want|need|request|am asking|are asking|ask|require) (?:for )?you to {_KINDLY}", "", "order"),
    Phrase(
        r"(?:so )?(?:what|all) (?:i|we)(?: would|['’]d)? (?:really |now )?(?:want|need|like|ask|expect|am asking)(?: (?:of|from|for))?"
        r" you(?: to do)?(?: (?:here|now|today))? is(?: simply| just)?(?: for you)?(?: to)? ",
        "", "order",
    ),
    Phrase(r"what you(?: will)?(?: need to| have to| are going to|['’]ll)? do(?: here)? is(?: simply| just)?(?: to)? ", "", "order"),
    Phrase(rf"it would be {_VERY}{_NICE} if you (?:could|would|can|were to) {_KINDLY}(?:also )?", "", "order"),
    Phrase(
        rf"(?:i|we)(?: would|['’]d| will|['’]ll) {_VERY}(?:greatly |very much )?(?:appreciate(?: it)?|be {_VERY}(?:grateful|thankful|happy|glad"
        rf"|pleased|delighted|obliged|appreciative))(?: (?:very|so) much)? if you (?:could|would|can) {_KINDLY}(?:also )?",
        "", "order",
    ),
    Phrase(r"(?:i|we) (?:was|were|am|are)(?: just)? (?:wondering|hoping)(?: if)?(?: that)? you (?:could|would|can|might) ", "", "order"),
    Phrase(
        rf"(?:your (?:main |primary |overall |current |next )?(?:task|job|goal|role|mission|objective|assignment)(?: here| today| now)?"
        rf"|the task(?: at hand)?|the job) is(?: simply| now)? (?:for you )?to {_KINDLY}",
        "", "order",
    ),
    Phrase(rf"you(?: are|['’]re)(?: now| hereby| kindly)? (?:asked|required|expected|requested|instructed|supposed) to {_KINDLY}", "", "order"),
    Phrase(r"(?:please |kindly )?(?:make sure|be sure|ensure|see to it)(?: that)? you (?!are\b)(?:do )?", "", "order"),
    Phrase(r"(?:please |kindly )?(?:make sure|be sure|remember|take care|make certain) to ", "", "order"),
    Phrase(r"(?:please |kindly )?(?:go ahead and|do go ahead and|proceed and|take (?:a moment|the time|your time|some time) to) ", "", "order"),
    Phrase(
        r",? and (?:(?:your (?:task|job|goal|role)|the task)(?: is| will be)(?: then)? to|it(?: is| will be|['’]s|['’]ll be) your (?:task|job|role|turn) to|you are to) ",
        "; ", "second",
    ),
    Phrase(r",? and you(?: will|['’]ll)(?: then)? ", "; ", "second"),
    Phrase(r"(?:please|kindly)[ ](?:go ahead and )?", "", "order"),
    Phrase(r"(?:i|we) (?:kindly |politely |humbly )(?:ask|request)(?: that)? you(?: to)? ", "", "order"),
    Phrase(r"(?:please,? |kindly,? )", "", "verb"),
    Phrase(r"(?:please )?(?:make sure|be sure|make certain)(?: that)? (?=(?:the|all|your|each|every|it|there|any|this|these) )", "ensure ", "start"),
    Phrase(r"(?<=[\w)\]}\"”’*`]),? (?:if you )?please(?=[.!?](?:[\s\"”’)*_]|$)|$)(?!\n[a-z])", "", "verb"),
    Phrase(r" (?:for me|for us)(?=[.!?](?:\s|$))", "", "verb"),
)  # fmt: skip
"""Asking nicely."""

FILLER: tuple[Phrase, ...] = (
    Phrase(
        rf"(?:please )?(?:it is|it['’]s|it was) (?:also )?{_VERY}{_IMPORTANT} (?:to {_NOTE}|noting|mentioning|remembering|pointing out"
        rf"|emphasi[sz]ing|stressing|repeating|adding|knowing|saying)(?: here)?,? that ",
        "", "start",
    ),
    Phrase(r"it (?:should|must|needs to|has to) (?:also )?be (?:noted|said|remembered|mentioned|pointed out|stressed|emphasi[sz]ed)(?: here)? that ", "", "start"),
    Phrase(
        r"(?:please |kindly )?(?:also )?(?:note|(?:always )?remember|(?:always )?keep in mind|(?:always )?bear in mind|be aware|be advised|know"
        r"|be reminded|understand) that ",
        "", "start",
    ),
    Phrase(r"please note, ", "", "start"),
    Phrase(r"it goes without saying that ", "", "start"),
    Phrase(r"(?:needless to say|it goes without saying),? ", "", "start"),
    Phrase(
        r"as (?:you|we|i) (?:(?:may|might|probably|already|surely|certainly|well|can|will|all) ){0,2}"
        r"(?:know|knew|guess|guessed|imagine|see|are aware|understand|realize|have noticed|noticed|recall|remember),? ",
        "", "start",
    ),
    Phrase(
        r"as (?:(?:i|we) )?(?:(?:have|has|was|were) )?(?:already |previously |just )?(?:mentioned|stated|said|noted|discussed|explained|described"
        r"|outlined|indicated|pointed out|specified)(?: (?:above|before|earlier|previously|already))?, ",
        "", "start",
    ),
    Phrase(r"(?:of course|obviously|evidently|basically|essentially|honestly|frankly|naturally|certainly|undoubtedly|admittedly), ", "", "start"),
    Phrase(r"(?:first of all|first and foremost|to begin with|to start with|to start off|for starters), ", "", "start"),
    Phrase(r"(?:last but not least|last but certainly not least), ", "", "start"),
    Phrase(r"without (?:any )?further ado,? ", "", "start"),
    Phrase(r"(?:that (?:being )?said|having said that|with that (?:being )?said|with that in mind|with this in mind|all that said), ", "", "start"),
    Phrase(r"(?:in other words|to put it (?:another way|differently|simply)|simply put|put simply|put differently|that is to say|in a nutshell|long story short|to make a long story short), ", "", "start"),
    Phrase(r"(?:as a matter of fact|in (?:actual )?fact|at the end of the day|when all is said and done|for what it['’]s worth|by the way|to be honest|to be clear|truth be told|all in all|in essence|in all honesty), ", "", "start"),
    Phrase(r"(?:additionally|furthermore|moreover|in addition|what is more|what['’]s more|on top of that|besides that), ", "", "demand"),
    Phrase(
        r"(?:i|we)(?: would|['’]d)?(?: just)?(?: also)? (?:like|want|wish) to (?:point out|emphasi[sz]e|stress|mention|remind you|note|highlight|add|say"
        r"|let you know|make (?:it )?clear) that ",
        "", "start",
    ),
    Phrase(r"(?:let me|allow me to|i must|i (?:just )?want to) (?:remind you|point out|emphasi[sz]e|stress|mention) that ", "", "start"),
    Phrase(r"(?:the (?:fact|truth) (?:of the matter )?is|the (?:important|main|key) (?:thing|point) is|what (?:is|matters) (?:most )?(?:important )?is|what matters is) that ", "", "start"),
    Phrase(r"(?:please )?(?:do )?(?:not )?(?:rest assured|trust me|believe me)(?: that|,) ", "", "start"),
    Phrase(
        r"(?:here is|here['’]s|this is) (?:how (?:it|this) (?:all )?(?:works|will work|goes)|how we will (?:do|play) (?:it|this)"
        r"|what (?:i|we) (?:want|need|would like|expect)(?: from)?(?: you)?(?: to do)?|what you (?:need|have|are|will) to do|what to do|the deal|the thing): ",
        "", "start",
    ),
    Phrase(r",? (?:whatever|whoever|whichever|however|wherever|whenever) (?:that|this|it|they|those|these)(?: [\w-]+)? (?:may|might)(?: happen to)? be(?=[.,;!]|$)", ""),
    Phrase(r",? (?:at any (?:time|point)(?: or|,) )?under (?:any|no) circumstances(?: whatsoever| at all)?(?=[.!;]|$)", ""),
    Phrase(r",? at any (?:time|point) or under any circumstances(?: whatsoever)?(?=[.!;]|$)", ""),
    Phrase(r" (?:whatsoever|in any way,? shape,? or form|for any reason whatsoever)(?=[.!;,]|$)", ""),
    Phrase(r",? (?:as best (?:as )?you can|in the best (?:possible )?way(?: possible)?)(?=[.!;]|$)", ""),
    Phrase(r" at your earliest convenience(?=[.!;,]|$)", ""),
    # Whole sentences.
    Phrase(
        r"(?:many thanks|thank you(?: (?:very|so) much| kindly)?|thanks(?: a lot| so much| a million| again)?)(?: (?:again|all))?(?: (?:in advance))?"
        r"(?:,? for (?:your (?:time|help|assistance|cooperation|support|attention|understanding|effort|hard work|patience|kind help|work|great work)"
        r"(?:,? and (?:\w+ )?(?:help|assistance|cooperation|support|attention|understanding|patience|time))?|helping(?: me| us)?(?: out)?|everything|doing this|reading this|taking the time))?"
        r"(?: (?:with|in|on) (?:this|that|it)(?: (?:matter|task|one))?)?(?: in advance)?(?:,? (?:assistant|friend|my friend|chatgpt|gpt|claude))?[.!]+",
        "", "sentence",
    ),
    Phrase(r"(?:i|we) (?:(?:really|truly|greatly|very much|deeply) )*(?:appreciate|value)(?: (?:it|this|that|all))?(?: of)?(?: your (?:help|work|time|effort|efforts|assistance|cooperation|support|hard work))?(?: (?:very|so) much| a lot| in advance)?[.!]+", "", "sentence"),
    Phrase(r"(?:please )?(?:always )?(?:just )?(?:do|try|give(?: it)?|you (?:will )?(?:always )?(?:do|try|give)) your (?:very |absolute )?(?:best|hardest)[.!]+", "", "sentence"),
    Phrase(r"(?:you(?: can|['’]ve| have) (?:do|got|totally do) (?:this|it)|you got this|go get (?:it|['’]em)|good luck(?: (?:to you|with (?:it|this|that|the task|your work)))?|have fun|enjoy|cheers|happy \w+ing)[.!]+", "", "sentence"),
    Phrase(r"(?:let['’]?s|let us) (?:get started|begin|go|start|dive (?:right )?in|do (?:this|it)|get going|get to work|rock|make it happen|get this done)(?: (?:now|then|together))?[.!]+", "", "sentence"),
    Phrase(r"(?:i|we) (?:(?:fully|really|truly|completely) )?(?:believe in|trust|(?:am|are) counting on|have (?:full |every |complete )?(?:faith|confidence|trust) in|(?:am|are) relying on|rely on|count on|(?:am|are) (?:so )?(?:proud of|rooting for)) you(?:r (?:abilities|skills|judgement|judgment|expertise))?(?: (?:on|for|with) this)?[.!]+", "", "sentence"),
    Phrase(r"(?:i|we)(?: am|['’]m| are|['’]re| know| have no doubt)? ?(?:sure|certain|confident)?(?: that)? you (?:can|will|['’]ll|are going to) (?:do (?:it|this|well|great|fine|a (?:great|good|wonderful|fantastic|excellent|perfect) job)|succeed|nail it|manage(?: it)?)[.!]+", "", "sentence"),
    Phrase(r"(?:i|we)(?: am| are|['’]m|['’]re)? (?:look(?:ing)? forward to (?:your|hearing|working|seeing)|can(?:no|['’])t wait (?:to|for))[^.!?\n]{0,60}[.!]+", "", "sentence"),
    Phrase(r"i hope (?:(?:this|that|it) (?:helps|makes sense|is clear|is okay)|you (?:are|['’]re) (?:doing )?(?:well|fine|great|having a (?:good|great|nice) day))[.!]+", "", "sentence"),
    Phrase(
        rf"(?:this|that|it|your (?:work|job|task|role|help|answer|response|contribution)|the (?:following|quality of your work|task)) (?:is|are) {_VERY}(?:important|crucial|essential|critical|vital|appreciated)"
        r"(?: (?:to|for) (?:me|us|my career|my job|our (?:company|team|customers|users|business|success)|the (?:company|team|business|users?|project)|everyone))?[.!]+",
        "", "sentence",
    ),
    Phrase(r"(?:please )?(?:take (?:this|your (?:work|job|role|task))(?: very| really)? seriously|treat this with (?:the )?(?:utmost )?(?:care|importance))[.!]+", "", "sentence"),
    Phrase(r"(?:i|we)(?: am| are|['’]m|['’]re) (?:(?:very|so|really|truly) )*(?:happy|glad|excited|proud|pleased|delighted|thrilled|grateful) (?:to have you|that you(?: are|['’]re)|you(?: are|['’]re)|to be working|to work with)[^.!?\n]{0,50}[.!]+", "", "sentence"),
    Phrase(r"(?:(?:a )?(?:warm |very warm )?welcome(?: (?:aboard|to (?:the|our) (?:team|company|family)|back))?|(?:it is |it['’]s )?(?:nice|great|good|lovely) to (?:meet|have|see|talk to|work with) you(?: (?:here|again|today|on board))?)[.!]+", "", "sentence"),
    Phrase(r"you(?: are|['’]re) (?:(?:a|an|the) )?(?:(?:really|truly|very|simply|absolutely) )?(?:the best|amazing|awesome|brilliant|great at (?:this|what you do)|wonderful|fantastic|incredible|a star|a genius)[.!]+", "", "sentence"),
    Phrase(r"(?:hello|hi|hey|greetings|good (?:morning|afternoon|evening|day)|howdy|dear)(?:,? (?:there|everyone|friend|my friend|assistant|dear assistant|ai|chatgpt|chat gpt|gpt(?:-4)?|claude|gemini|copilot|model|my dear assistant))?(?: and welcome)?[.!,]+ ?", "", "opening"),
)  # fmt: skip
"""Words around what is asked."""

SHORTER: tuple[Phrase, ...] = (
    Phrase(r"in order to(?=[ \n])", "to", "verb"),
    Phrase(r"so as to(?=[ \n])", "to", "verb"),
    Phrase(r"(?:due to|owing to|because of|on account of|in (?:light|view) of|given) the fact that", "because"),
    Phrase(r"for the (?:simple )?reason that", "because"),
    Phrase(r"(?:in spite of|despite|notwithstanding|regardless of) the fact that", "although"),
    Phrase(r"at (?:this point in time|the present (?:time|moment)|this moment in time|the current time)", "now"),
    Phrase(r"at that point in time", "then"),
    Phrase(r"in the event that", "if"),
    Phrase(r"(?:under|on) the condition that", "if"),
    Phrase(r"in (?:cases|situations|instances|circumstances) (?:where|in which|when)", "when"),
    Phrase(r"with regards? to", "about"),
    Phrase(r"in regards? to", "about"),
    Phrase(r"for the purposes? of (?=[a-z]+ing\b)", "for "),
    Phrase(r"(?:with the (?:aim|goal|intention|purpose|objective)|for the sole purpose) of (?P<gerund>[a-z]+ing)\b", "to "),
    Phrase(r"a (?:large|great|significant|vast|huge|considerable) number of", "many"),
    Phrase(r"a (?:large|great|good) deal of", "much"),
    Phrase(r"the (?:vast )?majority of (?=(?:the|these|those|our|your|their|them|us|its|his|her|my)\b)", "most of "),
    Phrase(r"the (?:vast )?majority of (?=[a-z]+s\b)", "most "),
    Phrase(r"make use of", "use"),
    Phrase(r"making use of", "using"),
    Phrase(r"take into (?:consideration|account) (?=(?:the|all|any|both|that|how|what|whether|your|their|each)\b)", "consider "),
    Phrase(r"(?:give|gives) (?:careful |due )?consideration to", "consider"),
    Phrase(r"(?<=you )(?:are able to|have the ability to|are capable of being able to|have the capability to)(?= [a-z])", "can"),
    Phrase(r"(?<=user )(?:is able to|has the ability to)(?= [a-z])", "can"),
    Phrase(r"(?<=users )(?:are able to|have the ability to)(?= [a-z])", "can"),
    Phrase(r"in a way that is (?:both )?(?P<how>clear|concise|polite|neutral|formal|natural|logical)(?=[.,;!])", r"\g<how>ly"),
    Phrase(r"provide (?:me |us |the user )?(?:with )?a summary of", "summarize"),
    Phrase(r"provide (?:me |us |the user )?(?:with )?a (?:brief|short) summary of", "briefly summarize"),
    Phrase(r"provide (?:me |us )?(?:with )?an explanation of", "explain"),
    Phrase(r"provide (?:me |us )?(?:with )?a (?:brief|short) description of", "briefly describe"),
    Phrase(r"provide (?:me |us |the user )?(?:with )?a (?:comprehensive |full |complete )?list of", "list"),
    Phrase(r"give me a list of", "list"),
    Phrase(r"(?:perform|conduct|carry out|do|make) an? (?:careful |thorough |detailed )?analysis of", "analyze"),
    Phrase(r"(?:perform|conduct|carry out|do|make) an? (?:careful |thorough )?(?:review|check) of", "review"),
    Phrase(r"make a decision (?:about|on)", "decide on"),
    Phrase(r"come up with(?! (?:an? )?(?:new |more )?creat)", "create"),
    Phrase(r"each and every", "every"),
    Phrase(r"any and all", "all"),
    Phrase(r"first and foremost", "first"),
    Phrase(r"prior to", "before"),
    Phrase(r"subsequent to", "after"),
    Phrase(r"in addition to", "besides"),
    Phrase(r"until such time as", "until"),
    Phrase(r"during the course of", "during"),
    Phrase(r"(?<=\b(?:is|am|be) )in the process of (?=[a-z]+ing\b)", ""),
    Phrase(r"(?<=\bare )in the process of (?=[a-z]+ing\b)", ""),
    Phrase(r"as to whether", "whether"),
    Phrase(r"the question (?:of|as to) whether", "whether"),
    Phrase(r"in such a (?:way|manner) that", "so that"),
    Phrase(r"in the (?:shape|form) of (?=an? )", "as "),
    Phrase(r"with the (?:help|aid) of", "with"),
    Phrase(r"on the basis of", "based on"),
    Phrase(r"in (?:close )?proximity to", "near"),
    Phrase(r"in the (?:near|not too distant) future", "soon"),
    Phrase(r"on an? (?P<how>daily|weekly|monthly|yearly|hourly) basis", r"\g<how>"),
    Phrase(r"on a regular basis", "regularly"),
    Phrase(r"(?P<what>if|when|where|wherever|whenever) it is (?P<how>possible|necessary|needed|required|appropriate|applicable)(?=[,.;)])", r"\g<what> \g<how>"),
    Phrase(r"for all intents and purposes,? ", ""),
    Phrase(r"at the very least", "at least"),
    Phrase(r"a total of (?=\d)", ""),
    Phrase(r"absolutely essential", "essential"),
    Phrase(r"(?:completely|totally) (?P<what>finished|eliminated|unanimous)", r"\g<what>"),
    Phrase(r"in spite of", "despite"),
    Phrase(r"has a tendency to", "tends to"),
    Phrase(r"have a tendency to", "tend to"),
    Phrase(r"is in need of", "needs"),
)  # fmt: skip
"""A long way to say what a short word says."""

MANNER = rf"in an? (?P<all>{_ADVERB}(?:, {_ADVERB})*(?:,? and {_ADVERB})?) (?:manner|way|fashion)(?! (?:that|which|so|as|of|to)\b)"
"""``in a clear and concise manner``: the adverbs say it."""

HEDGES: tuple[Phrase, ...] = (
    Phrase(r",? to the best of your (?:ability|abilities|knowledge and abilities)(?=[.!;]|$)", ""),
    Phrase(r"(?:i think|i believe|i guess|in my (?:humble )?opinion),? (?:that )?", "", "start"),
    Phrase(r"(?:please )?feel free to ", "", "order"),
    Phrase(r"(?:please )?(?:try|do your best|do your utmost|make every effort|make an effort) to ", "", "order"),
    Phrase(r"(?:please )?(?:don['’]t|do not) forget (?:to |that )", "", "order"),
    Phrase(r"(?:take a (?:long )?deep breath|breathe (?:in )?(?:slowly|deeply))[^.!\n]{0,80}[.!]", "", "sentence"),
    Phrase(r"(?:i|we)['’]?(?: will|ll)? (?:tip|pay|give|reward) you[^.!\n]{0,60}[.!]", "", "sentence"),
    Phrase(r"(?:very|really|extremely|absolutely|truly|quite|utterly|incredibly) (?=important|clear|careful|concise|detailed|short|simple|specific|helpful)", ""),
)  # fmt: skip
"""Words that soften or strengthen; a look should decide."""

PREAMBLES: tuple[Phrase, ...] = (
    Phrase(
        r"you are (?:an? )?(?:(?:(?:very|highly|extremely) )?"
        r"(?:helpful|friendly|knowledgeable|world-class|expert|professional|experienced|skilled|intelligent|smart|honest|harmless|useful),? (?:and )?)+"
        r"(?:ai )?(?:assistant|ai|model|chatbot|language model|ai model)[.!]",
        "", "sentence",
    ),
)  # fmt: skip
"""Role play without a role."""
