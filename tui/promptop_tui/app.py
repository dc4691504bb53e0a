"""The app's frame: the tab strip, one pane per tab, the footer, help, palette, themes and keys.

Panes are built when they are first shown, so that the first paint pays for the editor alone. The frame owns what they
share (:class:`~promptop_tui.context.AppContext`) and hands the subject of one to another; it knows nothing of what a
pane does.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.filter import LineFilter
from textual.notifications import SeverityLevel
from textual.widget import Widget
from textual.widgets import ContentSwitcher
from textual.worker import get_current_worker

from promptop.base import texts, units
from promptop.base.errors import PromptopError
from promptop.base.files import config_dir, state_dir
from promptop.base.sanitize import clean, clean_line
from promptop.base.texts import mark, tr
from promptop.cli.shared.options import AppOptions
from promptop_tui import messages
from promptop_tui.context import AppContext
from promptop_tui.services import clipboard, terminal_hangup
from promptop_tui.services.token_counts import Counting
from promptop_tui.shell import keymap, theme
from promptop_tui.shell.control_filter import ControlCharacters
from promptop_tui.shell.footer import KeyFooter
from promptop_tui.shell.jump import JumpScreen, targets_of
from promptop_tui.shell.key_names import display_key
from promptop_tui.shell.ordered_keys import OrderedKeys
from promptop_tui.shell.palette import PaletteProvider
from promptop_tui.shell.panel_layout import PanelLayout, panel_of
from promptop_tui.shell.settings_banner import SettingsBanner
from promptop_tui.shell.tabs import TABS, TabLabel, TabStrip
from promptop_tui.shell.tour import TourLine
from promptop_tui.stylesheet import KeptStylesheet

if TYPE_CHECKING:
    from promptop.alerts.rules import Alert

_HERE = Path(__file__).parent
LEARN_AFTER_S = 3.0
"""Seconds from the start until token factors are learned: after everything that a user waits for."""
HUNG_UP_S = 5.0
"""Seconds after the terminal went away until the process ends in any case."""
LEARN_FROM = 5_000
"""Newest rows that they are learned from: 0.25 s of CPU in a thread."""


def _panel_key(key: str, name: str, label: str, tooltip: str) -> Binding:
    return Binding(key, f"panel('{name}')", label, id=f"app.panel.{name}", tooltip=tooltip, show=False)


class PromptopApp(OrderedKeys):
    """promptop, opened."""

    TITLE = "promptop"
    CSS_PATH = [_HERE / "app.tcss"]  # the tabs' sheets are read behind the first paint: parsing them takes 150 ms
    COMMANDS = {PaletteProvider}
    HORIZONTAL_BREAKPOINTS = [(0, "-tiny"), (60, "-narrow"), (100, "-normal"), (160, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-short"), (30, "-tall")]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f1", "help", "Help", id="app.help", tooltip="What you can do here, and with which keys"),
        *(
            Binding(
                key,
                f"tab('{tab}')",
                title,
                id=f"app.tab.{tab}",
                tooltip=f"Show the {title.lower()}",
                show=False,
                priority=True,
            )
            for tab, (key, title) in TABS.items()
        ),
        _panel_key("alt+z", "zoom", "Zoom panel", "The panel alone on the tab; again: all of them"),
        _panel_key("alt+j", "jump", "Jump", "A letter on everything that takes the focus; press one to go there"),
        _panel_key("alt+comma", "narrower", "Narrower", "Make the panel's column narrower"),
        _panel_key("alt+full_stop", "wider", "Wider", "Make the panel's column wider"),
        _panel_key("alt+h", "hide", "Hide panel", "Hide the panel; kept for the next start"),
        _panel_key("alt+u", "show_all", "All panels", "Show hidden panels, with their own widths"),
        Binding("alt+q", "close_tour", "Close tour", id="app.tour", tooltip="Close the tour for good", show=False),
        Binding("ctrl+q,f10", "quit", "Quit", id="app.quit", tooltip="Leave; the draft is kept", priority=True),
    ]
    HELP = """\
