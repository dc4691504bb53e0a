"""The API that a profile speaks, and which parameters can be sent to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptop import providers
from promptop.base.errors import UsageError

if TYPE_CHECKING:
    from promptop.providers.api import Api
    from promptop.settings import Profile

MODEL_REFUSES = "the model does not take it"


def api_of(profile: Profile) -> Api:
    """Return the API of a profile; raise :class:`UsageError` for one that requests cannot be written for."""
    api = providers.by_name(profile.api)
    if api is None:
        providers.load_added()
        api = providers.by_name(profile.api)
    if api is None or not api.path:
        known = ", ".join(each.name for each in providers.all_apis() if each.path)
        raise UsageError(f"promptop writes no requests for the API {profile.api!r}.", f"Set api to one of: {known}.")
    return api


def refusal(profile: Profile, model: str, parameter: str) -> str:
    """Say why a model of a profile does not take a parameter (OpenAI's name for it); empty if it may take it.

    ``max_tokens`` is taken by all: it is sent in whatever field the model has for it.
    """
    from promptop import models

    if parameter == "max_tokens":
        return ""
    api = api_of(profile)
    if parameter in api.lacks:
        return api.lacks[parameter]
    if api.name == "anthropic" and parameter == "reasoning_effort":
        return ""  # the table speaks of OpenAI's field; here it becomes thinking
    known = models.find(model, profile.provider or None)
    if known is not None and known.takes(parameter) is False:
        return MODEL_REFUSES
    return ""
