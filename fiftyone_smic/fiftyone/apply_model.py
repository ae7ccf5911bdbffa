"""``dataset.apply_model``: code new samples with a dictionary that exists."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fiftyone as fo
import fiftyone.core.models as fom
import fiftyone.core.odm as foo
from fiftyone.core.collections import SampleCollection
from fiftyone.utils.torch import GetItem

from fiftyone_smic.archive import read_archive
from fiftyone_smic.dictionary.estimator import SemanticDictionary
from fiftyone_smic.dictionary.priors import Prior, as_prior
from fiftyone_smic.fiftyone import fields, runs
from fiftyone_smic.fiftyone.code_columns import code_columns
from fiftyone_smic.fiftyone.collections import tell
from fiftyone_smic.fiftyone.latents import NOT_DRAWN
from fiftyone_smic.fiftyone.placeholders import is_placeholder
from fiftyone_smic.fiftyone.settling import fill_empty, settle_codes
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


class SMICModel(fom.Model, fom.SupportsGetItem, fom.SamplesMixin, fom.TorchModelMixin):
    """A model that codes images; it writes the fields that ``encode`` writes.

    Args:
        dictionary: The dictionary to code with; it is not changed.
        identity: Identity of the encoder whose latents it codes.
        source: The name to load that encoder by, by default the one its identity gives.
        device: A torch device, by default the best there is.
        names: Names of the atoms, for the labels.
        digest: The dictionary's digest if it is known already.

    Raises:
        ValueError: This machine has another encoder of that name.
    """

    def __init__(
        self,
        dictionary: SemanticDictionary,
        identity: str,
        source: str | None = None,
        device: str | None = None,
        names: Sequence[str] | None = None,
        digest: str | None = None,
    ) -> None:
        self._fields: dict[str, str] = {}  # what SamplesMixin needs besides the file: nothing
        self._datasets: dict[str, fo.Dataset] = {}
        self._digest = digest or runs.digest(dictionary)
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

    def __exit__(self, *args: Any) -> None:
        """Tidy up when ``apply_model`` has saved the codes.

        FiftyOne drops empty lists, and does not know that pictures belong to codes.
        """
        for dataset in self._datasets.values():
            with_runs = runs.list_dictionaries(dataset)
            for key in fields.keys_with_codes(dataset):
                if key in with_runs:
                    settle_codes(dataset, key)
                else:
                    fill_empty(dataset, key)
        self._datasets = {}

    def predict(self, path: str, sample: fo.Sample | None = None) -> dict[str, Any] | None:
        """Code one image file; see :meth:`predict_all`."""
        return self.predict_all([path], None if sample is None else [sample])[0]

    def predict_all(
        self, paths: list[str], samples: Sequence[fo.Sample] | None = None
    ) -> list[dict[str, Any] | None]:
        """Code image files.

        Args:
            paths: N files.
            samples: Their samples, whose dataset is tidied up at the end.

        Returns:
            For each path a dict of field suffix -> value, or None if it could not be read or is
            the placeholder of a picture that has not been drawn.
        """
        for sample in samples or ():
            dataset = sample._dataset._root_dataset
            self._datasets[dataset.name] = dataset
        drawn = [i for i, path in enumerate(paths) if not is_placeholder(path)]
        made = self._encoder.encode_images([paths[i] for i in drawn])
        reasons = {drawn[i]: why for i, why in made.failures.items()}
        reasons.update({i: NOT_DRAWN for i in set(range(len(paths))) - set(drawn)})
        for i, why in reasons.items():
            logger.warning("Skipped %s: %s", paths[i], why)
        results: list[dict[str, Any] | None] = [None] * len(paths)
        if len(made.indices):
            codes = self._dictionary.transform(made.latents)
            columns = code_columns(
                self._dictionary, codes, made.latents, self._names, digest=self._digest
            )
            for row, i in enumerate(drawn[int(i)] for i in made.indices):
                results[i] = {suffix: column[row] for suffix, column in columns.items()}
        return results


def load_model(
    key_or_archive: str | Path,
    dataset: SampleCollection | str | None = None,
    *,
    encoder: str | None = None,
    prior: Prior | str | os.PathLike[str] | None = None,
    device: str | None = None,
) -> SMICModel:
    """Load a model for ``dataset.apply_model(model, label_field=key)``.

    It codes new samples with a dictionary that exists and leaves the codes of all others alone.

    Args:
        key_or_archive: A dictionary's key, or the path of a ``.smic`` file.
        dataset: The dataset that holds the key, or its name; by default the only one that has it.
        encoder: The name to load the encoder by, needed where its identity is not enough: for a
            ``local-dir:`` that moved, or one that an archive was made with.
        prior: For an archive that was written with a prior of one's own: that prior, or its file.
            A dictionary of a dataset holds its prior itself.
        device: A torch device, by default the best there is.

    Returns:
        A model. Applied with ``label_field="smic"`` it writes ``smic_atoms`` and its companions.

    Raises:
        ValueError: The key cannot be found, or its encoder is not here.
        ArchiveError: The archive cannot be read, or needs a prior.

    Example:
        >>> import fiftyone_smic as smic
        >>> dataset = smic.load_postcards(12, overwrite=True, progress=False)
        >>> _ = smic.compute_latents(dataset[:10], progress=False)
        >>> _ = smic.learn_dictionary(dataset[:10], n_atoms=4, progress=False)
        >>> model = smic.load_model("smic", dataset)
        >>> dataset[10:].apply_model(model, label_field="smic", progress=False)
        >>> dataset.count("smic_bits")
        2
    """
    if dataset is None and (
        Path(key_or_archive).suffix == ".smic" or Path(key_or_archive).is_file()
    ):
        archive = read_archive(key_or_archive, as_prior(prior))
        return SMICModel(archive.dictionary, archive.encoder, encoder, device)
    if prior is not None:
        raise ValueError(
            "prior= is for archives: a dictionary of a dataset holds its prior itself; leave it out"
        )
    key = str(key_or_archive)
    samples = _find(key, dataset)
    config = runs.load_config(samples, key)
    runs.check_of_images(config, key)
    if encoder is None and not EncoderIdentity.parse(config.encoder).known:
        raise ValueError(
            f"the latents of dictionary {key!r} do not say which encoder made them, so new images "
            "cannot be encoded; learn a dictionary on latents of fiftyone_smic.compute_latents, or "
            "say which encoder it was with fiftyone_smic.adopt_latents(dataset, "
            f"{config.latents_field!r}, encoder=…) and learn the dictionary again"
        )
    source = encoder or config.encoder_source
    dictionary, names = runs.load_dictionary(samples, key), runs.atom_names(samples, key)
    return SMICModel(dictionary, config.encoder, source, device, names, config.digest)


def _find(key: str, dataset: SampleCollection | str | None) -> SampleCollection:
    if isinstance(dataset, str):
        return fo.load_dataset(dataset)
    if dataset is not None:
        return dataset
    # Only datasets that have the key are opened: others may be of a newer FiftyOne.
    holding = foo.get_db_conn().datasets.find({f"runs.{key}": {"$exists": True}}, {"name": True})
    holders, closed = [], []
    for name in sorted(document["name"] for document in holding):
        try:
            found = fo.load_dataset(name)
            if key in runs.list_dictionaries(found):
                holders.append(found)
        except Exception as error:  # FiftyOne raises almost anything on what it does not know
            closed.append(f"{name!r} cannot be opened here ({error})")
    if len(holders) != 1:
        names = [found.name for found in holders]
        there = f"datasets {names} have one" if holders else "no dataset has one"
        where = "; ".join([there, *closed])
        raise ValueError(
            f"cannot tell which dictionary {key!r} is meant: {where}; say which dataset with "
            f"load_model({key!r}, dataset=…), or give the path of a .smic file"
        )
    return holders[0]
