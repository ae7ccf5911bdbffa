"""FiftyOne side of the library: it reads sample fields, calls the codec, writes sample fields.

Only this subpackage imports ``fiftyone``. Everything takes a dataset or a view, works in bulk,
and writes nothing before everything has been computed. The public names stand in
``__init__.pyi``, each imported when it is first used: a
form in the App needs the stored dictionaries' names, not the models.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
