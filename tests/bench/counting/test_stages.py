"""The stages name functions that exist: code that moves takes its line along."""

import importlib
from importlib.util import find_spec

import pytest

from service.bench.counting.stages import STAGES


@pytest.mark.parametrize("key", STAGES)
def test_a_stage_names_a_module_or_a_function_in_one(key: str) -> None:
    module, _, name = key.rpartition(".")
    if module and find_spec(f"service.{module}") and hasattr(importlib.import_module(f"service.{module}"), name):
        return
    assert find_spec(f"service.{key}") is not None
