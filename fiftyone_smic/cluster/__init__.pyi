from .compress import compress
from .decompress import Drawn, decompress
from .sources import Shards, open_shards

__all__ = ["Drawn", "Shards", "compress", "decompress", "open_shards"]
