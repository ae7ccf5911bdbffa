"""Whether atoms mean something: each attribute value's best atom, and drawing from some atoms only.

With as many atoms as the postcards have attribute values, and positive coefficients only, an atom
is one value. More atoms fit the latents better and mean less: of 215, an atom is a combination.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.metrics import roc_auc_score

from fiftyone_smic import SemanticDictionary
from tests.benchmarks.bench import SCENE, THINGS, Bench, agreement, base_rates, grid

SETTINGS = {"n_atoms": 30, "lam": 0.001, "nonnegative": True}


def learn(bench: Bench) -> SemanticDictionary:
    """The dictionary of the training collection."""
    return SemanticDictionary(**SETTINGS).fit(bench.training.latents)


def _aucs(coefficients: np.ndarray, shows: np.ndarray) -> np.ndarray:
    return np.array([roc_auc_score(shows, column) for column in coefficients.T])


def judge_atoms(bench: Bench, dictionary: SemanticDictionary) -> None:
    """Atom and sign are chosen on the training collection, the AUC is that of held-out items."""
    codes = [dictionary.transform(d.latents).toarray() for d in (bench.training, bench.held_out)]
    held_out = bench.held_out.values()
    by_attribute: dict[str, list[float]] = {}
    for value, (name, shows, known) in bench.training.values().items():
        aucs = _aucs(codes[0][known], shows[known])
        atom = int(np.abs(aucs - 0.5).argmax())
        sign = 1 if aucs[atom] > 0.5 else -1
        _, shows, known = held_out[value]
        auc = roc_auc_score(shows[known], sign * codes[1][known, atom])
        bench.report.add(f"atom AUC of a value: {value}", auc, ceiling=1, base_rate=0.5)
        by_attribute.setdefault(name, []).append(auc)
    means = {name: float(np.mean(aucs)) for name, aucs in by_attribute.items()}
    for name, mean in means.items():
        bench.report.add(f"atom AUC, mean over values: {name}", mean, ceiling=1, base_rate=0.5)
    mean = float(np.mean(list(means.values())))
    bench.report.add("atom AUC: mean over attributes", mean, ceiling=1, base_rate=0.5, bar=0.95)


def _owners(bench: Bench, dictionary: SemanticDictionary) -> np.ndarray:
    """(K,) of each atom, the attribute that it tells best on the training collection."""
    codes = dictionary.transform(bench.training.latents).toarray()
    values = bench.training.values()
    aucs = np.stack([_aucs(codes[known], shows[known]) for _, shows, known in values.values()])
    names = np.array([name for name, _, _ in values.values()])
    return names[np.abs(aucs - 0.5).argmax(0)]


def judge_projector(bench: Bench, dictionary: SemanticDictionary, n: int) -> None:
    """Draw from the atoms of the scene only, of the things only, and of both from two postcards."""
    data = bench.held_out
    codes = dictionary.transform(data.latents[:n]).toarray()
    of_scene = np.isin(_owners(bench, dictionary), SCENE)
    scene, things = codes * of_scene, codes * ~of_scene
    mixed = scene + np.roll(things, -1, axis=0)
    base = base_rates(data.labels, n)
    rolled = {name: np.roll(labels[:n], -1) for name, labels in data.labels.items()}

    drawn = {
        label: bench.draw(dictionary.inverse_transform(csr_matrix(c)))
        for label, c in {"all": codes, "scene": scene, "things": things, "mixed": mixed}.items()
    }
    found = {label: bench.read(pictures) for label, pictures in drawn.items()}
    own = {label: agreement(f, data.labels, n) for label, f in found.items()}
    others = agreement(found["mixed"], rolled, n)

    def mean(scores: dict[str, float], names: tuple[str, ...]) -> float:
        return float(np.mean([scores[name] for name in names]))

    for figure, scores, names in (
        ("scene atoms only: scene kept", own["scene"], SCENE),
        ("scene atoms only: things left", own["scene"], THINGS),
        ("things atoms only: things kept", own["things"], THINGS),
        ("things atoms only: scene left", own["things"], SCENE),
        ("scene of one, things of another: scene of the one", own["mixed"], SCENE),
        ("scene of one, things of another: things of the other", others, THINGS),
        ("scene of one, things of another: things of the one", own["mixed"], THINGS),
    ):
        bench.report.add(
            f"projector, {figure}",
            mean(scores, names),
            ceiling=mean(own["all"], names),
            base_rate=mean(base, names),
        )
    shown = slice(0, 9)
    rows = [
        ("original", data.images[shown]),
        ("all atoms", drawn["all"][shown]),
        ("scene atoms", drawn["scene"][shown]),
        ("things atoms", drawn["things"][shown]),
        ("scene of this,\nthings of the\nnext", drawn["mixed"][shown]),
    ]
    bench.save(grid([(name, list(p)) for name, p in rows], [""] * 9), "projector.png")
