"""What an archive says about itself, read without numpy or anything else that is slow to load."""

from __future__ import annotations

import os
from typing import Any

from fiftyone_smic.archive.errors import naming
from fiftyone_smic.archive.format import VERSION, Head, read_blocks
from fiftyone_smic.archive.primitives import Reader


def archive_info(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What an archive says about itself; decodes nothing, so it takes milliseconds.

    Returns:
        version, items, blocks, the fields of :class:`Head`, and bytes: of the whole file, and
        dictionary_bytes, payload_bytes and names_bytes of it.

    Raises:
        ArchiveError: the file is not an archive, its header is damaged, or it is truncated.
        OSError: it cannot be read.
    """
    with naming(path), open(path, "rb") as file:
        reader = Reader(file)
        head, shared = Head.read(reader)
        blocks = list(read_blocks(reader, head.named, stop=0))
        size = reader.size
    return {
        "version": VERSION,
        "items": sum(block.items for block in blocks),
        "blocks": len(blocks),
        **vars(head),
        "bytes": size,
        "dictionary_bytes": len(shared),
        "payload_bytes": sum(block.codes_size for block in blocks),
        "names_bytes": sum(block.names_size for block in blocks),
    }
