"""Latents to atoms and codes: the semantic dictionary, its pursuit, its priors.

The public names stand in ``__init__.pyi``, each imported when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
