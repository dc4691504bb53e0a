"""The keys of the monitor: each runs one command of a controller."""

from __future__ import annotations

from textual.binding import Binding, BindingType

from promptop_tui.monitor.data.snapshot import SPANS


def _key(key: str, command: str, label: str, name: str, tooltip: str, *, show: bool = False) -> Binding:
    """Bind a key to ``NAME`` or ``NAME, ARGUMENT`` of the commands."""
    name_of_command, _, argument = command.partition(",")
    action = f"do('{name_of_command}'{f', {argument.strip()}' if argument else ''})"
    return Binding(key, action, label, show=show, id=f"monitor.{name}", tooltip=tooltip)


BINDINGS: tuple[BindingType, ...] = (
    *(
        _key(str(number), f"span, '{name}'", name, f"window.{name}", f"show the last {name}")
        for number, name in enumerate(SPANS, 1)
    ),
    _key("space", "pause", "Pause", "pause", "hold the picture; again: live, or replay"),
    _key("c", "chart, 1", "Chart", "chart", "show the next chart", show=True),
    _key("C", "chart, -1", "Chart back", "chart-back", "show the chart before"),
    _key("z", "zoom", "Zoom", "zoom", "one chart on the whole tab; again: back"),
    _key("s", "panel", "Panel", "panel", "the next panel: requests, groups, what changed, in flight", show=True),
    _key("B", "by", "Group", "by", "group by model, app, prompt, server, host"),
    _key("l", "log-scale", "Log", "log-scale", "logarithmic axis, of lines"),
    _key("t", "triage", "Triage", "triage", "what is unusual: enter goes to its requests"),
    _key("u", "changes", "Changed", "changes", "what changed against the window before", show=True),
    _key("slash", "filter", "Filter", "filter", "show only requests that match", show=True),
    _key("left", "read, -1", "Read", "cursor-left", "read values, earlier"),
    _key("right", "read, 1", "Read", "cursor-right", "read values, later"),
    _key("d", "drill", "Drill", "drill", "requests of the time that is read"),
    _key("a", "alerts", "Alerts", "alerts", "rules of the settings, and their state"),
    _key("m", "money", "Money", "money", "where the money goes: model, app, prompt, tags", show=True),
    _key("A", "agents", "Agents", "agents", "coding agents: cost, blocks, limits, context, by project"),
    _key("v", "view", "View", "view", "requests: all, slow, failing, truncated, thought only"),
    _key("b", "bursts", "Bursts", "bursts", "duplicates, and loops of calls"),
    _key("f", "misses", "Cache", "misses", "why caches did not answer"),
    _key(
        "w",
        "what-if",
        "What-if",
        "whatif",
        "the last days under another model, price, cache, tier, router, prompt",
    ),
    _key("y", "hand-over, 'curl'", "curl", "curl", "copy the request as curl"),
    _key("x", "mark", "Mark", "mark", "mark a request; on another: compare them"),
    _key("o", "order", "Order", "order", "by time, total, TTFT, cost, tokens"),
    _key("O", "reverse", "Reverse", "reverse", "smallest first, or largest"),
    _key("h", "columns", "Columns", "columns", "choose the columns"),
    _key("n", "own", "Own calls", "own", "count promptop's own benchmarks, proofs and batches, or not"),
    _key("i", "inspect", "Inspect", "inspect", "SQL and time of each look"),
    _key("escape", "back", "Back", "back", "close filter, reading or zoom"),
    _key("e", "hand-over, 'edit'", "Edit", "edit", "open the prompt in the editor", show=True),
    _key("p", "hand-over, 'play'", "Play", "play", "open the request in the playground"),
    _key("left_square_bracket", "scrub, -1", "Back", "earlier", "back in time"),
    _key("right_square_bracket", "scrub, 1", "On", "later", "on in time"),
    _key("left_curly_bracket", "scrub, -4", "Far back", "far-back", "a window back"),
    _key("right_curly_bracket", "scrub, 4", "Far on", "far-on", "a window on in time"),
    _key("r", "replay", "Replay", "replay", "replay: ×1, ×10, … ×3600, hold"),
    _key("R", "replay, -1", "Rewind", "rewind", "the same, back in time"),
    _key("k", "keep", "Keep", "keep", "keep this time as a bookmark, with a note"),
    _key("j", "jump", "Jump", "jump", "go to a bookmark"),
    _key("g", "go-to", "Go to", "go-to", "go to a time, or replay an exported file"),
)
