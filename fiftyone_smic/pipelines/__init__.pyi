from .append import Appended, NothingNew, append_folder
from .block_jobs import ArrayLatents
from .blocks import BlocksCompressed, compress_blocks
from .census import Census, take_census
from .compress import Compressed, compress_folder
from .decompress import Regenerated, decompress_archive

__all__ = [
    "Appended",
    "ArrayLatents",
    "BlocksCompressed",
    "Census",
    "Compressed",
    "NothingNew",
    "Regenerated",
    "append_folder",
    "compress_blocks",
    "compress_folder",
    "decompress_archive",
    "take_census",
]
