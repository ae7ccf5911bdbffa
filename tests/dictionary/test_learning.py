"""The steps of learning do what they are there for."""

import numpy as np
import pytest

from fiftyone_smic.coding.row_quantiser import quantise_rows
from fiftyone_smic.coding.rows import MAX_TERMS, Public
from fiftyone_smic.dictionary import SemanticDictionary, quantisation
from fiftyone_smic.dictionary.advice import small_advice
from fiftyone_smic.dictionary.alternation import Alternation, _costs
from fiftyone_smic.dictionary.costs import Costs
from fiftyone_smic.dictionary.initialization import centres, residual_stages
from fiftyone_smic.dictionary.learning import swap_count
from fiftyone_smic.dictionary.pursuit import Pursuit
from fiftyone_smic.dictionary.statistics import Statistics
from fiftyone_smic.utils.parallel import CHUNK, in_chunks, thread_count
from fiftyone_smic.utils.vectors import unit

from .test_dictionary import make_latents

WANTED = 40


@pytest.fixture(scope="module")
def stuck():
    """An alternation over 300 latents, and where it stays."""
    z = make_latents(300)
    alternation = Alternation(
        z,
        len(z),
        z.mean(axis=0),
        lam=0.002,
        max_level=4,
        max_nonzero=16,
        nonnegative=False,
        prior=None,
        n_jobs=None,
        done=lambda: None,
    )
    return alternation, alternation.start(z, WANTED, 12, np.random.RandomState(0))


def test_spending_more_bits_for_a_while_leaves_a_local_minimum(stuck):
    alternation, state = stuck
    assert alternation._loosen(state).objective < 0.999 * state.objective


def test_replacing_atoms_leaves_a_local_minimum(stuck):
    alternation, state = stuck
    found = [alternation._swap(state, WANTED, np.random.RandomState(i)) for i in range(3)]
    assert min(each.objective for each in found) < 0.999 * state.objective
    for each in found:
        assert each.objective <= state.objective and len(each.atoms) <= WANTED
    full = alternation._swap(state, 1, np.random.RandomState(0))
    assert full is state, "there is no room for new atoms"


def test_a_step_takes_both_ways_and_never_makes_it_worse(stuck):
    alternation, state = stuck
    one = alternation._loosen(state)
    stepped = alternation.step(state, WANTED, np.random.RandomState(2))
    assert stepped.objective <= one.objective < state.objective
    both = alternation._swap(one, WANTED, np.random.RandomState(2))
    assert stepped.objective == both.objective
    assert (
        alternation.go_on(state, state.atoms[:1], _costs(state.sums.take(np.array([0])))) is state
    )
    assert alternation.go_on(state, state.atoms[:0], Costs.initial(0, 4, 16)) is state


def test_the_objective_is_that_of_the_codes(stuck):
    """Distortion and bits, straight from the definition."""
    alternation, state = stuck
    z = alternation.items
    costs = Costs.from_counts(*state.sums.of_codes)
    assert np.array_equal(state.atoms, quantisation.atom_values(state.rows, None))
    m = alternation.mean.astype(np.float64)
    spread = np.square(z.astype(np.float64) - m).sum()
    assert state.sums.distortion(alternation.mean, 0 * state.atoms) == pytest.approx(spread, 1e-4)
    error = state.sums.distortion(alternation.mean, state.atoms)
    bits = costs.total(*state.sums.of_codes)
    assert state.objective == pytest.approx(error + 0.002 * (bits + state.rows.bits))
    pursuit = Pursuit(state.atoms, costs, 0.002, mean=alternation.mean)
    codes = pursuit.code(z)
    sums = Statistics.of_pursuit(pursuit, z, 4, 16)
    rebuilt = m + codes @ state.atoms.astype(np.float64)
    measured = sums.distortion(alternation.mean, state.atoms)
    assert measured == pytest.approx(np.square(z - rebuilt).sum(), rel=1e-3)
    assert costs.total(*sums.of_codes) == pytest.approx(costs.of_items(codes).sum())
    assert sums.scaled(3).items == 900 and sums.items == 300


def test_the_cost_of_a_size_is_spread_over_its_neighbours(stuck):
    sums = Statistics.empty(0, 2, 1, 8)
    sums.size_counts[4] = 100
    size = _costs(sums).size
    assert size[4] < size[3] == size[5] < size[2] == size[6]


def test_swaps_are_made_where_they_are_cheap():
    assert [swap_count("auto", n) for n in (100, 3000, 5000, 20_000)] == [6, 3, 2, 0]
    assert swap_count(4, 20_000) == 4


