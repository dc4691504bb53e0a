"""What of a JSON value breaks a JSON schema, and where; the library is loaded at the first question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from promptop.base.errors import PromptopError

DRAFT = "https://json-schema.org/draft/2020-12/schema"
"""Meaning of a schema that names none."""
MOST = 200
"""Faults that are told of one value."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a value."""

    path: tuple[str | int, ...]
    """Keys and places from the root to what is wrong; of a key that is missing, to where it belongs."""
    message: str


def faults(schema: Mapping[str, Any], value: Any) -> list[Fault]:
    """Return what breaks the schema, in the order of the value; raise :class:`PromptopError` for one that is none.

    A ``$ref`` to an address is not fetched.
    """
    from jsonschema import exceptions, validators
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    kind = validators.validator_for(schema, default=validators.validator_for({"$schema": DRAFT}))
    try:
        kind.check_schema(dict(schema))
        found = []
        for error in kind(schema, registry=Registry()).iter_errors(value):
            found.append(Fault(tuple(error.absolute_path), error.message))
            if len(found) == MOST:
                break
    except exceptions.SchemaError as error:
        raise PromptopError(f"That is not a JSON schema: {error.message}", f"See {error.json_path}.") from None
    except Unresolvable as error:
        raise PromptopError(f"The schema refers to what is not in it: {error}", "Put that under $defs.") from None
    except RecursionError:
        raise PromptopError("The schema or the value is nested too deep.", "Flatten it.") from None
    return sorted(found, key=lambda fault: [str(step) for step in fault.path])
