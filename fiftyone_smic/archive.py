"""The .smic archive: a dictionary and a collection's codes in one file.

The format is described in :mod:`fiftyone_smic.container`, precisely enough for a second reader.
"""

from .info import archive_info
from .reader import ArchiveError
from .reading import Archive, decode_archive, read_archive
from .writing import append_archive, encode_archive, write_archive

__all__ = [
    "Archive",
    "ArchiveError",
    "append_archive",
    "archive_info",
    "decode_archive",
    "encode_archive",
    "read_archive",
    "write_archive",
]