promptop closes one loop: find the prompt that costs (F4), open it in the editor (F2), trim it with live counts, try it
in the playground (F3), and watch the saving (F4). ctrl+p lists every command."""

    def __init__(self, options: AppOptions, *, now: Callable[[], float] = time) -> None:
        texts.use(options.settings.language or texts.from_environment())
        units.show_beside(options.settings.money.currency())
        self._themes = theme.load(theme.shipped_dir(), config_dir() / "themes")
        self._theme_defaults = theme.defaults()
        super().__init__()
        self.stylesheet = KeptStylesheet(variables=self.get_css_variables())
        self.options = options
        self.settings = options.settings
        self.counting = Counting(self)
        self.context = AppContext(
            settings=options.settings,
            log_path=options.log_path,
            more_logs=options.more_logs,
            watched=options.watched,
            replay=options.replay,
            draft_path=options.draft_path or state_dir() / "draft.md",
            counting=self.counting,
            simulated=options.simulated,
            open_path=options.open_path,
            now=now,
        )
        self.tab = self._wanted = options.tab
        self._focus_of: dict[str, Widget] = {}
        self._layout = PanelLayout(state_dir() / "panels.json")
        self._key_problems: set[str] = set()
        self._use_themes(self._themes)
        wanted = self.settings.theme
        self.theme = wanted if wanted in self._themes.themes else theme.BRAND

    # Frame

    def compose(self) -> ComposeResult:
        """Lay out strip, panes and footer."""
        profile = self.settings.active_profile()
        with Vertical(id="frame"):
            yield TabStrip(f"{profile.name} {profile.base_url}", simulated=self.options.simulated)
            yield SettingsBanner(self.settings)
            # In the settings' folder: the demo throws away what it keeps elsewhere.
            yield TourLine(config_dir() / "tour-closed", wanted=self.options.simulated)
            yield ContentSwitcher(id="panes")
            if self.settings.monitor.alerts:
                from promptop_tui.services.alert_watch import AlertWatch

                yield AlertWatch(self.context)
            yield KeyFooter()

    async def on_mount(self) -> None:
        """Show the first tab, then start what may come after the first paint."""
        if not self.is_headless:
            self.end_with_signals()
        await self._show(self.tab)
        if self.options.ask and self.tab == "playground":
            from promptop.prompts import parse

            self.post_message(messages.OpenInPlayground(parse(self.options.ask).openai()))
        self.watch(self.screen, "focused", self._focus_changed, init=False)
        for watch in self.query("AlertWatch"):
            self.watch(watch, "alerts", self._alerts_changed)
        self._apply_keys()
        self.call_after_refresh(self.counting.start)
        self.call_after_refresh(self._read_sheets, *TABS)  # dialogs of one tab are opened from another
        self.set_interval(1.0, self._reload_themes)
        for text in self._themes.problems:
            self.tell(text, title=tr("Theme"), severity="warning")
        if self.settings.theme not in self._themes.themes:
            self.tell(
                tr("There is no theme {name}; {other} is used.", name=repr(self.settings.theme), other=theme.BRAND),
                title=tr("Theme"),
            )
        self.set_timer(LEARN_AFTER_S, self._learn)

    @work(thread=True, exclusive=True, group="learn", description="learn token factors from the log")
    def _learn(self) -> None:
        """Fit token factors to what servers reported; tell of a changed tokenizer and of faults in prices.toml."""
        from promptop.log import LogReader
        from promptop.models import overrides
        from promptop.tokens import factors

        told = [(problem, mark("Prices")) for problem in overrides.current().problems]
        if not self.options.simulated:
            try:
                reader = LogReader(self.context.log_path)
                told += [(str(notice), mark("Tokens")) for notice in factors.update(reader.latest(LEARN_FROM))]
                reader.close()
            except PromptopError as error:  # the monitor shows what is wrong with the log
                self.log.warning(tr("token factors were not learned: {cause}", cause=error.cause))
        for text, title in told if not get_current_worker().is_cancelled else ():
            self.call_from_thread(self.tell, text, title=tr(title), severity="warning")

    def end_with_signals(self) -> None:
        """Make a connection that drops and a system that shuts down ends like any other: tabs keep what they hold."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._signalled, number)
        if sys.__stdin__ is not None and sys.__stdin__.isatty():
            terminal_hangup.watch(sys.__stdin__.fileno(), partial(self._hung_up, loop))

    def _hung_up(self, loop: asyncio.AbstractEventLoop) -> None:
        """End as with SIGHUP, in case it was told to another process; runs on a thread of its own."""
        _end_in_time()  # here, not in the loop: the loop may be the one that waits for the terminal
        with contextlib.suppress(RuntimeError):  # it is over already
            loop.call_soon_threadsafe(self._signalled, signal.SIGHUP)

    def _signalled(self, number: int) -> None:
        if number == signal.SIGHUP:
            _end_in_time()
        self.exit(return_code=128 + number)

    async def on_unmount(self) -> None:
        """End the counting process."""
        self.counting.close()

    def tell(self, text: str, *, title: str = "", severity: SeverityLevel = "information") -> None:
        """Show a notice; its text may come from anywhere."""
        self.notify(clean(text), title=clean_line(title), severity=severity, timeout=10, markup=False)

    def copy_to_clipboard(self, text: str) -> None:
        """Copy text: every copy of every tab comes here. The terminal is asked (OSC 52), and what else there is."""
        super().copy_to_clipboard(text)
        if found := clipboard.programs():
            self._copy_natively(text, found)

    @work(thread=True, exclusive=True, group="clipboard", description="copy to the system's clipboard")
    def _copy_natively(self, text: str, found: Sequence[clipboard.Program]) -> None:
        try:
            clipboard.put(text, found)
        except PromptopError as error:
            self.call_from_thread(self.tell, str(error), title=tr("Clipboard"), severity="warning")

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Return Textual's filters with ours after them."""
        return [*super().get_line_filters(), self._control_characters]

    _control_characters = ControlCharacters()

    def _alerts_changed(self, alerts: Sequence[Alert]) -> None:
        self.query_one(TabStrip).firing = sum(alert.firing for alert in alerts)

    # Tabs

    def action_tab(self, tab: str) -> None:
        """Show a tab."""
        self.show_tab(tab)

    def show_tab(self, tab: str) -> None:
        """Show ``tab``, building its pane if this is the first time."""
        self.hold_keys()
        self.run_worker(self._show(tab), group="tab", description=f"show {tab}", exit_on_error=True)

    @on(TabLabel.Chosen)
    def _on_tab_chosen(self, message: TabLabel.Chosen) -> None:
        self.show_tab(message.tab)

    async def _arrived(self) -> None:
        """Give the focus to the tab that is shown now, then the keys that were held for it."""
        self._focus()
        await self.release_keys()
        if not gc.isenabled():  # it rests while the app starts
            gc.freeze()
            gc.enable()

    async def _show(self, tab: str) -> Widget:
        self._wanted = tab
        self.hold_keys()
        switcher = self.query_one("#panes", ContentSwitcher)
        if self.focused is not None and self.screen is switcher.screen:
            self._focus_of[self.tab] = self.focused
        identifier = f"pane-{tab}"
        found = switcher.query(f"#{identifier}")
        if found:
            pane: Widget = found.first()
        else:
            pane = self._build(tab)
            self._read_sheets(tab)
            await switcher.add_content(pane, id=identifier)
            self._apply_keys()
            self.call_after_refresh(self._layout.apply, tab, pane)
        if self._wanted != tab:
            return pane  # another tab was asked for while this one was being built
        switcher.current = identifier
        self.tab = tab
        self.query_one(TabStrip).current = tab
        self.query_one(TourLine).tab = tab
        self.call_after_refresh(self._arrived)
        return pane

    def _focus_changed(self, focused: Widget | None) -> None:
        """Do not leave a tab without focus when the widget that had it is hidden: it would have no keys."""
        if focused is None:
            self.call_after_refresh(self._focus)

    def _focus(self) -> None:
        """Give the focus back to who had it in this tab, else to the first who can take it, unless the pane did so."""
        tab, held = self.tab, self.focused
        found = self.query(f"#pane-{tab}")
        if not found:
            return
        pane: Widget = found.first()
        if held is not None and pane in held.ancestors_with_self:
            return
        before = self._focus_of.get(tab)
        candidates = [*([before] if before is not None and before.is_attached else []), *pane.query("*"), pane]
        for widget in candidates:
            shown = all(each.display for each in widget.ancestors_with_self if isinstance(each, Widget))
            if widget.focusable and shown:
                self.screen.set_focus(widget)  # at once: widget.focus() would let keys go by in between
                return

    def _read_sheets(self, *tabs: str) -> None:
        """Add the rules of tabs, those that are not there yet."""
        paths = [path for path in (_HERE / tab / f"{tab}.tcss" for tab in tabs) if path not in self.css_path]
        for path in paths:
            self.css_path.append(path)
            self.stylesheet.read(path)
        if paths:
            self.stylesheet.parse()

    def _build(self, tab: str) -> Widget:
        if tab == "playground":
            from promptop_tui.playground.screen import PlaygroundPane

            return PlaygroundPane(self.context)
        if tab == "monitor":
            from promptop_tui.monitor.screen import MonitorPane

            return MonitorPane(self.context)
        from promptop_tui.editor.screen import EditorPane

        return EditorPane(self.context)

    # Panels

    @property
    def _pane(self) -> Widget | None:
        """The tab that is shown, None below a dialog."""
        panes = self.screen.query(f"#pane-{self.tab}")
        return panes.first() if panes else None

    def action_panel(self, what: str) -> None:
        """Zoom, hide or resize the focused panel, show all of them, or go to one."""
        pane = self._pane
        if pane is None:
            return
        panel = panel_of(self.focused)
        if what == "zoom":
            self._layout.zoom(pane, panel)
        elif what == "show_all":
            self._layout.show_all(self.tab, pane)
        elif what == "jump":
            self._jump(pane)
        elif panel is None or self._layout.is_zoomed(pane):
            return
        elif what == "hide":
            if len([each for each in pane.query(".panel") if each.region.area]) > 1:
                self._layout.hide(self.tab, panel)
        else:
            self._layout.resize(self.tab, pane, panel, wider=what == "wider")

    def _jump(self, pane: Widget) -> None:
        def go(widget: Widget | None) -> None:
            if widget is not None and widget.is_attached:
                self.screen.set_focus(widget)

        if targets := targets_of(pane):
            self.push_screen(JumpScreen(targets), go)

    def on_resize(self) -> None:
        """Columns have their widths where they stand side by side, and only there."""
        if (pane := self._pane) is not None:
            self.call_after_refresh(self._layout.apply, self.tab, pane)

    def action_close_tour(self) -> None:
        """Close the tour for good."""
        self.query_one(TourLine).close()

    # From one tab to another

    @on(messages.OpenInEditor)
    async def _open_in_editor(self, message: messages.OpenInEditor) -> None:
        from promptop_tui.editor.screen import EditorPane

        pane = await self._show("editor")
        assert isinstance(pane, EditorPane)
        pane.open_text(message)

    @on(messages.OpenInPlayground)
    async def _open_in_playground(self, message: messages.OpenInPlayground) -> None:
        from promptop_tui.playground.screen import PlaygroundPane

        pane = await self._show("playground")
        assert isinstance(pane, PlaygroundPane)
        pane.open_prompt(message)

    @on(messages.ShowInMonitor)
    async def _show_in_monitor(self, message: messages.ShowInMonitor) -> None:
        from promptop_tui.monitor.screen import MonitorPane

        pane = await self._show("monitor")
        assert isinstance(pane, MonitorPane)
        pane.show_filter(message)

    # Help, keys, themes

    def action_help(self) -> None:
        """Open the help page for what is focused."""
        from promptop_tui.shell.help import HelpDialog

        self.push_screen(HelpDialog(self.screen))

    def get_key_display(self, binding: Binding) -> str:
        """Return a key as it is written on the keyboard, the same in footer, help and text."""
        return binding.key_display or display_key(binding.key.split(",")[0])

    def _apply_keys(self) -> None:
        if not self.settings.keys:
            return
        panes = self.query("#panes > *")
        nodes = [self, *panes, *(node for pane in panes for node in pane.walk_children())]
        known = keymap.binding_ids({kind for node in nodes for kind in type(node).mro() if hasattr(kind, "BINDINGS")})
        loaded = {"app", *(str(pane.id).removeprefix("pane-") for pane in panes)}
        unloaded = set(TABS) - loaded
        prefixes = {identifier.split(".")[0] for identifier in self.settings.keys} - unloaded
        good, problems = keymap.check(self.settings.keys, known, prefixes)
        self.set_keymap(good)
        for problem in problems:
            if problem not in self._key_problems:
                self._key_problems.add(problem)
                self.tell(problem, title=tr("Settings"), severity="warning")

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Return our own variables, for themes that do not set them."""
        return self._theme_defaults

    def _use_themes(self, found: theme.ThemeSet) -> None:
        for name in list(self.available_themes):
            if name not in found.themes:
                self.unregister_theme(name)
        for each in found.themes.values():
            self.register_theme(each)
        self._themes = found

    def _reload_themes(self) -> None:
        """Take over theme files that changed; four ``stat`` calls a second."""
        folders = (theme.shipped_dir(), config_dir() / "themes")
        if theme.stamp(*folders) == self._themes.stamp:
            return
        before = set(self._themes.problems)
        found = theme.load(*folders)
        if theme.BRAND not in found.themes:
            found.themes[theme.BRAND] = self._themes.themes[theme.BRAND]
        current = self.theme if self.theme in found.themes else theme.BRAND
        self._use_themes(found)
        for text in found.problems:
            if text not in before:
                self.tell(text, title=tr("Theme"), severity="warning")
        if current != self.theme:
            self.theme = current
        else:
            self._watch_theme(current)

    def save_picture(self) -> None:
        """Save the screen as SVG in the present folder."""
        self.tell(self.save_screenshot(path=str(Path.cwd())), title=tr("Screenshot saved"))


def _end_in_time() -> None:
    """End the process soon: Textual may wait without end for a terminal that is gone.

    By then the tabs have long kept what they hold.
    """
    last = threading.Timer(HUNG_UP_S, os._exit, (128 + signal.SIGHUP,))
    last.daemon = True
    last.start()


def run(options: AppOptions) -> int:
    """Open the app, and return its exit code; write a cProfile of it if asked."""
    app = PromptopApp(options)
    if options.profile_to is None:
        app.run()
        return app.return_code or 0
    import cProfile

    profiler = cProfile.Profile()
    try:
        profiler.runcall(app.run)
    finally:
        profiler.dump_stats(options.profile_to)
    return app.return_code or 0
