"""Views of the samples that have an atom, or lack it."""

from __future__ import annotations

import json

import pytest
from fiftyone import ViewField as F

from fiftyone_smic.fiftyone import match_atom


@pytest.fixture
def signed(make_dataset, clustered):
    """Ten samples with codes that were written by hand; the last two have none."""
    dataset = make_dataset(clustered[:10])
    codes = [{7: 2}, {7: -1}, {1: 3, 7: 1}, {1: 3, 7: -2}, {7: -1, 1: 2}, {1: 2}, {2: -1}, {}]
    atoms = [list(code) for code in codes] + [None, None]
    levels = [list(code.values()) for code in codes] + [None, None]
    dataset.set_values("smic_atoms", atoms)
    dataset.set_values("smic_coefficients", levels)
    return dataset


@pytest.mark.parametrize(
    ("atom", "sign", "expected"),
    [
        (7, "has", [0, 2]),
        (7, "lacks", [1, 3, 4]),
        (7, "either", [0, 1, 2, 3, 4]),
        (1, "has", [2, 3, 4, 5]),
        (1, "lacks", []),
        ([2, 7], "lacks", [1, 3, 4, 6]),
        ([2, 7], "has", [0, 2]),
        (99, "either", []),
    ],
)
def test_having_and_lacking_an_atom_are_two_things(signed, atom, sign, expected):
    paths = [f"/nowhere/{i:03d}.jpg" for i in expected]
    assert match_atom(signed, atom, sign=sign).values("filepath") == paths


def test_a_view_is_narrowed_and_keeps_its_order(signed):
    view = signed.match(F("smic_atoms").length() == 2).sort_by("filepath", reverse=True)
    narrowed = match_atom(view, 7, sign="lacks")
    assert narrowed.values("filepath") == ["/nowhere/004.jpg", "/nowhere/003.jpg"]
    assert len(json.dumps(narrowed._serialize())) < 2000


def test_what_cannot_be_matched_is_said(signed):
    with pytest.raises(ValueError, match="sign must be one of"):
        match_atom(signed, 7, sign="not")
    with pytest.raises(ValueError, match="no field 'other_atoms'"):
        match_atom(signed, 7, "other")
