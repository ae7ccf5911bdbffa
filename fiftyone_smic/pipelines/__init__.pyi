from .append import Appended, NothingNew, append_folder
from .census import Census, take_census
from .compress import Compressed, compress_folder
from .decompress import Regenerated, decompress_archive

__all__ = [
    "Appended",
    "Census",
    "Compressed",
    "NothingNew",
    "Regenerated",
    "append_folder",
    "compress_folder",
    "decompress_archive",
    "take_census",
]
