"""Panels as the user wants them: one alone, narrower or wider, hidden; kept from one start to the next.

A panel is a widget with the class ``panel``. What is kept are hidden panels and the columns' shares of the width; a
zoom is not. A share holds only where columns stand side by side: a narrow terminal stacks them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from textual.css.scalar import Unit
from textual.widget import Widget

from promptop.base.errors import PromptopError
from promptop.base.files import write_private

STEP = 0.05
"""Share of the width that one key press gives or takes."""
NARROWEST, WIDEST = 0.15, 0.85
_AWAY, _PATH, _ZOOMED, _HIDDEN = "-away", "-zoom-path", "-zoomed", "-hidden-by-user"


def panel_of(widget: Widget | None) -> Widget | None:
    """Return the innermost panel around a widget, None outside of one."""
    nodes = widget.ancestors_with_self if widget is not None else ()
    return next((node for node in nodes if isinstance(node, Widget) and node.has_class("panel")), None)


class PanelLayout:
    """Zooms, resizes and hides the panels of a tab; remembers it in ``path``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept: dict[str, Any] | None = None

    # Zoom

    def is_zoomed(self, pane: Widget) -> bool:
        """Tell whether one panel of a tab has it alone."""
        return pane.has_class(_PATH)

    def zoom(self, pane: Widget, panel: Widget | None) -> None:
        """Give a panel the whole tab, or all of them their places again."""
        if self.is_zoomed(pane):
            for node in (pane, *pane.query("*")):
                node.remove_class(_AWAY, _PATH, _ZOOMED)
            return
        if panel is None:
            return
        panel.add_class(_ZOOMED)
        for node in _way(panel, pane):
            for child in node.parent.children if isinstance(node.parent, Widget) else ():
                if child is not node:
                    child.add_class(_AWAY)
            if isinstance(node.parent, Widget):
                node.parent.add_class(_PATH)

    # Hide

    def hide(self, tab: str, panel: Widget) -> bool:
        """Hide a panel; one without a name in the sheet stays, and False is returned."""
        if not panel.id:
            return False
        panel.add_class(_HIDDEN)
        self._tab(tab)["hidden"] = sorted({*self._tab(tab)["hidden"], panel.id})
        self._save()
        return True

    def show_all(self, tab: str, pane: Widget) -> None:
        """Show what was hidden, with the widths of the sheet."""
        for node in pane.query(f".{_HIDDEN}"):
            node.remove_class(_HIDDEN)
        for name in self._tab(tab)["widths"]:
            for node in pane.query(f"#{name}"):
                node.styles.clear_rule("width")
        self._kept = {**self._read(), tab: {"hidden": [], "widths": {}}}
        self._save()

    # Width

    def resize(self, tab: str, pane: Widget, panel: Widget, *, wider: bool) -> None:
        """Make the panel's column wider or narrower; alone in its row it stays as it is."""
        column = next((node for node in _way(panel, pane) if _beside(node)), None)
        if column is None or not pane.size.width:
            return
        flexible = column.styles.width is not None and column.styles.width.unit == Unit.FRACTION
        if flexible:  # the others' widths decide about this one's
            column, wider = _beside(column)[0], not wider
        share = column.outer_size.width / pane.size.width + (STEP if wider else -STEP)
        if not column.id:
            return
        self._tab(tab)["widths"][column.id] = round(min(WIDEST, max(NARROWEST, share)), 2)
        self._save()
        self.apply(tab, pane)

    def apply(self, tab: str, pane: Widget) -> None:
        """Give a tab's panels what is kept for them."""
        kept = self._tab(tab)
        for name in kept["hidden"]:
            for node in pane.query(f"#{name}"):
                node.add_class(_HIDDEN)
        for name, share in kept["widths"].items():
            for node in pane.query(f"#{name}"):
                if _beside(node):
                    node.styles.width = f"{share:.0%}"
                else:
                    node.styles.clear_rule("width")

    # What is kept

    def _tab(self, tab: str) -> dict[str, Any]:
        kept: dict[str, Any] = self._read().setdefault(tab, {"hidden": [], "widths": {}})
        return kept

    def _read(self) -> dict[str, Any]:
        if self._kept is None:
            self._kept = {}
            try:
                told = json.loads(self._path.read_text(encoding="utf-8"))
            except (OSError, ValueError):  # there is none yet, or it was cut: the sheet's layout is good
                told = {}
            for tab, kept in told.items() if isinstance(told, dict) else ():
                if isinstance(kept, dict):
                    hidden, widths = kept.get("hidden"), kept.get("widths")
                    self._kept[tab] = {
                        "hidden": [str(name) for name in hidden if str(name).replace("-", "").isalnum()]
                        if isinstance(hidden, list)
                        else [],
                        "widths": {
                            str(name): float(share)
                            for name, share in (widths.items() if isinstance(widths, dict) else ())
                            if isinstance(share, int | float) and str(name).replace("-", "").isalnum()
                        },
                    }
        return self._kept

    def _save(self) -> None:
        try:
            write_private(self._path, json.dumps(self._read()))
        except (OSError, PromptopError):
            return  # the layout holds for this session; a full disk is told by what needs it


def _way(panel: Widget, pane: Widget) -> Iterator[Widget]:
    """Yield the panel and what lies around it, up to but without the tab."""
    for node in panel.ancestors_with_self:
        if node is pane:
            return
        if isinstance(node, Widget):
            yield node


def _beside(node: Widget) -> list[Widget]:
    """Return what is shown in one row with a widget, fixed widths first."""
    parent = node.parent
    if not isinstance(parent, Widget):
        return []
    shown = [child for child in parent.displayed_children if child is not node and child.region.width]
    shown = [child for child in shown if child.region.y < node.region.bottom and node.region.y < child.region.bottom]
    shown = [
        child for child in shown if not (child.region.x < node.region.right and node.region.x < child.region.right)
    ]
    return sorted(shown, key=lambda child: child.styles.width is None or child.styles.width.unit == Unit.FRACTION)
