"""``dataset.apply_model``: code new samples with a dictionary that exists."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fiftyone as fo
import fiftyone.core.models as fom
import numpy as np
from fiftyone.core.collections import SampleCollection
from fiftyone.utils.torch import GetItem

from fiftyone_smic.archive import read_archive
from fiftyone_smic.dictionary.estimator import SemanticDictionary
from fiftyone_smic.fiftyone import runs
from fiftyone_smic.fiftyone.codes import code_columns
from fiftyone_smic.fiftyone.collections import tell
from fiftyone_smic.models.encoders import load_matching
from fiftyone_smic.models.identity import EncoderIdentity

logger = logging.getLogger(__name__)


class _Filepath(GetItem):
    """The encoder reads files itself, so that one bad image does not cost a batch."""

    @property
    def required_keys(self) -> list[str]:
        return ["filepath"]

    def __call__(self, d: dict[str, Any]) -> str:
        return d["filepath"]


class SMICModel(fom.Model, fom.SupportsGetItem, fom.TorchModelMixin):
    """Image -> the fields that ``encode`` writes.

    Args:
        dictionary: the dictionary to code with; it is not changed
        identity: identity of the encoder whose latents it codes
        source: the name to load that encoder by, by default the one its identity gives
        device: a torch device, by default the best there is
        names: of the atoms, for the labels
    """

    def __init__(
        self,
        dictionary: SemanticDictionary,
        identity: str,
        source: str | None = None,
        device: str | None = None,
        names: Sequence[str] | None = None,
    ) -> None:
        self._dictionary = dictionary
        self._names = names
        self._encoder = load_matching(identity, source, device=device)
        tell(self._encoder.notice)
        self._preprocess = False

    @property
    def media_type(self) -> str:
        return "image"

    @property
    def transforms(self) -> None:
        return None

    @property
    def preprocess(self) -> bool:
        return self._preprocess

    @preprocess.setter
    def preprocess(self, value: bool) -> None:
        self._preprocess = value

    @property
    def ragged_batches(self) -> bool:
        return True

    @property
    def required_keys(self) -> list[str]:
        return ["filepath"]

    def build_get_item(self, field_mapping: dict[str, str] | None = None) -> GetItem:
        return _Filepath(field_mapping=field_mapping)

    def predict(self, path: str) -> dict[str, Any] | None:
        """Code one image file; see :meth:`predict_all`."""
        return self.predict_all([path])[0]

    def predict_all(self, paths: list[str]) -> list[dict[str, Any] | None]:
        """Code image files.

        Returns:
            for each path a dict of field suffix -> value, or None if it could not be read
        """
        made = self._encoder.encode_images(list(paths))
        for i, why in made.failures.items():
            logger.warning("Skipped %s: %s", paths[i], why)
        results: list[dict[str, Any] | None] = [None] * len(paths)
        if len(made.indices):
            codes = self._dictionary.transform(made.latents)
            columns = code_columns(self._dictionary, codes, made.latents, self._names)
            for row, i in enumerate(np.asarray(made.indices)):
                results[int(i)] = {suffix: column[row] for suffix, column in columns.items()}
        return results


def load_model(
    key_or_archive: str | Path,
    dataset: SampleCollection | str | None = None,
    *,
    encoder: str | None = None,
    device: str | None = None,
) -> SMICModel:
    """A model for ``dataset.apply_model(model, label_field=key)``.

    It codes new samples with a dictionary that exists and leaves the codes of all others alone.

    Args:
        key_or_archive: a dictionary's key, or the path of a ``.smic`` file
        dataset: the dataset that holds the key, or its name; by default the only one that has it
        encoder: the name to load the encoder by, needed where its identity is not enough: for a
            ``local-dir:`` that moved, or one that an archive was made with
        device: a torch device, by default the best there is

    Returns:
        a model; applied with ``label_field="smic"`` it writes ``smic_atoms`` and its companions

    Raises:
        ValueError: if the key cannot be found, or its encoder is not here
        ArchiveError: if the archive cannot be read
    """
    if dataset is None and (
        Path(key_or_archive).suffix == ".smic" or Path(key_or_archive).is_file()
    ):
        archive = read_archive(key_or_archive)
        return SMICModel(archive.dictionary, archive.encoder, encoder, device)
    key = str(key_or_archive)
    samples = _find(key, dataset)
    config = runs.load_config(samples, key)
    if encoder is None and not EncoderIdentity.parse(config.encoder).known:
        raise ValueError(
            f"the latents of dictionary {key!r} do not say which encoder made them, so new images "
            "cannot be encoded; learn a dictionary on latents of fiftyone_smic.compute_latents"
        )
    source = encoder or config.encoder_source
    dictionary, names = runs.load_dictionary(samples, key), runs.atom_names(samples, key)
    return SMICModel(dictionary, config.encoder, source, device, names)


def _find(key: str, dataset: SampleCollection | str | None) -> SampleCollection:
    if isinstance(dataset, str):
        return fo.load_dataset(dataset)
    if dataset is not None:
        return dataset
    holders = [
        name for name in fo.list_datasets() if key in runs.list_dictionaries(fo.load_dataset(name))
    ]
    if len(holders) != 1:
        where = f"datasets {holders} have one" if holders else "no dataset has one"
        raise ValueError(
            f"cannot tell which dictionary {key!r} is meant: {where}; say which dataset with "
            f"load_model({key!r}, dataset=…), or give the path of a .smic file"
        )
    return fo.load_dataset(holders[0])
