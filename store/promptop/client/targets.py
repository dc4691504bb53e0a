"""Whom to ask: a model at an endpoint, written ``model`` or ``model@profile``."""

from __future__ import annotations

from dataclasses import dataclass

from promptop.base.errors import UsageError
from promptop.settings import Profile, Settings


@dataclass(frozen=True, slots=True)
class Target:
    """A model of a profile; ``spec`` is how it is written where the profile in use is ``active``."""

    profile: Profile
    model: str
    spec: str


def parse_target(spec: str, settings: Settings) -> Target:
    """Read ``model`` or ``model@profile``; an ``@`` that no profile's name follows belongs to the model.

    Raises :class:`UsageError` for an empty name.
    """
    spec = spec.strip()
    model, at, name = spec.rpartition("@")
    if at and model and name in settings.profiles:
        return Target(settings.profiles[name], model, spec)
    if not spec:
        raise UsageError("No model was named.", 'Write -m MODEL, or models = ["…"] in the profile.')
    return Target(settings.active_profile(), spec, spec)


def offered(settings: Settings) -> list[Target]:
    """Return the models that the settings name: those of the profile in use first, then ``model@profile``."""
    active = settings.active_profile()
    found = [Target(active, model, model) for model in active.models]
    for name, profile in settings.profiles.items():
        if profile is not active:
            found += [Target(profile, model, f"{model}@{name}") for model in profile.models]
    return found
