"""Test sets: inputs with what is right for each, read from many programs' files."""

from promptop.experiments.test_sets.case import Case, TestSet
from promptop.experiments.test_sets.reader import read_test_set

__all__ = ["Case", "TestSet", "read_test_set"]
