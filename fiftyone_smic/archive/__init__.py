"""The .smic archive: a dictionary and a collection's codes in one file.

``docs/format.md`` is the specification of the format, precise enough for a second
reader. The public names stand in ``__init__.pyi``, each imported when it is first used: what only
reads a header loads neither numpy nor numba.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
