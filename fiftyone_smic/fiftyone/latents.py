"""Latents of a dataset's images, in a vector field that knows which encoder made them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fiftyone as fo
import numpy as np
from fiftyone.core.collections import SampleCollection

from fiftyone_smic.fiftyone import fields, latent_rows, object_latents
from fiftyone_smic.fiftyone.collections import named, tell
from fiftyone_smic.fiftyone.latent_rows import (
    Latents,
    LatentsReport,
    forget_adoption,
    in_parts,
    share,
    tell_of_other_pixels,
    usable_latents,
)
from fiftyone_smic.fiftyone.objects import how_to_cut, images_of
from fiftyone_smic.fiftyone.placeholders import is_placeholder
from fiftyone_smic.fiftyone.progress import Progress, connected, reporting
from fiftyone_smic.fiftyone.threads import one_thread
from fiftyone_smic.models.encoders import default_encoder, load_encoder
from fiftyone_smic.models.identity import UNKNOWN, EncoderIdentity
from fiftyone_smic.utils.defaults import LATENTS_FIELD
from fiftyone_smic.utils.progress import stage

logger = logging.getLogger(__name__)

#: Key of ``dataset.info`` by which a dataset says that it holds drawn postcards.
POSTCARDS = "smic_postcards"

NOT_DRAWN = "its picture has not been drawn yet; draw it with fiftyone_smic.regenerate"


@connected()
def compute_latents(
    samples: SampleCollection,
    field: str = LATENTS_FIELD,
    encoder: str | None = None,
    *,
    batch_size: int = 32,
    num_workers: int = 0,
    device: str | None = None,
    precision: str = "fp32",
    overwrite: bool = False,
    patches_field: str | None = None,
    force_square: bool = False,
    alpha: float | None = None,
    progress: Progress = None,
) -> LatentsReport:
    """Encode the images of a collection into a vector field.

    Samples that have a latent keep it, unless ``overwrite``. Latents are written as they come,
    after 2,000 images or a minute, so a run that was stopped goes on where it stopped when it is
    called again. Images that cannot be read are skipped, counted and named. The field's ``info``
    records the encoder and the typical norm of its raw embeddings, which the first latents settle.

    Args:
        samples: A dataset or view of images.
        field: The field to write, unit-norm float32 vectors.
        encoder: Any ``"MODEL/PRETRAINED"`` of open_clip, ``"photographs"``, ``"postcards"`` (the
            embedded demonstration model, which knows nothing of photographs),
            ``"local-dir:/path"`` or ``"zoo:NAME"``. None takes the one that made the field, else
            what suits the pictures: "postcards" for postcards, "photographs" for anything else if
            its extra is installed, else a CLIP model.
        batch_size: Images at a time.
        num_workers: Processes that read images.
        device: A torch device, by default the best there is.
        precision: "fp32", or a half precision that open_clip knows.
        overwrite: Compute the latents that exist again. Latents of another encoder are removed as
            soon as the first new ones are written.
        patches_field: Encode the objects in this field of detections or polylines instead of whole
            images; ``field`` is then an attribute of its labels.
        force_square: Make the boxes of objects square before they are cut out.
        alpha: Make the boxes of objects larger by this share of their width and height; a negative
            number makes them smaller.
        progress: ``None`` for FiftyOne's own setting, a bool, or a function of the fraction done.

    Returns:
        What was done.

    Raises:
        ValueError: The collection is empty or holds no images, the field is of another kind or
            encoder, or no image could be read.

    Example:
        >>> import fiftyone_smic as smic
        >>> dataset = smic.load_postcards(12, overwrite=True, progress=False)
        >>> report = smic.compute_latents(dataset, progress=False)
        >>> report.computed, report.dim
        (12, 128)
    """
    started = time.perf_counter()
    cut = how_to_cut(patches_field, force_square, alpha)
    samples = images_of(samples, patches_field)
    dataset = samples._root_dataset
    if patches_field is None:
        _check_field(samples, field)
    else:
        check_field_name(field)
    encoder = encoder or suitable_encoder(samples, field)
    stage(progress, "Loading models")
    model = load_encoder(encoder, device=device, precision=precision)
    tell(model.notice)
    if patches_field is not None:
        return object_latents.compute(
            samples,
            patches_field,
            field,
            model,
            cut=cut,
            batch_size=batch_size,
            overwrite=overwrite,
            progress=progress,
        )
    replacing = check_encoder(samples, field, model.name, overwrite)
    if not overwrite:
        tell_of_other_pixels(field, dataset.get_field(field))

    paths = dict(zip(*samples.values(["id", "filepath"]), strict=True))
    kept = set()
    if dataset.has_sample_field(field) and not overwrite:
        kept = set(samples.exists(field).values("id"))
    todo = {sample_id: path for sample_id, path in paths.items() if sample_id not in kept}
    skipped = {
        sample_id: f"{Path(path).name}: {NOT_DRAWN}"
        for sample_id, path in todo.items()
        if is_placeholder(path)
    }
    writer = _Writer(
        dataset,
        field,
        {"encoder": model.name, "source": model.source},
        replacing=replacing,
    )
    stage(progress, "Embedding images")
    began = time.perf_counter()
    ids = [sample_id for sample_id in todo if sample_id not in skipped]
    with reporting(progress, len(ids)) as report:
        try:
            for part, done in in_parts(len(ids), 4 * batch_size):
                chosen = ids[part]
                made = model.encode_images(
                    [todo[i] for i in chosen],
                    batch_size=batch_size,
                    num_workers=num_workers,
                    progress=share(report, part, len(ids)),
                )
                for i, why in made.failures.items():
                    skipped[chosen[i]] = f"{Path(todo[chosen[i]]).name}: {why}"
                writer.add([chosen[i] for i in made.indices], made.latents, made.norm)
                done()
            writer.write()
        except BaseException:
            writer.rescue()
            logger.warning(
                "Stopped: %d of %d images are encoded and stay in %r; run it again to go on",
                writer.written,
                len(ids),
                field,
            )
            raise
        if ids:
            report(1.0)
    if todo and not writer.written and not kept:
        raise ValueError(
            f"none of the {len(todo)} images could be read ({named(skipped)}); check that the "
            "samples' filepaths exist on this machine"
        )
    if skipped:
        logger.warning("%d of %d images skipped: %s", len(skipped), len(todo), named(skipped))
    if overwrite and fields.everything(dataset).exists(field).count() == writer.written:
        forget_adoption(dataset.get_field(field))
    if len(ids) >= 2 * batch_size:  # loading the model is not in it; for the next estimate
        describe(dataset, field, {"seconds": (time.perf_counter() - began) / len(ids)})
    return LatentsReport(
        field=field,
        encoder=model.name,
        dim=model.dim,
        computed=writer.written,
        kept=len(kept),
        skipped=skipped,
        seconds=time.perf_counter() - started,
    )


class _Writer:
    """Writes latents as they come.

    Args:
        dataset: The dataset.
        name: The vector field; it is added when the first latents are written.
        info: What is public about the latents, for the field's ``info``.
        replacing: Whether the field holds latents of another encoder, which then go.
    """

    def __init__(
        self, dataset: fo.Dataset, name: str, info: dict[str, Any], *, replacing: bool
    ) -> None:
        self.written = 0
        self._dataset, self._name, self._info = dataset, name, info
        self._replacing = replacing
        self._declared = False
        self._ids: list[str] = []
        self._rows: list[np.ndarray] = []
        self._norms: list[float] = []
        self._since = time.perf_counter()

    def add(self, ids: list[str], latents: np.ndarray, norm: float) -> None:
        """Take latents, and write what there is if it is time to."""
        self._ids += ids
        self._rows += list(latents)
        self._norms += [norm] * len(ids)
        late = time.perf_counter() - self._since >= latent_rows.WRITE_SECONDS
        if late or len(self._ids) >= latent_rows.WRITE_EVERY:
            self.write()

    def write(self) -> None:
        """Write what there is."""
        if not self._ids:
            return
        if not self._declared:
            if self._replacing:
                self._dataset.clear_sample_field(self._name)
            declare_latents(
                self._dataset,
                self._name,
                {**self._info, "latent_norm": float(np.median(self._norms))},
            )
            self._declared = True
        self.written += len(fields.put(self._dataset, self._ids, self._name, self._rows))
        self._ids, self._rows = [], []
        self._since = time.perf_counter()

    def rescue(self) -> None:
        """Write what there is when the run ends early, as far as that is possible."""
        try:
            self.write()
        except Exception as error:  # the first error is the one to report
            logger.warning("%d latents could not be written: %s", len(self._ids), error)


def suitable_encoder(samples: SampleCollection, field: str = LATENTS_FIELD) -> str:
    """Return the encoder to take where nobody chose one.

    Args:
        samples: A dataset or view.
        field: The field to write; the encoder that made it goes first.

    Returns:
        A name for ``load_encoder``: that of the field, else what suits the pictures.
    """
    dataset = samples._root_dataset
    known = dataset.get_field(field)
    about = EncoderIdentity.parse(((known and known.info) or {}).get("encoder", UNKNOWN))
    if about.known:
        return known.info.get("source", about.source)
    postcards = bool(dataset.info.get(POSTCARDS))
    return default_encoder(() if postcards else samples.values("filepath"), postcards=postcards)


def check_field_name(name: str) -> None:
    """Raise ``ValueError`` unless sample fields can be called so."""
    if not isinstance(name, str) or not name.isidentifier() or name.startswith("_"):
        raise ValueError(
            f"{name!r} is not a valid field name; use letters, digits and underscores, like "
            "'clip_latents'"
        )


def _check_field(samples: SampleCollection, name: str) -> None:
    check_field_name(name)
    existing = samples._root_dataset.get_field(name)
    if existing is not None and not isinstance(existing, fo.VectorField):
        raise ValueError(
            f"field {name!r} holds {type(existing).__name__} values, not vectors; choose another "
            "field for the latents"
        )


def check_encoder(samples: SampleCollection, name: str, encoder: str, overwrite: bool) -> bool:
    """Refuse to mix the latents of two encoders in one field, in all group slices.

    Returns:
        Whether the field holds latents of another encoder, all of them of these samples.
    """
    dataset = samples._root_dataset
    existing = dataset.get_field(name)
    if existing is None:
        return False
    made_by = (existing.info or {}).get("encoder", UNKNOWN)
    if EncoderIdentity.parse(made_by).matches(encoder):
        return False
    held = fields.everything(dataset).exists(name).count()
    outside = held - samples.exists(name).count()
    if overwrite and outside:
        raise ValueError(
            f"{outside} samples outside this view have latents of encoder {made_by!r} in "
            f"{name!r}; overwrite the whole dataset, or choose another field"
        )
    if held and not overwrite:
        raise ValueError(
            f"field {name!r} holds latents of encoder {made_by!r} and these would be of "
            f"{encoder!r}; choose another field, or pass overwrite=True"
        )
    return bool(held)


def declare_latents(dataset: fo.Dataset, name: str, info: dict[str, Any]) -> None:
    """Add the field, or keep the norm of one that is there: dictionaries were learned with it."""
    with one_thread(dataset):
        if not dataset.has_sample_field(name):
            dataset.add_sample_field(
                name, fo.VectorField, description="SMIC: unit-norm latents of the images"
            )
    former = dataset.get_field(name).info or {}
    if not EncoderIdentity.parse(former.get("encoder", UNKNOWN)).matches(info["encoder"]):
        describe(dataset, name, info)
    elif "latent_norm" not in former:
        describe(dataset, name, {"latent_norm": info["latent_norm"]})


def describe(dataset: fo.Dataset, name: str, info: dict[str, Any]) -> None:
    """Add to what a field says about its latents."""
    stored = dataset.get_field(name)
    if stored is not None:
        stored.info = {**(stored.info or {}), **info}
        stored.save()


def read_latents(
    samples: SampleCollection,
    field: str,
    patches_field: str | None = None,
    report: Callable[[float], None] = lambda fraction: None,
) -> Latents:
    """Read a field of embeddings, leaving out what cannot be used.

    Args:
        samples: A flat image collection.
        field: A sample field that holds one vector per sample.
        patches_field: Read those of the objects in this field instead; ``field`` is then an
            attribute of its labels, and ids are those of labels.
        report: Gets the fraction done.

    Returns:
        Latents in the collection's order. Samples with no vector, or one with NaN, infinite or
        only zero entries, are skipped and named.

    Raises:
        ValueError: There is no such field, its vectors differ in length, or none is usable.
    """
    if patches_field is not None:
        return object_latents.read(samples, patches_field, field)[1]
    schema = samples.get_field_schema()
    there = [n for n, f in schema.items() if isinstance(f, fo.VectorField)]
    others = f", or use one of the vector fields {there}" if there else ""
    if field not in schema:
        raise ValueError(
            f"there is no field {field!r} here; compute latents first with "
            f"fiftyone_smic.compute_latents(dataset, field={field!r}){others}"
        )
    if isinstance(schema[field], (fo.StringField, fo.EmbeddedDocumentField)):
        raise ValueError(
            f"field {field!r} holds no vectors; compute latents into another field{others}"
        )
    rows = latent_rows.stream(samples, field)
    return usable_latents(rows, len(samples), field, schema[field].info or {}, report)
