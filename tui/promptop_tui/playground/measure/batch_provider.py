"""The batch page's way through the provider's own batch API, on the page's thread."""

from __future__ import annotations

import threading
from collections.abc import Callable

from promptop.batch.input import Item
from promptop.batch.journal import Journal
from promptop.batch.provider_api import BatchApi
from promptop.batch.provider_runner import ProviderBatch
from promptop.batch.provider_state import ProviderState
from promptop.batch.runner import Tally
from promptop.budget.gate import Gate
from promptop.cache import open_cache, policy_of
from promptop.log import writer_for
from promptop.settings import Profile
from promptop_tui.context import AppContext


def send(
    shared: AppContext,
    items: list[Item],
    profile: Profile,
    journal: Journal,
    state: ProviderState,
    *,
    app: str,
    gate: Gate,
    stop: threading.Event,
    cancelled: bool,
    began: Callable[[Tally], None],
) -> Tally:
    """Submit or take up a batch and wait for it until ``stop``; ``cancelled``: ask the provider to stop it first.

    ``began`` gets the tally before anything is sent. Raises :class:`PromptopError` for an endpoint that refuses.
    """
    settings = shared.settings
    api = BatchApi(profile)
    cache = open_cache(settings.cache, shared.log_path)
    try:
        batch = ProviderBatch(
            items,
            api,
            journal,
            state,
            gate=gate,
            cache=cache,
            policy=policy_of(settings.cache),
            log=writer_for(shared.log_path),
            app=app,
            simulated=shared.simulated,
        )
        began(batch.tally)
        if cancelled:
            batch.cancel()
            only = {digest for part in state.parts for digest in part.items.values()}
            batch.items = [item for item in items if item.digest in only]
        return batch.run(stop.wait)
    finally:
        cache.close()
        api.close()
