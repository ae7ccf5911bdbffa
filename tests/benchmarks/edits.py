"""The paper's figures 4 and 5 on postcards: adding people, removing the river, by arithmetic.

Each in three forms: with one raw donor image as in the paper, with the direction of the concept in
labelled latents of the training collection, and with that of captions. The reader says of every
picture drawn whether it has the target, and whether it keeps time, terrain and weather, all three.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fiftyone_smic.postcards.attributes import OBJECT_WORDS, OBJECTS, TERRAIN_WORDS
from fiftyone_smic.semantics.directions import add, concept_direction, text_direction
from tests.benchmarks.bench import ATTRIBUTES, Bench, Postcards, grid
from tests.benchmarks.clip import PHRASES, SCENES, said_of

KEPT = ("time", "terrain", "weather")


@dataclass(frozen=True)
class Edit:
    """One of the two figures."""

    name: str
    attribute: str
    sign: int  # +1 adds it, -1 removes it
    alphas: tuple[float, ...]
    present: tuple[str, ...]  # captions that say it
    absent: tuple[str, ...]
    scenes: tuple[str, ...]  # what the captions say it of
    entangled: tuple[str, ...] = ()  # attributes that have no meaning without it


EDITS = (
    Edit(
        "add people",
        "people",
        +1,
        tuple(i / 4 for i in range(1, 9)),
        tuple(p for phrases in PHRASES["people"][1:] for p in phrases),
        tuple(PHRASES["people"][0]),
        tuple(SCENES),
        ("shirt",),
    ),
    Edit(
        "remove river",
        "river",
        -1,
        tuple(i / 8 for i in range(1, 9)),
        tuple(f"with {words}" for words in OBJECT_WORDS["river"]),
        ("",),
        tuple(words[0] for name, words in TERRAIN_WORDS.items() if name != "sea"),
    ),
)


def judge_edits(bench: Bench, n: int) -> None:
    for edit in EDITS:
        _judge(bench, edit, n)


def _shows(labels: dict[str, np.ndarray], edit: Edit) -> np.ndarray:
    return labels[edit.attribute] > 0


def _directions(bench: Bench, edit: Edit) -> dict[str, np.ndarray]:
    data = bench.training
    others = np.column_stack(
        [
            data.labels[name] == value
            for name in ATTRIBUTES
            if name not in (edit.attribute, *edit.entangled)
            for value in range(1, data.labels[name].max() + 1)
        ]
    )
    texts = [said_of(edit.scenes, bench.encoder, p) for p in (edit.present, edit.absent)]
    found = {
        "raw donor": data.latents[_donor(data, edit)],
        "concept": concept_direction(data.latents, _shows(data.labels, edit), others),
        "text": text_direction(*texts, data.latents),
    }
    # All of unit norm, as the donor's latent is, so that one alpha means the same to each.
    return {form: direction / np.linalg.norm(direction) for form, direction in found.items()}


def _donor(data: Postcards, edit: Edit) -> int:
    """A training postcard with as much of the target and as little else as there is."""
    things = (*OBJECTS, "people", "river")
    rest = sum(data.labels[name].clip(0) for name in things if name != edit.attribute)
    wanted = data.labels[edit.attribute]
    return int(np.lexsort((np.arange(len(rest)), rest, -wanted))[0])


def _judge(bench: Bench, edit: Edit, n: int) -> None:
    data, report = bench.held_out, bench.report
    has = _shows(data.labels, edit)
    rows = np.flatnonzero(~has if edit.sign > 0 else has)[:n]
    latents = data.latents[rows]

    def look(drawn: np.ndarray) -> tuple[float, float]:
        found = bench.read(drawn)
        hit = _shows(found, edit) == (edit.sign > 0)
        kept = np.all([found[k] == data.labels[k][rows] for k in KEPT], axis=0)
        return float(hit.mean()), float(kept.mean())

    plain = bench.draw(latents)
    unedited, kept_plain = look(plain)
    # Ceilings: what drawing alone gives, of postcards that do have the target, and unedited.
    target = np.flatnonzero(has if edit.sign > 0 else ~has)[:n]
    seen = _shows(bench.read(bench.draw(data.latents[target])), edit)
    ceiling = float((seen == (edit.sign > 0)).mean())
    other = np.roll(rows, 1)
    chance = np.all([data.labels[k][rows] == data.labels[k][other] for k in KEPT], axis=0).mean()

    pictures = []
    for form, direction in _directions(bench, edit).items():
        outcomes, shown = [], [plain[0]]
        for alpha in edit.alphas:
            drawn = bench.draw(add(latents, direction, edit.sign * alpha))
            outcomes.append(look(drawn))
            shown.append(drawn[0])
            for what, value, top, base in zip(
                ("target", "kept"),
                outcomes[-1],
                (ceiling, kept_plain),
                (unedited, chance),
                strict=True,
            ):
                figure = f"{edit.name}, {form}, alpha {alpha:g}: {what}"
                report.add(figure, value, ceiling=top, base_rate=base)
        best = max(range(len(outcomes)), key=lambda i: (min(outcomes[i]), sum(outcomes[i])))
        bar = None if form == "raw donor" else 0.95
        at = f"{edit.name}, {form}, best alpha {edit.alphas[best]:g}"
        hit, kept = outcomes[best]
        report.add(f"{at}: target", hit, ceiling=ceiling, base_rate=unedited, bar=bar)
        report.add(f"{at}: kept", kept, ceiling=kept_plain, base_rate=chance, bar=bar)
        pictures.append((form, shown))
    originals = [data.images[rows[0]], bench.training.images[_donor(bench.training, edit)]]
    pictures.insert(0, ("original,\ndonor", originals))
    heads = ["drawn"] + [f"{'+' if edit.sign > 0 else '-'} {alpha:g}" for alpha in edit.alphas]
    bench.save(grid(pictures, heads), f"{edit.name.replace(' ', '-')}.png")
