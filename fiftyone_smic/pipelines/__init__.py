"""A folder of images to an archive and back, what image codecs take, and reports."""
