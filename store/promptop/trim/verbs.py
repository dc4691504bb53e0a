"""English verbs that prompts give orders with, to tell whether what is left of a sentence is one."""

from __future__ import annotations

import re

BASE = frozenset(
    """abort absorb accelerate accept access accompany account accuse achieve acknowledge act activate adapt add address
    adhere adjust admit adopt advance advertise advise affirm agree aim alert align allow alphabetize alter amend
    amuse analyse analyze animate annotate announce anonymize answer anticipate apologise apologize append apply
    approach approve argue arrange ask assemble assert assess assign assist assume attach attempt attract audit
    augment automate avoid award back backtrack balance base be become begin behave believe benchmark bet bill bind
    blame blend block blur boil bold book bookmark boost bootstrap bounce bow brace bracket brainstorm brand break
    breathe brew brief bring broaden browse build bundle calculate calibrate call cancel capitalize caption capture
    carry categorise categorize caution cease celebrate challenge change channel charge chart chat check choose chunk
    circle cite claim clarify classify clean clip clone close cluster coach code coin collect combine come comment
    communicate compare compile complete compose compress compute concentrate conclude condense conduct confirm
    connect consider consist construct consult contact contain continue convert convey cook cooperate coordinate copy
    correct counsel count counter couple cover crack craft crawl create credit critique crop cross curate cure
    customise customize cut dance dare date deactivate deal debate debug decide decipher declare decline decode
    decompose decouple decrease dedicate deduce deepen default defend defer define delay delegate delete deliver
    demand demonstrate demote deny depart depend depict deploy derive describe design desire destroy detach detail
    detect determine develop devise devote diagnose dictate differ differentiate dig direct disable disagree
    disambiguate discard disclose disconnect discourage discover discuss dispatch display dispute disregard dissect
    distill distinguish distribute dive divert divide do document donate double download draft dramatize draw drill
    drink drive drop dub duplicate earn ease eat echo edit educate elaborate elicit eliminate embed embody embrace
    empathise empathize emphasise emphasize employ empower empty emulate enable enact encapsulate encode encounter
    encourage encrypt end endorse energize enforce engage engineer enhance enjoy enlarge enlighten enrich ensure enter
    entertain entitle enumerate equip erase err escalate escape establish estimate evaluate evoke evolve exaggerate
    examine exceed exchange exclude excuse execute exemplify exercise exit expand expect experiment explain exploit
    explore export expose express extend extract extrapolate face facilitate factor fail fall fear feature feed feel
    fetch field fight figure fill film filter finalize find finish fire fit fix flag flatten flesh flip float flow fly
    focus fold follow forbid force forecast forge forget fork format formulate forward frame fulfil fulfill fund
    further gain gather gauge generalise generalize generate get give glance go grab grade grant greet grill ground
    group grow guarantee guard guess guide halt halve hand handle hang harmonize harness hash have heal hear heed help
    hide highlight hit hold honor honour hook host hunt hypothesise hypothesize identify ignore illustrate imagine
    imitate impersonate implement imply import impose impress improve inch include incorporate increase indent index
    indicate induce infer influence inform initialise initialize initiate inject innovate input insert inspect inspire
    install instantiate instruct integrate interact interpret interrogate intervene interview introduce invent
    investigate invite invoke involve isolate iterate join jot judge jump justify keep key kick kill know label lay
    lead learn leave lessen let leverage lift lighten limit line link lint list listen load localise localize locate
    lock log look loop lower maintain make manage mandate manipulate map mark market master match max measure mediate
    meet memorise memorize mention mentor merge migrate mimic mind minimise minimize mirror mix mock model moderate
    modify monitor motivate move multiply name narrate narrow navigate near negotiate nest nominate normalise
    normalize notate note notify number nurture obey object observe obtain occupy offer omit open operate oppose opt
    optimise optimize orchestrate order organise organize orient originate outdo outline output outweigh overcome
    overlook override oversee overwrite own pack package page paint pair paraphrase park parse partition pass paste
    patch pause pay penalize perform permit persist personalise personalize personify persuade phrase pick pin ping
    pinpoint pipe pitch place plan play point polish poll populate portray pose position possess post practice
    practise praise preach precede predict prefer prefix prepare prepend prescribe present preserve press presume
    pretend prevent preview price prime print prioritise prioritize probe proceed process produce profile program
    prohibit project promise promote prompt pronounce proof proofread propose protect prove provide prune publish pull
    pursue push put quantify query question quit quote race raise ramp rank rap rate re-check re-read reach react read
    reanalyze reason rebuild recall recap receive recheck recite recognise recognize recommend reconcile reconstruct
    record recover recreate recruit rectify recur redact redesign redirect redo redraft reduce reevaluate refactor
    refer reference refine reflect reformat reformulate refrain reframe refresh refund refuse regard regenerate
    register regulate rehearse reimagine reinforce reiterate reject relate relax relay release relocate rely remain
    remark remediate remedy remember remind remove rename render renew reopen reorder reorganize repackage repair
    repeat rephrase replace reply report represent reproduce request require reread reschedule research reserve reset
    reshape reside resist resolve resort respect respond restart restate restore restrict restructure resume retain
    retell rethink retrieve retry return reuse reveal reverse revert review revise revisit reward reword rewrite rhyme
    rid risk roast role-play roleplay rotate round route rule run satisfy save say scaffold scale scan schedule scope
    score scrape screen script scroll scrutinize search secure see seed seek segment select sell send sense separate
    serve set shape share sharpen shift ship shoot shorten shout show shuffle shut sift sign silence simplify simulate
    sing sit size sketch skip slice slow smile smooth soften solve sort sound spark spawn speak specify spell spend
    spin split spot spread squash stage stamp stand standardise standardize start state stay steer step stick
    stimulate stop store stream stress stretch strike strip strive structure study style subject submit subscribe
    substitute subtract succeed suggest sum summarise summarize supplement supply support suppose suppress surface
    surprise survey suspend sustain swap switch symbolize sync synthesise synthesize tabulate tackle tag tailor take
    talk target taste teach tease tell tempt tend terminate test thank theorize think throw tidy tie tighten time
    title toggle tokenize tolerate touch trace track trade train transcribe transfer transform transition translate
    transmit travel traverse treat triage trigger trim trip troubleshoot trust try tune turn tutor tweak twist type
    uncover underline underscore understand undertake undo unify unpack unveil update upgrade uphold upload upscale
    urge use utilise utilize validate value vary verify view visit voice volunteer vote wait wake walk want warn watch
    weave weigh welcome widen win wire wish witness word work worry wrap write yell yield zoom comply""".split()
)
"""Verbs in the form of an order."""
_STATES = frozenset(
    "be believe consist contain expect have involve know prefer remain see suppose trust understand want".split()
)
"""Verbs of states: "make sure you know" asks for something else than "know"."""
_OTHER = frozenset(
    "is are am was were been being has had does did done can could will would shall should may might must cannot isn't"
    " aren't don't doesn't didn't won't can't made said given shown written taken found kept held told done"
    " built sent let's"
    " went got seen known thought meant left begun chosen read ran run".split()
)
_ADVERBS = frozenset(
    "always never only also then now first just simply carefully clearly briefly concisely directly either further"
    " thoroughly strictly explicitly instead once again immediately fully gently politely accurately".split()
)
_WORD = re.compile(r"[A-Za-z]+(?:[-'’][A-Za-z]+)*")


