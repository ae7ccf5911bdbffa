from .compress import compress
from .decompress import Drawn, decompress
from .mapping import RayMap, connect
from .sources import Shards, open_shards

__all__ = ["Drawn", "RayMap", "Shards", "compress", "connect", "decompress", "open_shards"]
