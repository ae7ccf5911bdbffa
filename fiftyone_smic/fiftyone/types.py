"""``SMICDataset``: a FiftyOne dataset on disk whose pictures are a ``.smic`` file.

A folder (or, by FiftyOne's own doing, a ``.zip``) with three parts:

- ``codes.smic``: the dictionary, and the codes of the samples in the samples' order
- ``fiftyone/``: everything else in FiftyOne's own serialisation, as ``FiftyOneDataset`` writes it,
  with the files that labels and further media fields own, and the media of samples without a code
- ``smic.json``: what the dataset knows of the dictionary beyond the archive, such as atoms' names

Format 1, of version 0.1.0, had no files in ``fiftyone/``; it is read for good.
"""

from __future__ import annotations

import fiftyone.types as fot

from fiftyone_smic.fiftyone.dataset_export import SMICDatasetExporter
from fiftyone_smic.fiftyone.dataset_import import SMICDatasetImporter

__all__ = ["SMICDataset", "SMICDatasetExporter", "SMICDatasetImporter"]


class SMICDataset(fot.Dataset):
    """The type to give to ``dataset.export`` and ``fiftyone.Dataset.from_dir``."""

    def get_dataset_exporter_cls(self) -> type[SMICDatasetExporter]:
        return SMICDatasetExporter

    def get_dataset_importer_cls(self) -> type[SMICDatasetImporter]:
        return SMICDatasetImporter
