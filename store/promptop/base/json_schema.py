"""What of a JSON value breaks a JSON schema, and where; the library is loaded at the first question."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from promptop.base.errors import PromptopError

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

DRAFT = "https://json-schema.org/draft/2020-12/schema"
"""Meaning of a schema that names none."""
MOST = 200
"""Faults that are told of one value."""
SHOWN = 80
"""Characters of a faulty value that its message shows."""


@dataclass(frozen=True, slots=True)
class SchemaFault:
    """One fault of a value."""

    path: tuple[str | int, ...]
    """Keys and places from the root to what is wrong; of a key that is missing, to where it belongs."""
    message: str


class Validator:
    """A schema that was found to be one, for many values."""

    def __init__(self, schema: Mapping[str, Any], name: str = "That") -> None:
        """Raise :class:`PromptopError` for a schema that is none; ``name`` begins its message.

        A ``$ref`` to an address is not fetched.
        """
        from jsonschema import exceptions, validators
        from referencing import Registry

        given = dict(schema)
        kind = validators.validator_for(given, default=validators.validator_for({"$schema": DRAFT}))
        try:
            kind.check_schema(given)
        except exceptions.SchemaError as error:
            raise PromptopError(f"{name} is not a JSON schema: {error.message}", f"See {error.json_path}.") from None
        except RecursionError:
            raise PromptopError(f"{name} is nested too deep.", "Flatten it.") from None
        self._kind = kind(given, registry=Registry())

    def faults(self, value: Any) -> list[SchemaFault]:
        """Return what breaks the schema, in the order of the value.

        Raises :class:`PromptopError` for a ``$ref`` to what is not in the schema, and for a value nested too deep.
        """
        found = []
        with _told():
            for error in self._kind.iter_errors(value):
                found.append(SchemaFault(tuple(error.absolute_path), _said(error)))
                if len(found) == MOST:
                    break
        return sorted(found, key=lambda fault: [str(step) for step in fault.path])

    def worst(self, value: Any) -> str:
        """Return the fault that explains most, with its path, as ``$.a[0]: …``; empty for a value that fits.

        Raises like :meth:`faults`.
        """
        from jsonschema import exceptions

        with _told():
            error = exceptions.best_match(self._kind.iter_errors(value))
        return f"{error.json_path}: {_said(error)}" if error is not None else ""


def _said(error: ValidationError) -> str:
    """Return the message with the value as JSON has it, cut where it is long: ``null``, not ``None``."""
    message, value = error.message, repr(error.instance)
    if not message.startswith(value):
        return message
    shown = json.dumps(error.instance, ensure_ascii=False, default=repr)
    return f"{shown if len(shown) <= SHOWN else f'{shown[:SHOWN]}…'}{message.removeprefix(value)}"


@contextmanager
def _told() -> Iterator[None]:
    """Say what stops a validation in the program's own errors."""
    from referencing.exceptions import Unresolvable

    try:
        yield
    except Unresolvable as error:
        raise PromptopError(f"The schema refers to what is not in it: {error}", "Put that under $defs.") from None
    except RecursionError:
        raise PromptopError("The schema or the value is nested too deep.", "Flatten it.") from None


def faults(schema: Mapping[str, Any], value: Any) -> list[SchemaFault]:
    """Return what breaks the schema, in the order of the value; raise :class:`PromptopError` for one that is none."""
    return Validator(schema).faults(value)
