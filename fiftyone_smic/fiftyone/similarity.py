"""A similarity index of FiftyOne on codes: search and duplicates without stored embeddings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import fiftyone.core.models as fom
import numpy as np
from fiftyone.brain.internal.core.sklearn import (
    SklearnSimilarity,
    SklearnSimilarityConfig,
    SklearnSimilarityIndex,
)
from fiftyone.core.collections import SampleCollection
from sklearn.neighbors import NearestNeighbors

from fiftyone_smic.fiftyone import fields, runs
from fiftyone_smic.fiftyone.codes import read_codes
from fiftyone_smic.fiftyone.collections import image_samples, tell
from fiftyone_smic.fiftyone.keys import METHOD
from fiftyone_smic.fiftyone.progress import connected
from fiftyone_smic.models.encoders import Encoder, load_matching
from fiftyone_smic.models.identity import EncoderIdentity
from fiftyone_smic.utils.defaults import KEY
from fiftyone_smic.utils.vectors import unit


class SMICSimilarityConfig(SklearnSimilarityConfig):
    """What a dataset keeps about an index on codes.

    Attributes:
        key: The dictionary whose codes are searched.
    """

    def __init__(self, key: str = KEY, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.key = key

    @property
    def method(self) -> str:
        return METHOD


class SMICSimilarity(SklearnSimilarity):
    """Makes the index; FiftyOne finds this class by the name of its config."""

    def initialize(self, samples: SampleCollection, brain_key: str) -> SMICSimilarityIndex:
        return SMICSimilarityIndex(samples, self.config, brain_key, backend=self)


class SMICSimilarityIndex(SklearnSimilarityIndex):
    """An index that reads codes when it is loaded and stores no vectors.

    Its embeddings are what the codes rebuild, less the dictionary's mean: what all items have in
    common tells nothing apart, and texts lie apart from images along it. The same is taken from
    queries. :meth:`reload` reads the codes again.
    """

    _model: fom.Model | None
    _neighbors_helper: tuple[Any, NearestNeighbors] | None

    @staticmethod
    def _parse_data(
        samples: SampleCollection, config: SMICSimilarityConfig, **_: Any
    ) -> tuple[np.ndarray, np.ndarray, None]:
        dataset = samples._root_dataset
        runs.check_of_images(runs.load_config(dataset, config.key), config.key)
        dictionary = runs.load_dictionary(dataset, config.key)
        ids, _paths, codes = read_codes(
            fields.everything(dataset), config.key, int(dictionary.n_atoms_)
        )
        moved = dictionary.inverse_transform(codes) - dictionary.mean_
        return unit(moved).astype(np.float32), np.array(ids), None

    @property
    def is_external(self) -> bool:
        return True

    def attributes(self) -> list[str]:
        return [
            a for a in super().attributes() if a not in ("embeddings", "sample_ids", "label_ids")
        ]

    def reload(self) -> None:
        self._embeddings, self._sample_ids, self._label_ids = self._parse_data(
            self._dataset, self.config
        )
        self._ids_to_inds = self._curr_ids_to_inds = self._neighbors_helper = None
        super().reload()

    def add_to_index(self, *_: Any, **__: Any) -> None:
        """Refuse: the codes are the index."""
        raise ValueError(_READ_ONLY.format(key=self.config.key))

    def remove_from_index(self, *_: Any, **__: Any) -> None:
        """Refuse: the codes are the index."""
        raise ValueError(_READ_ONLY.format(key=self.config.key))

    def get_model(self) -> fom.Model:
        """Return the encoder of the dictionary's latents, which embeds prompts."""
        if self._model is None:
            self._model = _Prompts(text_encoder(self._dataset, self.config.key))
        return self._model

    def _parse_query(self, query: Any) -> Any:
        parsed = super()._parse_query(query)
        if not isinstance(parsed, np.ndarray):
            return parsed
        mean = runs.load_dictionary(self._dataset, self.config.key).mean_
        if parsed.shape[-1] != len(mean):
            raise ValueError(
                f"a query has {parsed.shape[-1]} numbers and the latents of dictionary "
                f"{self.config.key!r} have {len(mean)}; embed it with the encoder that made them"
            )
        along = unit(mean[None])[0]
        return parsed - np.multiply.outer(parsed @ along, along)

    def _get_neighbors(
        self, can_use_neighbors: bool = True, can_use_dists: bool = True
    ) -> tuple[NearestNeighbors | None, None]:
        """Return neighbours within the current view, and no N x N distances.

        FiftyOne's own helper subtracts another mean from the embeddings in place, so that an answer
        depends on what was asked before.
        """
        if not can_use_neighbors:
            return None, None
        kept = self._current_inds
        if self._neighbors_helper is None or not np.array_equal(self._neighbors_helper[0], kept):
            rows = self._embeddings if kept is None else self._embeddings[kept]
            self._neighbors_helper = kept, NearestNeighbors(metric="cosine").fit(rows)
        return self._neighbors_helper[1], None

    @classmethod
    def _from_dict(
        cls,
        d: dict[str, Any],
        samples: SampleCollection,
        config: SMICSimilarityConfig,
        brain_key: str,
    ) -> SMICSimilarityIndex:
        return cls(samples, config, brain_key)


_READ_ONLY = (
    "the codes of dictionary {key!r} are this index, so nothing can be put into it or taken out of "
    "it by itself; write codes with fiftyone_smic.encode(view, key={key!r}) and call reload()"
)


