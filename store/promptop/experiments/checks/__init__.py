"""What an answer must be, and models that are asked whether it is."""

from promptop.experiments.checks.check import (
    ANSWERED,
    FORMS,
    Check,
    Checked,
    Spec,
    answered,
    judge,
    parse_check,
    read_json,
    takes_expected,
)

__all__ = [
    "ANSWERED",
    "FORMS",
    "Check",
    "Checked",
    "Spec",
    "answered",
    "judge",
    "parse_check",
    "read_json",
    "takes_expected",
]
