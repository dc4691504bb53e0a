"""The command palette: one list of ``noun: verb`` commands, computed from what is possible at this moment.

Discovery and search read the same list, so nothing can be found that is not offered, or the other way round.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.screen import Screen

from promptop.base.texts import tr
from promptop_tui.shell.tabs import TABS

if TYPE_CHECKING:
    from promptop_tui.app import PromptopApp


@dataclass(frozen=True, slots=True)
class Command:
    """One line of the palette."""

    name: str
    """``noun: verb``."""
    help: str
    run: Callable[[], object]


def commands(app: PromptopApp, screen: Screen[object]) -> Iterator[Command]:
    """Yield every command that can be used now on ``screen``."""
    for tab, (key, title) in TABS.items():
        if tab != app.tab:
            yield Command(
                f"tab: {tr(title).lower()}",
                tr("Show the tab {title} ({key})", title=tr(title), key=key.upper()),
                partial(app.show_tab, tab),
            )
    seen = set()
    for active in screen.active_bindings.values():
        binding = active.binding
        if not active.enabled or not binding.id or binding.id in seen or binding.id.startswith(("app.tab", "help.")):
            continue
        seen.add(binding.id)
        noun = binding.id.split(".")[0]
        verb = (tr(binding.description) or binding.id.split(".")[-1]).lower()
        run = partial(app.run_action, binding.action, active.node)
        yield Command(f"{noun}: {verb}", tr(binding.tooltip or binding.description), run)
    for name in sorted(app.available_themes):
        if name != app.theme:
            yield Command(f"theme: {name}", tr("Use the theme {name}", name=name), partial(setattr, app, "theme", name))
    yield Command("screenshot: save", tr("Save a picture of the screen as SVG"), app.save_picture)


class PaletteProvider(Provider):
    """Feeds the palette from :func:`commands`."""

    def _commands(self) -> Iterator[Command]:
        from promptop_tui.app import PromptopApp

        return commands(cast(PromptopApp, self.app), self.screen)

    async def discover(self) -> Hits:
        """Offer everything before anything is typed."""
        for command in self._commands():
            yield DiscoveryHit(command.name, command.run, help=command.help)

    async def search(self, query: str) -> Hits:
        """Offer what matches, best first."""
        matcher = self.matcher(query)
        for command in self._commands():
            score = matcher.match(f"{command.name} {command.help}")
            if score > 0:
                yield Hit(score, matcher.highlight(command.name), command.run, help=command.help)