def is_order(text: str, *, states: bool = True) -> bool:
    """Tell whether a text begins as an order does: with a verb, or with one or two adverbs and a verb."""
    for number, found in enumerate(_WORD.finditer(text[:80])):
        word = found[0].lower()
        if word in BASE:
            return states or word not in _STATES
        if word in ("don't", "don’t") or (word == "do" and number == 0):
            return True
        if number > 1 or not (word in _ADVERBS or (word.endswith("ly") and len(word) > 4)):
            return False
    return False


def base_of(gerund: str) -> str:
    """Return the verb that a form in -ing is made of; empty if it is not known here."""
    stem = gerund.lower().removesuffix("ing")
    undoubled = stem[:-1] if stem[-1:] == stem[-2:-1] else stem
    return next((verb for verb in (stem + "e", stem, undoubled) if verb in BASE), "")


def has_verb(text: str) -> bool:
    """Tell whether a sentence has a verb; names of things that are verbs too count, so a doubt is decided for one."""
    return any(is_verb(found[0].lower().replace("’", "'")) for found in _WORD.finditer(text))


def is_verb(word: str) -> bool:
    """Tell whether a word in lower case is some form of a verb that is known here."""
    if word in BASE or word in _OTHER or word.endswith(("'s", "'re", "'ll", "'ve", "n't")):
        return True
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending):
            stem = word[: -len(ending)]
            if stem in BASE or stem + "e" in BASE or (len(stem) > 2 and stem[-1:] == stem[-2:-1] and stem[:-1] in BASE):
                return True
            if stem.endswith("i") and stem[:-1] + "y" in BASE:
                return True
    return False
