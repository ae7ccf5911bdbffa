"""Collections larger than one machine, on Ray: ``pip install 'fiftyone_smic[cluster]'``.

The computations are those of :mod:`fiftyone_smic.pipelines.blocks`, so the file has the bytes that
one process writes. This package finds the sources, encodes pictures with a pool of actors, and runs
the jobs on the nodes. It is the only part that imports Ray.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
