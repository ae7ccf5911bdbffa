"""Every public function and class has an example in its docstring, and the examples run.

Results (dataclasses) and errors are shown by the examples of the functions that return or raise
them.
"""

import dataclasses
import doctest
import importlib
import os

import numpy as np
import pytest

PACKAGES = (
    "fiftyone_smic",
    "fiftyone_smic.archive",
    "fiftyone_smic.cluster",
    "fiftyone_smic.curation",
    "fiftyone_smic.dictionary",
    "fiftyone_smic.fiftyone",
    "fiftyone_smic.pipelines",
)
#: What modules without a list of public names offer.
FURTHER = (
    "fiftyone_smic.dictionary.priors.as_prior",
    "fiftyone_smic.dictionary.priors.find_prior",
    "fiftyone_smic.dictionary.priors.shipped_prior",
    "fiftyone_smic.models.images.image_size",
)


def public() -> dict[str, object]:
    """Every public function and class once, by where it was defined."""
    found: dict[str, object] = {}
    for name in PACKAGES:
        module = importlib.import_module(name)
        for each in module.__all__:
            value = getattr(module, each)
            if callable(value):
                found[f"{value.__module__}.{each}"] = value
    for name in FURTHER:
        module, _, each = name.rpartition(".")
        found[name] = getattr(importlib.import_module(module), each)
    return found


PUBLIC = public()
FINDER = doctest.DocTestFinder(exclude_empty=True)


@pytest.mark.parametrize("name", PUBLIC)
def test_the_examples_of_a_public_name_run(name, tmp_path, monkeypatch):
    value = PUBLIC[name]
    module = importlib.import_module(value.__module__)
    examples = [
        test
        for test in FINDER.find(value, name, module=module, globs={**vars(module), "np": np})
        if test.examples
    ]
    shown_elsewhere = dataclasses.is_dataclass(value) or (
        isinstance(value, type) and issubclass(value, Exception)
    )
    assert examples or shown_elsewhere, f"{name} has no runnable example in its docstring"
    monkeypatch.chdir(tmp_path)
    runner = doctest.DocTestRunner(
        optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE, verbose=False
    )
    said: list[str] = []
    for test in examples:
        runner.run(test, out=said.append)
    assert runner.failures == 0, "".join(said)
    assert os.getcwd() == str(tmp_path)
