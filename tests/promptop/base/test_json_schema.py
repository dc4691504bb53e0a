from __future__ import annotations

import pytest

from promptop.base.errors import PromptopError
from promptop.base.json_schema import Validator, faults

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "ages": {"type": "array", "items": {"type": "integer"}}},
    "required": ["name", "city"],
}


def test_each_fault_is_told_at_its_place() -> None:
    found = faults(SCHEMA, {"name": 5, "ages": [1, "二"]})
    assert [fault.path for fault in found] == [(), ("ages", 1), ("name",)]
    assert "'city' is a required property" in found[0].message
    assert faults(SCHEMA, {"name": "a", "city": "b"}) == []


def test_a_schema_that_is_none_or_refers_abroad_is_an_error() -> None:
    for schema in ({"type": "nonsense"}, {"$ref": "http://127.0.0.1:9/schema.json"}):
        with pytest.raises(PromptopError):
            faults(schema, {})


def test_the_worst_fault_is_told_with_its_path() -> None:
    validator = Validator(SCHEMA)
    assert validator.worst({"name": 5, "city": "b"}) == "$.name: 5 is not of type 'string'"
    assert validator.worst({"name": None, "city": "b"}) == "$.name: null is not of type 'string'"
    assert validator.worst({"name": ["é" * 200], "city": "b"}) == f"""$.name: ["{"é" * 78}… is not of type 'string'"""
    assert validator.worst({"name": "a", "city": "b"}) == ""
    with pytest.raises(PromptopError, match="The schema of it is not a JSON schema"):
        Validator({"type": "nonsense"}, "The schema of it")
