"""Compress an image collection by its meaning, inside FiftyOne.

A CLIP encoder turns every image into a latent, a dictionary of semantic atoms is learned on the
collection, each image becomes a few (atom, coefficient) pairs, and an unCLIP model draws it again.
After Bachard and Maugey, *SMIC: Semantic Multi-Item Compression based on CLIP dictionary*,
arXiv 2412.05035.

The public names stand in ``__init__.pyi``. Each is imported when it is first used, so that
``import fiftyone_smic`` stays fast.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

__version__ = "0.1.0"
