"""Find, choose, clean and compare a collection by its codes alone.

Every function takes ``(dictionary, codes)`` or codes alone, or an archive in their place, and
returns a small frozen result that prints as sentences and turns into rows. Nothing here needs the
pictures, the latents or FiftyOne. What is a test reports an effect with its interval, a p-value and
a q-value corrected for all tests made (Benjamini and Hochberg 1995).

The public names stand in ``__init__.pyi``, each imported when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
