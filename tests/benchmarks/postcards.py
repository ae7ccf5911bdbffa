"""How good the embedded models are: ``python -m tests.benchmarks.postcards [--json OUT]``.

All on held-out drawings. ``ceiling`` is what the reader (:mod:`tests.benchmarks.reader`) scores on
the originals, or what else bounds the figure from above; ``base rate`` what always guessing the
commonest value (or chance, or doing nothing) would score; ``bar`` what the project asks for.

``--pictures DIR`` also writes what was drawn: sheets of originals above their regenerations, the
paper's figures of arithmetic, and the dictionary as a projector.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from fiftyone_smic import load_encoder, load_generator
from fiftyone_smic.postcards.training import TEST_COLLECTION, TRAIN_COLLECTION
from tests.benchmarks.atoms import judge_atoms, judge_projector, learn
from tests.benchmarks.bench import Bench, Postcards, Report
from tests.benchmarks.clip import judge_clip
from tests.benchmarks.decoder import (
    judge_autoencoder,
    judge_decoder,
    judge_reader,
    judge_speed,
)
from tests.benchmarks.edits import judge_edits
from tests.benchmarks.reader import load_reader

START, END = "<!-- figures -->", "<!-- end of figures -->"


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--pictures", type=Path, help="write pictures into this folder")
    parser.add_argument("--card", type=Path, help="model card to put the table of figures into")
    parser.add_argument("--items", type=int, default=2000, help="held-out postcards")
    parser.add_argument("--training", type=int, default=6000, help="postcards to learn from")
    parser.add_argument("--decoded", type=int, default=256, help="how many are drawn again")
    parser.add_argument("--edited", type=int, default=64, help="how many are edited")
    parser.add_argument("--generator", default="postcards", help="folder of another generator")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "smic-postcards")
    options = parser.parse_args()
    encoder = load_encoder("postcards")
    held_out = Postcards.load(encoder, options.work, options.items, TEST_COLLECTION)
    training = Postcards.load(encoder, options.work, options.training, TRAIN_COLLECTION)
    report = Report()
    bench = Bench(
        report,
        encoder,
        load_generator(options.generator),
        load_reader(),
        held_out,
        training,
        options.pictures,
    )
    dictionary = learn(bench)
    judge_speed(bench)
    judge_clip(bench)
    judge_atoms(bench, dictionary)
    judge_reader(bench)
    judge_autoencoder(bench, options.decoded)
    judge_decoder(bench, dictionary, options.decoded)
    judge_projector(bench, dictionary, options.edited)
    judge_edits(bench, options.edited)
    print(f"{len(report.missed)} bars missed: {'; '.join(report.missed) or 'none'}")
    if options.json:
        options.json.write_text(json.dumps(report.rows, indent=1) + "\n")
    if options.card:
        before, _, rest = options.card.read_text("utf-8").partition(START)
        _, _, after = rest.partition(END)
        text = f"{before}{START}\n\n{report.table()}\n\n{END}{after}"
        options.card.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
