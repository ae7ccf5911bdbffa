"""Read what an archive says about itself, without numpy or anything else that is slow to load."""

from __future__ import annotations

import os
from typing import Any

from fiftyone_smic.archive.errors import naming
from fiftyone_smic.archive.format import Head, read_blocks, skipped
from fiftyone_smic.archive.primitives import Reader
from fiftyone_smic.archive.sections import KNOWN


def archive_info(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what an archive says about itself; this decodes nothing and takes milliseconds.

    Args:
        path: A ``.smic`` file. Its prior is not needed.

    Returns:
        ``version``, ``items``, ``blocks``, the attributes of
        :class:`fiftyone_smic.archive.format.Head`, and sizes in bytes: ``bytes`` of the whole file,
        and of these ``dictionary_bytes``, ``payload_bytes``, ``names_bytes`` and
        ``distortion_bytes``. ``skipped`` holds the bytes of sections that this version does not
        know, by type; a newer version wrote these.

    Raises:
        ArchiveError: The file is no archive, its header is damaged, or it is truncated.
        OSError: The file cannot be read.

    Example:
        >>> import os, tempfile
        >>> import numpy as np
        >>> from fiftyone_smic.archive import write_archive
        >>> from fiftyone_smic.dictionary import SemanticDictionary
        >>> z = np.random.default_rng(0).normal(size=(20, 6))
        >>> dictionary = SemanticDictionary(4).fit(z)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "x.smic")
        ...     _ = write_archive(path, dictionary, dictionary.transform(z), encoder="me/1")
        ...     info = archive_info(path)
        >>> info["items"], info["dimensions"], info["encoder"], info["named"]
        (20, 6, 'me/1', False)
    """
    with naming(path), open(path, "rb") as file:
        reader = Reader(file)
        head, shared = Head.read(reader)
        blocks = list(read_blocks(reader, head, stop=0))
        size = reader.size
    about = vars(head).copy()
    del about["sections"]
    sizes = {name: 0 for name in KNOWN.values()}
    for block in blocks:
        for kind, name in KNOWN.items():
            section = block.section(kind)
            sizes[name] += section.size if section else 0
    return {
        "version": about.pop("version"),
        "items": sum(block.items for block in blocks),
        "blocks": len(blocks),
        **about,
        "bytes": size,
        "dictionary_bytes": len(shared),
        "payload_bytes": sum(block.codes_size for block in blocks),
        "names_bytes": sum(block.names_size for block in blocks),
        **{f"{name}_bytes": found for name, found in sizes.items()},
        "skipped": skipped(head, blocks),
    }
