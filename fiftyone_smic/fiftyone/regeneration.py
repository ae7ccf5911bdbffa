"""Pictures drawn again from the codes, as a second media field of the samples."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fiftyone as fo
from fiftyone.core.collections import SampleCollection

from fiftyone_smic.fiftyone import fields, placeholders, runs
from fiftyone_smic.fiftyone.code_columns import code_digest, code_digests
from fiftyone_smic.fiftyone.codes import images_for, read_codes
from fiftyone_smic.fiftyone.collections import named, tell
from fiftyone_smic.fiftyone.crops import crop_files
from fiftyone_smic.fiftyone.durations import note_seconds
from fiftyone_smic.fiftyone.gallery import dataset_gallery
from fiftyone_smic.fiftyone.objects import find_objects
from fiftyone_smic.fiftyone.pictures import (
    default_folder,
    is_whole,
    register_pictures,
    save_picture,
    writable,
)
from fiftyone_smic.fiftyone.places import OfSamples, Place, place_of
from fiftyone_smic.fiftyone.progress import Progress, connected, reporting
from fiftyone_smic.models.generators import load_generator
from fiftyone_smic.models.generators.base import check_settings
from fiftyone_smic.models.generators.registry import NEAREST
from fiftyone_smic.utils.defaults import KEY
from fiftyone_smic.utils.progress import stage
from fiftyone_smic.utils.vectors import unit

logger = logging.getLogger(__name__)

#: Pictures are registered with their samples this often, in seconds, while others are drawn.
REGISTER_EVERY = 5.0
#: A file name that :func:`regenerate` gives: the sample's id and the digest of its code.
_OUR_NAME = re.compile(r"[0-9a-f]{24}-([0-9a-f]{8})\.png")


@dataclass(frozen=True)
class RegenerateReport:
    """What :func:`regenerate` did.

    Attributes:
        key: Key of the dictionary.
        drawn: Number of pictures made now.
        reused: Number of pictures that were there already, of the same code, seed and settings.
        without_code: Number of samples, or objects, that have no code and so no picture.
        folder: Where the pictures are.
        generator: Name of the model that drew them.
        seconds: Wall time.
        skipped: Id of a sample, or label -> why its picture is not registered: it was deleted, or
            its code has changed, while pictures were drawn.
    """

    key: str
    drawn: int
    reused: int
    without_code: int
    folder: str
    generator: str
    seconds: float
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)


@connected()
def regenerate(
    samples: SampleCollection,
    key: str = KEY,
    *,
    output_dir: str | Path | None = None,
    generator: str | None = None,
    seed: int = 0,
    steps: int | None = None,
    guidance: float | None = None,
    batch_size: int = 8,
    device: str | None = None,
    overwrite: bool = False,
    progress: Progress = None,
) -> RegenerateReport:
    """Draw samples again from nothing but their code.

    Each picture is written when it is drawn, and registered a few seconds later at most: a run that
    is stopped keeps what it has drawn, and the next run goes on from there. A picture's file name
    says its sample and code; its folder says the dictionary, seed and settings. A picture that
    exists already is not drawn again. The field ``<key>_regenerated`` is registered as a media
    field: the App can show it in the grid.

    For a dictionary of objects each object is drawn by itself, its picture is an attribute of its
    label, and "nearest" answers with the crops of other objects.

    Args:
        samples: A dataset or view. Samples without a code are counted and left out.
        key: Key of a dictionary of the dataset.
        output_dir: Folder for the pictures, by default ``smic/<dataset>`` in FiftyOne's
            ``default_dataset_dir``.
        generator: A hub id, a local directory or "postcards"; by default the one that fits the
            encoder. "nearest" draws nothing: it takes the picture of the dataset whose latent is
            nearest to the code's, but never the sample's own.
        seed: Seed of the noise. Each sample has its own stream, which does not depend on its batch.
        steps: Denoising steps, by default the generator's own.
        guidance: Guidance scale, by default the generator's own.
        batch_size: Number of pictures drawn at a time.
        device: A torch device, by default the best there is.
        overwrite: Draw pictures again that exist already.
        progress: None for FiftyOne's own setting, a bool, or a function of the fraction done.

    Returns:
        How many pictures were drawn and where they are.

    Raises:
        ValueError: The key is unknown, no sample has a code, the generator does not fit the
            encoder, or the dictionary was deleted while pictures were drawn.
        OSError: The folder cannot be written.

    Example:
        >>> import tempfile
        >>> from fiftyone_smic.fiftyone import (
        ...     compute_latents, encode, learn_dictionary, load_postcards, regenerate
        ... )
        >>> folder = tempfile.TemporaryDirectory()
        >>> dataset = load_postcards(
        ...     20, name="drawn-again", directory=folder.name, progress=False
        ... )
        >>> _ = compute_latents(dataset, encoder="postcards", progress=False)
        >>> _ = learn_dictionary(dataset, n_atoms=4, progress=False)
        >>> _ = encode(dataset, progress=False)
        >>> report = regenerate(
        ...     dataset[:2], output_dir=folder.name, steps=1, device="cpu", progress=False
        ... )
        >>> report.drawn, report.reused, dataset.count("smic_regenerated")
        (2, 0, 2)
        >>> dataset.delete(), folder.cleanup()
        (None, None)
    """
    started = time.perf_counter()
    check_settings(batch_size=batch_size, steps=steps, guidance=guidance)
    samples = images_for(samples, key)
    config = runs.load_config(samples, key)
    dataset = samples._root_dataset
    dictionary = runs.load_dictionary(samples, key)
    ids, files, codes = read_codes(samples, key, int(dictionary.n_atoms_))
    parent = writable(Path(output_dir) if output_dir else default_folder(dataset))
    gallery = dataset_gallery(dataset, key) if generator == NEAREST else None
    stage(progress, "Loading models")
    model = load_generator(generator, encoder=config.encoder, device=device, gallery=gallery)
    tell(model.notice)
    settings: dict[str, Any] = {"steps": steps, "guidance": guidance}
    folder = writable(parent / _folder_name(config, model.identity, seed, settings))
    drawn = code_digests(codes)
    paths = [str(folder / _file_name(i, code)) for i, code in zip(ids, drawn, strict=True)]
    place = place_of(dataset, key, config.patches_field)
    register = _Registering(place, key, config.digest, ids, drawn, files, paths)
    own = files
    if gallery is not None and config.patches_field is not None:
        crops = crop_files(samples, key, ids)
        own = [crops.get(label_id, "") for label_id in ids]
    register.forget_pictures_of_other_codes()
    todo = [i for i, path in enumerate(paths) if overwrite or not is_whole(path)]
    ready = set(range(len(ids))).difference(todo)
    register.now(sorted(ready))
    stage(progress, "Drawing pictures")
    began = time.perf_counter()
    with reporting(progress, len(todo)) as report, register:
        for start in range(0, len(todo), batch_size):
            batch = todo[start : start + batch_size]
            images = model.generate(
                unit(dictionary.inverse_transform(codes[batch])),
                norm=config.latent_norm,
                seeds=[_sample_seed(seed, ids[i]) for i in batch],
                batch_size=batch_size,
                exclude=[own[i] for i in batch],
                **{name: value for name, value in settings.items() if value is not None},
            )
            for i, image in zip(batch, images, strict=True):
                save_picture(image, Path(paths[i]))
                register.soon(i)
            report((start + len(batch)) / len(todo))
    if gallery is None:  # with a gallery the time says nothing about drawing
        drawing = (time.perf_counter() - began) / (steps or model.steps)
        note_seconds(samples, key, "draw", drawing, len(todo), fewest=batch_size)
    if register.skipped:
        logger.warning(
            "%d of %d pictures were drawn and not registered: %s",
            len(register.skipped),
            len(ids),
            named(register.skipped),
        )
    return RegenerateReport(
        key=key,
        drawn=len(todo),
        reused=len(ids) - len(todo),
        without_code=_items(samples, config.patches_field) - len(ids),
        folder=str(folder),
        generator=model.name,
        seconds=time.perf_counter() - started,
        skipped=register.skipped,
    )


def _items(samples: SampleCollection, patches_field: str | None) -> int:
    """How many samples, or objects in them, there are."""
    if patches_field is None:
        return len(samples)
    return len(find_objects(samples, patches_field).ids)


class _Registering:
    """Registers pictures with their samples while others are drawn, and at the end.

    Other programs may change the dataset meanwhile. Samples that were deleted or have another code
    are left out and named. A dictionary that was deleted ends the run.

    Args:
        place: Where the fields of the key live.
        key: Key of the dictionary.
        digest: Its digest when the run began.
        ids: N ids of samples, or of labels.
        codes: N digests of their codes.
        files: N files of the samples.
        paths: N files of the pictures.
    """

    def __init__(
        self,
        place: Place,
        key: str,
        digest: str,
        ids: list[str],
        codes: list[str],
        files: list[str],
        paths: list[str],
    ) -> None:
        self.place, self.dataset = place, place.dataset
        self.key, self.digest = key, digest
        self.ids, self.codes, self.files, self.paths = ids, codes, files, paths
        self.skipped: dict[str, str] = {}
        self._waiting: list[int] = []
        self._last = time.monotonic()

    def __enter__(self) -> _Registering:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        try:
            self.now(self._waiting)
        except Exception as second:
            if error is None:
                raise
            # The error that stopped the run says more than this one, which follows from it.
            logger.warning("The last pictures were not registered: %s", second)

    def soon(self, i: int) -> None:
        """Register picture ``i`` when some seconds have passed, or with the last."""
        self._waiting.append(i)
        if time.monotonic() - self._last >= REGISTER_EVERY:
            self.now(self._waiting)

    def now(self, chosen: Sequence[int]) -> None:
        """Register pictures whose samples exist and still have the code that was drawn."""
        self._waiting, self._last = [], time.monotonic()
        if not chosen:
            return
        self._check_dictionary()
        current = self._codes_now([self.ids[i] for i in chosen])
        kept = []
        for i in chosen:
            sample_id = self.ids[i]
            if sample_id not in current:
                self.skipped[sample_id] = f"{self.files[i]}: the {self.place.noun} was deleted"
            elif current[sample_id] != self.codes[i]:
                self.skipped[sample_id] = f"{self.files[i]}: its code has changed"
            else:
                kept.append(i)
        if kept:
            pictures = [self.paths[i] for i in kept]
            register_pictures(self.place, [self.ids[i] for i in kept], pictures)
            if isinstance(self.place, OfSamples):
                placeholders.fill([self.files[i] for i in kept], pictures)

    def forget_pictures_of_other_codes(self) -> None:
        """Clear registered pictures that were drawn from another code than the sample has.

        The program that changed a code, ``apply_model`` for example, may not know of pictures.
        """
        if not self.place.has(fields.REGENERATED):
            return
        place = {sample_id: i for i, sample_id in enumerate(self.ids)}
        stale = []
        for sample_id, path in self.place.held(fields.REGENERATED).items():
            ours = _OUR_NAME.fullmatch(os.path.basename(path))
            i = place.get(sample_id)
            if ours and i is not None and ours[1] != self.codes[i]:
                stale.append(sample_id)
        if stale:
            made = [suffix for suffix in fields.DRAWING_SUFFIXES if self.place.has(suffix)]
            self.place.write(stale, {suffix: [None] * len(stale) for suffix in made})

    def _check_dictionary(self) -> None:
        there = fo.dataset_exists(self.dataset.name)
        if there:
            self.dataset.reload()
        if not there or self.key not in runs.list_dictionaries(self.dataset):
            what = f"dictionary {self.key!r}" if there else f"dataset {self.dataset.name!r}"
            raise ValueError(
                f"{what} was deleted while its pictures were drawn; those drawn so far are in "
                f"{os.path.dirname(self.paths[0])}"
            )
        if runs.load_config(self.dataset, self.key).digest != self.digest:
            raise ValueError(
                f"dictionary {self.key!r} was replaced while pictures were drawn; run regenerate "
                "again to draw the new codes"
            )

    def _codes_now(self, ids: list[str]) -> dict[str, str]:
        parts = (fields.ATOMS, fields.COEFFICIENTS)
        if not all(map(self.place.has, parts)):
            return dict.fromkeys(ids, "none")
        return {
            sample_id: code_digest(atoms or [], levels or [])
            for sample_id, (atoms, levels) in self.place.read(ids, parts).items()
        }


def _folder_name(
    config: runs.SMICRunConfig, generator: str, seed: int, settings: dict[str, Any]
) -> str:
    """Return a folder's name. It has the dictionary's digest, so pictures outlive a new key."""
    identity = json.dumps(
        [config.digest, config.latent_norm, generator, seed, settings], sort_keys=True
    )
    return f"seed{seed}-" + hashlib.sha256(identity.encode()).hexdigest()[:12]


def _file_name(sample_id: str, code: str) -> str:
    return f"{sample_id}-{code}.png"


def _sample_seed(seed: int, sample_id: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {sample_id}".encode()).digest()[:4], "little")
