"""Textual's stylesheet, with what it works out again and again kept.

Textual matches rules one by one for each widget and each of its component classes, and parses every sheet anew when the
theme changes: half of the processor time until the first paint. What it decides stays its own: this class only narrows
the rules that it looks at to those that can match, and remembers its answers for the same rules at the same place in
the tree. A sheet that comes later, with widgets of another kind, leaves them as they are.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable
from typing import Any, ClassVar, NamedTuple
from weakref import WeakKeyDictionary

from textual.app import App
from textual.cache import LRUCache
from textual.css.model import RuleSet
from textual.css.styles import RulesMap
from textual.css.stylesheet import CssSource, Stylesheet
from textual.css.types import CSSLocation
from textual.dom import DOMNode
from textual.widget import Widget

_SHEETS_KEPT = 1024
"""Parsed sheets: one for each class of widgets that brings rules, for each theme that was shown."""
_ANSWERS_KEPT = 10_000
"""Nodes at places of their own; the whole app has 500."""


def _state(node: DOMNode) -> tuple[Hashable, ...]:
    """Return what selectors can ask of a node, apart from its place among its siblings."""
    if isinstance(node, Widget):
        # Whether it is disabled follows from its ancestors, which are part of a place.
        return type(node), node._id, node.classes, node.mouse_hover, node.has_focus, node.disabled, node.allow_focus()
    if isinstance(node, App):
        dark, ansi = node.current_theme.dark, node.native_ansi_color
        return type(node), node._id, node.classes, node.app_focus, dark, ansi, node.no_color, node.is_inline
    return type(node), node._id, node.classes


class _Candidates(NamedTuple):
    """Rules that can match a node, by its own type, id and classes."""

    number: int
    """The same for the same rules."""
    rules: list[RuleSet]
    """In the order of the sheets."""
    ask_for_siblings: bool


class _Answers:
    """What was worked out for rules and places, numbered so that they are looked up quickly."""

    def __init__(self) -> None:
        self.styles: dict[tuple[int, int], RulesMap] = {}
        self._numbers = itertools.count(1)
        self._places: dict[tuple[int, tuple[Hashable, ...]], int] = {}
        # It holds the rules, so that no other rule gets an identity of theirs.
        self._candidates: dict[tuple[int, ...], _Candidates] = {}

    def place(self, node: DOMNode) -> int:
        """Return the number of a place in a tree: the same for nodes that no selector can tell apart."""
        if len(self._places) > _ANSWERS_KEPT:
            self.styles.clear()
            self._places.clear()
            self._candidates.clear()
        place = 0
        for each in node.css_path_nodes:
            key = (place, _state(each))
            if (place := self._places.get(key, 0)) == 0:
                place = self._places[key] = next(self._numbers)
        return place

    def candidates(self, rules: list[RuleSet]) -> _Candidates:
        """Return rules with their number."""
        key = tuple(map(id, rules))
        if (found := self._candidates.get(key)) is None:
            of_siblings = Stylesheet._EXCLUDE_PSEUDO_CLASSES_FROM_CACHE
            asking = any(not rule.pseudo_classes.isdisjoint(of_siblings) for rule in rules)
            found = self._candidates[key] = _Candidates(next(self._numbers), rules, asking)
        return found


class _Place(dict[Any, Any]):
    """The cache that Textual asks, once it has seen that siblings decide nothing: one node at its place."""

    def __init__(self, styles: dict[tuple[int, int], RulesMap], key: tuple[int, int]) -> None:
        self._styles, self._key = styles, key

    def get(self, key: Any, default: Any = None) -> Any:
        """Return the styles of the node, None if they are not known."""
        return self._styles.get(self._key, default)

    def __setitem__(self, key: Any, rules: RulesMap) -> None:
        self._styles[self._key] = rules


class KeptStylesheet(Stylesheet):
    """A stylesheet that keeps parsed sheets and matched rules."""

    _parsed: ClassVar[LRUCache[Hashable, list[RuleSet]]] = LRUCache(_SHEETS_KEPT)
    _answers: ClassVar[_Answers] = _Answers()

    def __init__(self, *, variables: dict[str, str] | None = None) -> None:
        super().__init__(variables=variables)
        self._variables_key = frozenset(self._variables.items())
        self._narrowed: list[RuleSet] | None = None
        self._place = 0
        self._known_map: dict[str, list[RuleSet]] | None = None
        self._order: dict[int, int] = {}
        self._candidates_of: dict[frozenset[str], _Candidates] = {}
        self._components_of: dict[frozenset[str], tuple[int, ...]] = {}
        self._processed: WeakKeyDictionary[DOMNode, tuple[int, tuple[int, ...]]] = WeakKeyDictionary()

    def set_variables(self, variables: dict[str, str]) -> None:
        """Set the variables of the theme."""
        super().set_variables(variables)
        self._variables_key = frozenset(variables.items())

    def _parse_rules(
        self,
        css: str,
        read_from: CSSLocation,
        is_default_rules: bool = False,
        tie_breaker: int = 0,
        scope: str = "",
    ) -> list[RuleSet]:
        key = (css, read_from, is_default_rules, tie_breaker, scope, self._variables_key)
        if (rules := self._parsed.get(key)) is None:
            rules = super()._parse_rules(css, read_from, is_default_rules, tie_breaker, scope)
            self._parsed[key] = rules
        return rules

    def reparse(self) -> None:
        """Take over the variables of the theme; a sheet that is wrong raises what Textual raises."""
        fresh = type(self)(variables=self._variables)
        fresh.source = {location: CssSource(*source) for location, source in self.source.items()}
        try:
            fresh.parse()
        except Exception:
            self._invalid_css.update(fresh._invalid_css)
            raise
        self._rules = fresh._rules
        self._rules_map = None
        self._require_parse = False

    @property
    def rules(self) -> list[RuleSet]:
        """The rules in the order of the sheets; while a node is matched, those that can match it."""
        return super().rules if self._narrowed is None else self._narrowed

    def _candidates(self, node_names: set[str]) -> _Candidates:
        rules_map = self.rules_map
        if self._known_map is not rules_map:  # it is another dictionary once the rules are others
            self._known_map = rules_map
            self._order = {id(rule): place for place, rule in enumerate(self.rules)}
            self._candidates_of.clear()
            self._components_of.clear()
        names = frozenset(rules_map.keys() & node_names)
        if (found := self._candidates_of.get(names)) is None:
            matching = {id(rule): rule for name in names for rule in rules_map[name]}
            rules = [matching[identity] for identity in sorted(matching, key=self._order.__getitem__)]
            found = self._candidates_of[names] = self._answers.candidates(rules)
        return found

    def apply(
        self, node: DOMNode, *, animate: bool = False, cache: dict[tuple[Any, ...], RulesMap] | None = None
    ) -> None:
        """Give a node the styles of the rules that it matches."""
        place = self._place = self._answers.place(node)
        candidates = self._candidates(node._selector_names)
        self._narrowed = candidates.rules
        try:
            super().apply(node, animate=animate, cache=_Place(self._answers.styles, (place, candidates.number)))
        finally:
            self._narrowed = None

    def _process_component_classes(self, node: DOMNode) -> None:
        if not (components := node._get_component_classes()):
            return
        self._narrowed = None
        # No number stands for rules that ask for siblings: such components are always matched anew.
        now = (self._place, self._numbers_of(components))
        if now[1] and self._processed.get(node) == now:
            return
        super()._process_component_classes(node)
        self._processed[node] = now

    def _numbers_of(self, components: frozenset[str]) -> tuple[int, ...]:
        """Return the numbers of the rules that can match component classes, none if siblings can matter to one."""
        self._candidates(set())  # what is kept is of the present rules
        if (numbers := self._components_of.get(components)) is None:
            candidates = [self._candidates({"*", f".{each}", *DOMNode._css_type_names}) for each in sorted(components)]
            asking = any(each.ask_for_siblings for each in candidates)
            numbers = self._components_of[components] = () if asking else tuple(each.number for each in candidates)
        return numbers
