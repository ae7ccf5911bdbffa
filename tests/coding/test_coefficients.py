"""The model of coefficients is one: coder, stack and costs agree."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from fiftyone_smic.coding.ans_stack import Stack
from fiftyone_smic.coding.code_tables import CodeTables
from fiftyone_smic.coding.coefficients import (
    LARGEST_ODDS,
    CoefficientCosts,
    CoefficientTables,
    StackCoefficients,
    code_coefficient,
    cost_of,
    expected_others,
    least_costs,
    odds_of,
    other_values,
    others_of,
    symbol_counts,
)
from fiftyone_smic.coding.range_coder import Coder
from fiftyone_smic.coding.tables import PRECISION, TOTAL, half_octaves_of, ideal_bits


def example(max_level, n=3000, k=6):
    """Atoms and values of n coefficients, some atoms nearly always 1, others hardly ever."""
    rng = np.random.default_rng(max_level)
    atoms = rng.integers(0, k, n)
    others = other_values(max_level)
    values = np.where(rng.random(n) < (atoms + 0.5) / k, rng.choice(others, n), 1)
    return atoms, values


def counts_of(atoms, values, max_level):
    """Uses of each atom, those with another coefficient than 1, uses of each coefficient."""
    return (
        np.bincount(atoms),
        np.bincount(atoms[values != 1], minlength=atoms.max() + 1),
        np.bincount(values + max_level, minlength=2 * max_level + 1),
    )


@pytest.mark.parametrize("max_level", [1, 2, 4, 127])
def test_coder_stack_and_costs_agree(max_level):
    atoms, values = example(max_level)
    counts, other_counts, level_counts = counts_of(atoms, values, max_level)
    by_symbol = level_counts[other_values(max_level) + max_level]
    tables = CoefficientTables(odds_of(counts, other_counts), half_octaves_of(by_symbol))
    assert tables.max_level == max_level and tables.others.sum() == TOTAL

    coder = Coder()
    for atom, value in zip(atoms, values, strict=True):
        code_coefficient(coder.compiled(3), tables.ones[atom], tables.other_ends, value)
    written = coder.finish()
    reader = Coder(written)
    room = reader.compiled(0)
    found = [code_coefficient(room, tables.ones[atom], tables.other_ends, 0) for atom in atoms]
    assert found == values.tolist()

    stack = StackCoefficients(push := Stack(), tables)
    for atom, value in zip(atoms[::-1].tolist(), values[::-1].tolist(), strict=True):
        stack.push(atom, value)
    pushed = push.finish()
    stack = StackCoefficients(Stack(pushed), tables)
    assert [stack.pop(atom) for atom in atoms.tolist()] == values.tolist()

    costs = CoefficientCosts.from_counts(counts, other_counts, level_counts)
    bits = costs.of(atoms, values)
    for measured in (8 * len(written), 8 * len(pushed)):
        assert measured == pytest.approx(bits.sum(), rel=0.03 if max_level > 1 else 0.06)
    for atom, value, expected in zip(atoms, values, bits, strict=True):
        one, other = costs.one[atom], costs.other[atom]
        assert cost_of(value, one, other, costs.value) == pytest.approx(expected)


def test_the_cheapest_coefficient_is_no_dearer_than_any():
    costs = CoefficientCosts.from_counts(*counts_of(*example(4), 4))
    least = least_costs(costs.one, costs.other, costs.value)
    choices = [1, *other_values(4)]
    for atom in range(6):
        dear = [cost_of(q, costs.one[atom], costs.other[atom], costs.value) for q in choices]
        assert least[atom] == pytest.approx(min(dear))


def test_odds_and_counts_go_both_ways():
    counts = np.array([1000, 1000, 1000, 10, 0])
    others = np.array([1, 500, 999, 3, 0])
    odds = odds_of(counts, others)
    assert odds[0] < -10 and odds[1] == 0 and odds[2] > 10
    back = expected_others(counts, odds)
    assert np.abs(back - others).max() <= 0.2 * others.max() and (back <= counts).all()
    assert back[1] == pytest.approx(500, rel=0.05) and back[0] < 5 and back[2] > 990
    extreme = odds_of(np.array([1 << 40] * 2), np.array([0, 1 << 40]))
    assert extreme.tolist() == [-LARGEST_ODDS, LARGEST_ODDS]


def test_an_atom_without_uses_is_like_all_together():
    odds = odds_of(np.array([100_000, 0]), np.array([20_000, 0]))
    assert abs(odds[1] - odds[0]) <= 1


def test_counts_of_codes():
    codes = csr_matrix([[1, 0, -2], [2, 1, 1], [0, -1, 2]])
    assert others_of(codes).tolist() == [1, 1, 2]
    assert symbol_counts(codes, 2).tolist() == [1, 1, 2]  # -2, -1, 2


def test_numbers_are_coded_with_the_law_that_suits_them():
    """Small and large numbers both take about their entropy."""
    rng = np.random.default_rng(0)
    for ratio in (0.1, 0.5, 0.95):
        values = rng.geometric(1 - ratio, 4000).clip(max=60) - 1
        coder = Coder()
        coder.numbers(values, 60)
        p = np.bincount(values) / len(values)
        entropy = -(p[p > 0] * np.log2(p[p > 0])).sum() * len(values)
        assert 8 * len(coder.finish()) < 1.03 * entropy + 32


def test_ideal_bits():
    assert ideal_bits(np.array([3, 1]), np.array([TOTAL // 2, TOTAL // 2])) == 4
    assert ideal_bits(np.array([7]), np.array([TOTAL])) == 0 and PRECISION == 24


def test_tables_of_inter_blocks_count_new_atoms_only():
    codes = csr_matrix(np.repeat([[1, 1, 0, 0], [1, 0, 1, 0]], [50, 50], axis=0))
    whole, new = (CodeTables.of(codes, 4, 4, inter) for inter in (False, True))
    assert new.index.tolist() == [1, 1, 1, 0] and whole.index.tolist() == [14, 12, 12, 0]
