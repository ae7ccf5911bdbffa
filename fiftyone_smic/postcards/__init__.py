"""The drawn collection ("postcards") and the training of the two small models that ship with it.

Nothing but the command line, the demo and the tests needs this package; the trained models lie in
:mod:`fiftyone_smic.models.embedded`.
"""
