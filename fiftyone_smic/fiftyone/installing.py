"""An archive's dictionary and codes in a dataset: both are there, or neither is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import fiftyone as fo

from fiftyone_smic.archive import Archive
from fiftyone_smic.fiftyone import fields, objects, runs
from fiftyone_smic.fiftyone.code_columns import code_columns, tag
from fiftyone_smic.fiftyone.codes import write_codes
from fiftyone_smic.fiftyone.objects import find_objects
from fiftyone_smic.models.identity import EncoderIdentity
from fiftyone_smic.utils.defaults import LATENTS_FIELD


def install(
    dataset: fo.Dataset,
    ids: list[str],
    archive: Archive,
    key: str,
    rows: Sequence[int] | None = None,
    *,
    overwrite: bool = False,
    **about: Any,
) -> None:
    """Store an archive's dictionary and give samples its codes, both or neither.

    Args:
        dataset: The dataset.
        ids: N sample ids.
        archive: The archive.
        key: A key under which a dictionary can be stored.
        rows: N positions in the archive, one for each sample; by default the first N.
        overwrite: Replace the dictionary of that key.
        about: What else is known, see :class:`fiftyone_smic.fiftyone.runs.SMICRunConfig`.
    """
    dictionary = archive.dictionary
    rate, items = archive.rate, archive.codes.shape[0]
    config = runs.SMICRunConfig(
        **{
            "latents_field": LATENTS_FIELD,
            "encoder_source": EncoderIdentity.parse(archive.encoder).source,
            "items": items,
            "settings": {"lam": dictionary.lam_},
            **about,
        },
        encoder=archive.encoder,
        latent_norm=archive.latent_norm,
        dim=int(dictionary.n_features_in_),
        n_atoms=int(dictionary.n_atoms_),
        digest=runs.digest(dictionary),
    )
    if config.storage is None:
        config.storage = {
            "items": items,
            "original_bytes": None,
            "float32_bytes": 4 * items * int(dictionary.n_features_in_),
            "pixels_per_item": archive.pixels_per_item,
            "payload_bits": int(rate.payload_bits),
            "dictionary_bits": int(rate.dictionary_bits),
            "header_bits": int(rate.header_bits),
            "fidelity": None,
        }
    codes = archive.codes[list(rows) if rows is not None else list(range(len(ids)))]
    digest, names = config.digest, runs.names_in(config)

    def columns(part: slice) -> dict[str, list[Any]]:
        return code_columns(dictionary, codes[part], None, names, digest=digest, stored=True)

    def write(temporary: str) -> None:
        if config.patches_field is None:
            write_codes(dataset, temporary, ids, columns, digest=digest)
        else:
            _write_to_objects(dataset, temporary, config, ids, columns(slice(len(ids))))

    runs.save_dictionary(dataset, key, dictionary, config, overwrite=overwrite, write=write)


def _write_to_objects(
    dataset: fo.Dataset,
    key: str,
    config: runs.SMICRunConfig,
    ids: list[str],
    columns: dict[str, list[Any]],
) -> None:
    found = find_objects(fields.everything(dataset), config.patches_field)
    place = {label_id: i for i, label_id in enumerate(found.ids)}
    objects.write_codes(
        found,
        key,
        [place[label_id] for label_id in ids],
        columns,
        tag(config.digest),
        lambda: runs.check_current(dataset, key, config.digest),
    )
