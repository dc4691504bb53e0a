"""From what a user writes to scenarios: the same for the command and for the screen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from promptop.base.errors import UsageError
from promptop.base.times import lifetime
from promptop.cache import policy_of as cache_policy_of
from promptop.log.row import Row
from promptop.models import overrides
from promptop.routing import policy as routing
from promptop.settings import Settings
from promptop.whatif import scenarios
from promptop.whatif.scenarios import Scenario


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be tried, each as it is written on the command line."""

    models: tuple[str, ...] = ()
    prices: tuple[str, ...] = ()
    cache_ttls: tuple[str, ...] = ()
    tiers: tuple[str, ...] = ()
    routers: tuple[str, ...] = ()
    trims: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing was chosen."""
        return not any((self.models, self.prices, self.cache_ttls, self.tiers, self.routers, self.trims))


def scenarios_of(
    wanted: Wanted,
    settings: Settings,
    rows: Sequence[Row],
    *,
    require_known: Callable[[str], None],
    tell: Callable[[str], object],
) -> Iterator[Scenario]:
    """Yield what was, and what is asked for; without a choice, what needs none.

    ``require_known`` raises for a model that nobody knows, ``tell`` is handed a remark. Raises :class:`UsageError`.
    """
    yield Scenario("as it was", scenarios.as_it_was, (), lambda call: False)
    for text in wanted.models:
        old, arrow, new = text.rpartition("->")
        if not new.strip() or (arrow and not old.strip()):
            raise UsageError(f"--model {text!r} names no model.", "Write --model NEW, or --model 'OLD->NEW'.")
        require_known(new.strip())
        if old.strip() and not any(old.strip() in (row.request_model, row.response_model) for row in rows):
            tell(f"no call of {old.strip()} is in this window")
        yield scenarios.other_model(new.strip(), old.strip())
    for name in wanted.prices:
        yield _prices(name)
    nothing = wanted.is_empty
    for text in wanted.cache_ttls or (("1h",) if nothing else ()):
        yield scenarios.cached(rows, cache_policy_of(settings.cache), lifetime(text, "--cache-ttl"), text)
    for name in wanted.tiers or (("batch",) if nothing else ()):
        if name not in ("batch", "flex"):
            raise UsageError(f"--tier {name!r} is no tier.", "Write batch or flex.")
        yield scenarios.tier(name)
    thresholds = (settings.editor.tier_medium, settings.editor.tier_complex, settings.editor.tier_expert)
    for text in wanted.routers:
        yield scenarios.router(_policy(text, thresholds), text)
    if nothing and (settings.routing.rules or settings.routing.tiers):
        yield scenarios.router(routing.policy_of(settings), "of the settings")
    for text in wanted.trims:
        prompt, _, number = text.rpartition("=")
        if not prompt or not number.isdigit() or not int(number):
            raise UsageError(f"--trim {text!r} is not understood.", "Write --trim PROMPT=TOKENS, as in support=420.")
        yield scenarios.trimmed(prompt, int(number))


def _prices(name: str) -> Scenario:
    if name == "now":
        return scenarios.price_list("of now")
    path = Path(name).expanduser()
    if not path.is_file():
        raise UsageError(f"There is no price file {name}.", "Name a prices.toml, or now for today's table.")
    said = overrides.read(path)
    if said.problems:
        raise UsageError(said.problems[0], "Mend the file.")
    return scenarios.price_list(path.name, said)


def _policy(text: str, thresholds: tuple[float, float, float]) -> routing.Policy:
    if "->" in text:
        return routing.Policy(tuple(routing.parse_rule(each) for each in text.split(";") if each.strip()))
    return routing.Policy(routing.tier_rules([each.strip() for each in text.split(",")], thresholds))
