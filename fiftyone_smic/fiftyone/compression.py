"""The whole way in one call: embeddings, dictionary, codes, names and map."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import Any

from fiftyone.core.collections import SampleCollection

from fiftyone_smic.fiftyone import runs
from fiftyone_smic.fiftyone.collections import image_samples
from fiftyone_smic.fiftyone.encoding import EncodeReport, encode
from fiftyone_smic.fiftyone.latents import LatentsReport, compute_latents
from fiftyone_smic.fiftyone.learning import learn_dictionary
from fiftyone_smic.fiftyone.names import name_atoms
from fiftyone_smic.fiftyone.progress import Progress, connected, reporting
from fiftyone_smic.fiftyone.visualization import visualize_atoms
from fiftyone_smic.pipelines.keeping import check_keep
from fiftyone_smic.utils.defaults import KEY, LAM, LATENTS_FIELD
from fiftyone_smic.utils.progress import Portion, stage

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CompressionReport:
    """What ``compress_dataset`` did.

    Attributes:
        key: The dictionary.
        latents: What ``compute_latents`` did.
        atoms: K, the number of atoms of the dictionary.
        codes: What ``encode`` did.
        named: How many atoms have a name.
        mapped: Whether there is a map of atoms and samples.
        left_out: Optional step -> why it could not be done here.
        reused: Steps that an earlier run had done already.
        seconds: Wall time.
    """

    key: str
    latents: LatentsReport
    atoms: int
    codes: EncodeReport
    named: int
    mapped: bool
    left_out: dict[str, str] = field(default_factory=dict)
    reused: tuple[str, ...] = ()
    seconds: float = 0.0


@connected()
def compress_dataset(
    samples: SampleCollection,
    key: str = KEY,
    latents_field: str = LATENTS_FIELD,
    *,
    encoder: str | None = None,
    lam: float = LAM,
    keep: str = "everything",
    names: bool = True,
    map: bool = True,
    overwrite: bool = False,
    progress: Progress = None,
) -> CompressionReport:
    """Compress a collection: embeddings, dictionary, codes, names of the atoms, and the map.

    An interrupted call goes on where it stopped when it is called again: embeddings that are there
    are kept, and so is the dictionary of that key if it was learned from the same field. Names and
    map are extras: where one of them cannot be made, the report says why and the codes stay.

    Args:
        samples: A dataset or view of images.
        key: The dictionary's key; sample fields are named after it.
        latents_field: The vector field of the embeddings.
        encoder: As for ``compute_latents``; by default what suits the images.
        lam: λ of the dictionary: higher means fewer bits and less detail.
        keep: What the bits are spent on first, ``"everything"`` or ``"words"``; see
            ``learn_dictionary``.
        names: Name the atoms after the encoder's words.
        map: Lay atoms and samples out on a map.
        overwrite: Learn the dictionary again even if there is one of that key; its codes go.
        progress: ``None`` for FiftyOne's own setting, a bool, or a function of the fraction done.

    Raises:
        ValueError: The collection is empty or holds no images, the dictionary of that key was
            learned from another field, or embeddings and dictionary do not fit.

    Example:
        >>> import fiftyone_smic as smic
        >>> dataset = smic.load_postcards(12, overwrite=True, progress=False)
        >>> report = smic.compress_dataset(dataset, map=False, progress=False)
        >>> report.codes.encoded, dataset.count("smic_bits")
        (12, 12)
    """
    started = time.perf_counter()
    check_keep(keep)
    samples = image_samples(samples)
    reused: list[str] = []
    known = key in runs.list_dictionaries(samples) and not overwrite
    if known:
        learned_from = runs.load_config(samples, key).latents_field
        if learned_from != latents_field:
            raise ValueError(
                f"dictionary {key!r} was learned from {learned_from!r}, not from "
                f"{latents_field!r}; choose another key, or pass overwrite=True"
            )
        reused.append("dictionary")
    else:
        runs.check_free(samples, key, overwrite)
    with reporting(progress, 100) as report:
        stage(report, "Computing embeddings")
        latents = compute_latents(
            samples, latents_field, encoder, progress=Portion(report, 0.0, 0.5)
        )
        if not known:
            stage(report, "Learning the dictionary")
            learn_dictionary(
                samples,
                key,
                latents_field,
                lam=lam,
                keep=keep,
                overwrite=overwrite,
                progress=Portion(report, 0.5, 0.7),
            )
        stage(report, "Encoding the images")
        codes = encode(samples, key, progress=Portion(report, 0.7, 0.8))
        left_out = _extras(samples, key, names, map, reused, report)
        report(1.0)
    config = runs.load_config(samples, key)
    return CompressionReport(
        key=key,
        latents=latents,
        atoms=config.n_atoms,
        codes=codes,
        named=sum(name is not None for name in config.names or []),
        mapped=bool(config.atom_points),
        left_out=left_out,
        reused=tuple(reused),
        seconds=time.perf_counter() - started,
    )


def _extras(
    samples: SampleCollection,
    key: str,
    names: bool,
    map: bool,
    reused: list[str],
    report: Any,
) -> dict[str, str]:
    """Name and map the atoms; return why what could not be done was not."""
    left_out: dict[str, str] = {}
    config = runs.load_config(samples, key)
    if names and config.names:
        reused.append("names")
    elif names:
        stage(report, "Naming the concepts")
        try:
            name_atoms(samples, key, progress=Portion(report, 0.8, 0.85))
        except (ValueError, ImportError, OSError, RuntimeError) as error:
            left_out["names"] = str(error)
    if map and config.atom_points and _mapped(samples, config):
        reused.append("map")
    elif map:
        stage(report, "Laying out the map")
        try:
            visualize_atoms(samples, key, progress=Portion(report, 0.85, 0.99))
        except (ValueError, ImportError) as error:
            left_out["map"] = str(error)
    for step, why in left_out.items():
        logger.warning("Left out the %s: %s", step, why)
    return left_out


def _mapped(samples: SampleCollection, config: Any) -> bool:
    """Whether the map that is there shows all samples that have a code."""
    dataset = samples._root_dataset
    if config.brain_key not in dataset.list_brain_runs():
        return False
    on_map = dataset.load_brain_results(config.brain_key, load_view=False).sample_ids
    return len(on_map) >= samples.exists(config.latents_field).count()
