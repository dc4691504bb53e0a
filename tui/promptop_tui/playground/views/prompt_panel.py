"""The prompt as it is typed: a box for the system message, the field for everything else, and what that comes to."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Label

from promptop.base.errors import PromptopError
from promptop.base.sanitize import clean_line
from promptop.base.texts import tr
from promptop.prompts import compose, parse
from promptop_tui.widgets.prompt_area.area import PromptArea


def split_system(text: str) -> tuple[str, str]:
    """Return the content of a prompt's first message if that is a system message, and the text without it.

    Front matter stays with the rest. A text that cannot be read is all rest.
    """
    try:
        prompt = parse(text)
    except PromptopError:
        return "", text
    first, *others = prompt.messages or (None,)
    if first is None or first.role != "system" or first.parts or first.fields or not first.content.strip():
        return "", text
    rest = compose(others) if others else ""
    return first.content, text[: prompt.body_start] + rest.removesuffix("\n")


def joined_system(system: str, rest: str) -> str:
    """Return the text of a prompt that begins with this system message; the inverse of :func:`split_system`."""
    if not system.strip():
        return rest
    try:
        prompt = parse(rest)
    except PromptopError:  # its front matter is being typed: nothing can be sent of it yet
        return f"system:\n{system}\n\n{rest}"
    messages = [each for each in prompt.messages if not each.is_empty or len(prompt.messages) > 1]
    first = {"role": "system", "content": system}
    return rest[: prompt.body_start] + compose([first, *messages])


class PromptPanel(Vertical):
    """Two fields in one frame. Their text together is the prompt, in the form in which prompts are kept."""

    HELP = """
    The upper box is the system message, sent first; empty, none is sent. Below it stands the rest: plain text is one
    user message, a line such as `assistant:` begins another. Front matter between lines of `---` is read, never sent.
    The lower border says what will be sent: roles, tools, and what has no value yet.
    """

    def __init__(self) -> None:
        super().__init__(id="prompt-panel", classes="panel")
        self.system = PromptArea(id="system", placeholder=tr("system message: none"))
        hint = tr("Write a prompt here, or press the playground key in the editor.")
        self.area = PromptArea(id="prompt", placeholder=hint)
        self._sent: tuple[str, ...] = ()
        self._spent = ""
        self._put: tuple[str, str, str] | None = None
        """The two fields as they were filled, and the text that they were filled from: it is kept to the character."""

    def compose(self) -> ComposeResult:
        """Lay out the fields."""
        with Horizontal(id="system-line"):
            yield Label("system")
            yield self.system
        yield self.area

    def on_mount(self) -> None:
        """Make the fields plain ones: counts and edges are the editor's."""
        self.border_title = tr("Prompt")
        for area in (self.system, self.area):
            area.show_tokens = False
            area.show_line_numbers = False

    @property
    def text(self) -> str:
        """The whole prompt, as it is kept in files."""
        system, rest = self.system.text, self.area.text
        if self._put is not None and self._put[:2] == (system, rest):
            return self._put[2]
        return joined_system(system, rest)

    def put(self, text: str) -> None:
        """Put a prompt into the fields, the cursor at its end."""
        system, rest = split_system(text)
        self._put = system, rest, text
        self.system.load_text(system)
        self.area.load_text(rest)
        self.area.move_cursor(self.area.document.end)

    def show_source(self, *parts: str) -> None:
        """Say where the prompt came from."""
        said = " · ".join(part for part in ("Prompt", *parts) if part)
        self.border_title = Content(clean_line(said, 80))

    def show_sent(self, *parts: str) -> None:
        """Say in the lower border what will be sent."""
        self._sent = parts
        self._show_below()

    def show_spent(self, sums: str) -> None:
        """Say in the lower border what was spent; empty: elsewhere."""
        self._spent = sums
        self._show_below()

    def _show_below(self) -> None:
        self.border_subtitle = Content(" · ".join(part for part in (*self._sent, self._spent) if part))
