from .blocks import item_distortion
from .errors import (
    ArchiveError,
    ArchiveLockedError,
    ArchiveVersionError,
    ArchiveWarning,
    DamagedArchiveError,
    NotAnArchiveError,
    PriorMissingError,
    TruncatedArchiveError,
    UnknownSectionError,
)
from .info import archive_info
from .rate_control import learn_to_target
from .reader import Archive, decode_archive, iter_archive, read_archive
from .writer import append_archive, encode_archive, write_archive

__all__ = [
    "Archive",
    "ArchiveError",
    "ArchiveLockedError",
    "ArchiveVersionError",
    "ArchiveWarning",
    "DamagedArchiveError",
    "NotAnArchiveError",
    "PriorMissingError",
    "TruncatedArchiveError",
    "UnknownSectionError",
    "append_archive",
    "archive_info",
    "decode_archive",
    "encode_archive",
    "item_distortion",
    "iter_archive",
    "learn_to_target",
    "read_archive",
    "write_archive",
]