class _Prompts(fom.Model, fom.EmbeddingsMixin, fom.PromptMixin):
    """An encoder as FiftyOne asks for prompts."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    @property
    def media_type(self) -> str:
        return "image"

    @property
    def ragged_batches(self) -> bool:
        return True

    @property
    def transforms(self) -> None:
        return None

    @property
    def preprocess(self) -> bool:
        return False

    @preprocess.setter
    def preprocess(self, value: bool) -> None:
        pass

    @property
    def has_logits(self) -> bool:
        return False

    @property
    def can_embed_prompts(self) -> bool:
        return True

    def embed_prompt(self, arg: str) -> np.ndarray:
        return self.embed_prompts([arg])[0]

    def embed_prompts(self, args: Iterable[str]) -> np.ndarray:
        return self._encoder.encode_texts(list(args))


def text_encoder(samples: SampleCollection, key: str, device: str | None = None) -> Encoder:
    """Load the encoder that made the latents of a dictionary, to encode texts for it.

    Args:
        samples: A dataset or view.
        key: A dictionary of the dataset.
        device: A torch device, by default the best there is.

    Raises:
        ValueError: The latents do not say which encoder made them, or it knows no texts.
    """
    config = runs.load_config(samples, key)
    otherwise = "search by the id of a sample or by a latent instead"
    if not EncoderIdentity.parse(config.encoder).known:
        raise ValueError(
            f"the latents of dictionary {key!r} do not say which encoder made them, so no text can "
            f"be compared with them; {otherwise}"
        )
    encoder = load_matching(config.encoder, config.encoder_source, device=device)
    tell(encoder.notice)
    if not knows_texts(encoder):
        raise ValueError(
            f"the encoder {config.encoder!r} of dictionary {key!r} knows images only and no texts; "
            f"{otherwise}, or compute latents with an encoder that reads texts, such as "
            "'ViT-L-14/openai'"
        )
    return encoder


def knows_texts(encoder: Encoder) -> bool:
    """Return whether an encoder encodes texts at all."""
    if type(encoder).text_features is Encoder.text_features:
        return False
    known = encoder.vocabulary()
    try:
        encoder.encode_texts([known[0] if known else "a photo"])
    except ValueError:
        return False
    return True


@connected()
def compute_similarity(
    samples: SampleCollection, key: str = KEY, brain_key: str | None = None
) -> SMICSimilarityIndex:
    """Let the App and FiftyOne's brain search the codes of a dictionary.

    The App's image and text search, ``sort_by_similarity``, ``find_unique``,
    ``compute_near_duplicates``, ``compute_leaky_splits`` and ``compute_uniqueness`` take the index,
    also where the field of latents was deleted. Nothing but the key is stored: the vectors are
    rebuilt from codes when the index is loaded, and ``reload()`` reads codes that were written
    since. The index is deleted with its dictionary.

    Args:
        samples: A dataset; of a view the whole dataset is indexed, as FiftyOne does.
        key: A dictionary of the dataset.
        brain_key: Key of the brain run, by default ``<key>_similarity``. An earlier index on codes
            of that key is replaced.

    Returns:
        The index, a ``SimilarityIndex`` of FiftyOne.

    Raises:
        ValueError: The dataset is empty, the key is not known, no sample has a code, or the brain
            key is one of another brain run.

    Example:
        >>> import fiftyone_smic as smic
        >>> dataset = smic.load_postcards(12, overwrite=True, progress=False)
        >>> _ = smic.compute_latents(dataset, progress=False)
        >>> _ = smic.learn_dictionary(dataset, n_atoms=4, progress=False)
        >>> _ = smic.encode(dataset, progress=False)
        >>> dataset.delete_sample_field("clip_latents")
        >>> index = smic.compute_similarity(dataset)
        >>> view = dataset.sort_by_similarity("night", k=5, brain_key="smic_similarity")
        >>> index.total_index_size, len(view)
        (12, 5)
    """
    samples = image_samples(samples)
    dataset = samples._root_dataset
    brain_key = brain_key or f"{key}_similarity"
    fields.check_key(brain_key)
    config = runs.load_config(dataset, key)
    if brain_key in dataset.list_brain_runs():
        former = dataset.get_brain_info(brain_key).config
        if not isinstance(former, SMICSimilarityConfig):
            raise ValueError(
                f"brain key {brain_key!r} is in use; choose another with brain_key, or delete it "
                f"with dataset.delete_brain_run({brain_key!r})"
            )
    method = SMICSimilarityConfig(key=key, supports_prompts=_prompts(config)).build()
    index = method.initialize(dataset, brain_key)
    if brain_key in dataset.list_brain_runs():
        dataset.delete_brain_run(brain_key)
    method.register_run(dataset, brain_key, overwrite=False)
    try:
        method.save_run_results(dataset, brain_key, index)
    except BaseException:
        dataset.delete_brain_run(brain_key)
        raise
    return index


def _prompts(config: runs.SMICRunConfig) -> bool:
    """Return whether texts can be searched for here: the App shows its text field only then."""
    if not EncoderIdentity.parse(config.encoder).known:
        return False
    try:
        return knows_texts(load_matching(config.encoder, config.encoder_source))
    except (ValueError, OSError, ImportError):  # it is not on this machine
        return False