def test_an_empty_cluster_takes_a_far_item():
    # Far from 0, so that an empty cluster whose centre became 0 would stay empty.
    items = 10 + np.repeat(np.eye(3, dtype=np.float32), [50, 50, 1], axis=0)
    for seed in range(5):
        found, labels = centres(items, 3, np.random.RandomState(seed))
        assert len(np.unique(labels)) == 3
        assert np.allclose(found[labels], items)


def test_items_of_two_topics_start_from_both():
    """One stage of k-means gives an atom for each pair, several stages give shared ones."""
    rng = np.random.default_rng(0)
    parts = rng.normal(size=(2, 8, 64))
    i, j = rng.integers(0, 8, (2, 600))
    items = (parts[0, i] + parts[1, j]).astype(np.float32)
    items -= items.mean(axis=0)
    atoms = residual_stages(items, 32, np.random.RandomState(0))
    assert atoms.shape == (32, 64)
    rest = items
    for stage in range(8):
        part = atoms[4 * stage : 4 * stage + 4]
        scores = rest @ part.T - 0.5 * np.square(part).sum(axis=1)
        rest = rest - part[scores.argmax(axis=1)]
    flat = centres(items, 32, np.random.RandomState(0))
    assert np.square(rest).sum() < np.square(items - flat[0][flat[1]]).sum()


# --- rows --------------------


@pytest.fixture
def rows():
    return 0.3 * np.random.default_rng(0).normal(size=(6, 200))


def test_a_row_like_another_is_predicted(rows):
    rows[4] = 0.75 * rows[1] - 0.5 * rows[2] + 0.001 * rows[3]
    gram = 1000 * np.eye(6)
    with_, without = (quantise_rows(rows, gram, 0.002, predict=p) for p in (True, False))
    terms = {tuple(term) for term in with_.terms.tolist()}
    assert {(4, 1, 3), (4, 2, -2)} <= terms and len(without.terms) == 0
    assert with_.bits < without.bits - 200
    assert np.bincount(with_.terms[:, 0]).max() <= MAX_TERMS
    assert np.abs(with_.values() - rows).max() < 0.1


def test_a_public_row_predicts_too(rows):
    public = Public(np.full(200, 1 << 22), rows[[5, 3]])
    found = quantise_rows(rows[3:4], 1000 * np.eye(1), 0.002, public=public)
    assert found.terms.tolist() == [[0, -2, 4]] and not found.levels.any()
    assert np.allclose(found.values(public), rows[3:4])


def test_what_is_used_more_is_coded_finer(rows):
    errors = [
        np.abs(quantise_rows(rows, uses * np.eye(6), 0.002).values() - rows).mean()
        for uses in (10, 1000)
    ]
    assert errors[1] < 0.2 * errors[0]


# --- utilities --------------------


def test_threads(monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert [thread_count(n) for n in (None, 1, 5, -1, -2, -20)] == [3, 1, 5, 8, 7, 1]
    for unset in ("", "0", "many"):
        monkeypatch.setenv("OMP_NUM_THREADS", unset)
        assert thread_count() == (1 if unset == "0" else 8)
    with pytest.raises(ValueError, match="n_jobs is 0"):
        thread_count(0)


@pytest.mark.parametrize("n", [0, 1, CHUNK, CHUNK + 1, 3 * CHUNK - 1])
def test_chunks_cover_the_items_in_order(n):
    parts = in_chunks(lambda part: list(range(n))[part], n, n_jobs=3)
    assert [i for part in parts for i in part] == list(range(n))
    assert all(len(part) == CHUNK for part in parts[:-1])


def test_unit_norm():
    z = np.array([[3, 4], [0, 0], [0, -2]], np.float32)
    assert np.allclose(unit(z), [[0.6, 0.8], [0, 0], [0, -1]])


def test_where_the_mean_alone_is_best_there_are_no_atoms():
    rng = np.random.default_rng(1)
    scale = np.arange(1, 257) ** -0.5
    z = unit(rng.normal(size=(10, 256)) * scale + 2 * rng.normal(size=256) * scale)

    def cost(dictionary):
        codes = dictionary.transform(z)
        lost = np.square(z - dictionary.inverse_transform(codes)).sum()
        return lost + 0.005 * (dictionary.code_bits(codes).sum() + dictionary.atom_rows_.bits)

    found = SemanticDictionary(lam=0.005).fit(z)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Alternation, "or_none", lambda self, learned: learned)
        other = SemanticDictionary(lam=0.005).fit(z)
    assert found.n_atoms_ == 0 < other.n_atoms_
    assert cost(found) < 0.97 * cost(other)
    assert "No atom saves the 10 items more than it costs" in small_advice(found, 10, 10**6)
    assert small_advice(other, 10, 10**6) is None
