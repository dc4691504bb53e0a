"""From a request of the log to the editor or the playground."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from promptop.base.errors import PromptopError
from promptop.base.texts import tr
from promptop.client.replay import messages_of, parameters_of
from promptop_tui.messages import OpenInEditor, OpenInPlayground

if TYPE_CHECKING:
    from promptop_tui.monitor.data.queries import RowFound

_PARAMETERS = ("max_tokens", "temperature", "top_p", "seed", "reasoning_effort")


def message_for(found: RowFound) -> OpenInEditor | OpenInPlayground:
    """Return what the other tab is asked for; raise :class:`PromptopError` if the log does not have the prompt."""
    row = found.row
    if row is None:
        raise PromptopError("This request is no longer in the log.", "It was pruned, or the log was replaced.")
    messages = messages_of(found.body.request) if found.body and found.body.request else []
    if not messages:
        mode = tr("only hashes ({mode})", mode=found.body.mode) if found.body else tr("no prompt")
        raise PromptopError(
            f"The log keeps {mode} of request {row.id}.",
            'Prompts are kept in mode "full": [log] bodies = "full", or observe(client, bodies="full").',
        )
    source = f"request {row.id}"
    if found.purpose == "edit":
        from promptop.client.conversation import shown
        from promptop.prompts import compose

        text = compose([{"role": each.get("role", "user"), "content": shown(each)} for each in messages])
        return OpenInEditor(text, source=source, calls_per_day=found.calls_per_day)
    known = {name: value for name in _PARAMETERS if (value := getattr(row, f"request_{name}")) is not None}
    if row.request_stop_sequences:
        known["stop"] = json.loads(row.request_stop_sequences)
    return OpenInPlayground(
        messages,
        models=(row.request_model,) if row.request_model else (),
        # The body has more than the row: tools, the response format, whatever the program sent.
        parameters=known | (parameters_of(found.body.request) if found.body and found.body.request else {}),
        source=source,
        calls_per_day=found.calls_per_day,
        server=f"{row.server_address}:{row.server_port}" if row.server_address and row.server_port else "",
    )
