from .archive.errors import ArchiveError
from .archive.info import archive_info
from .archive.rate_control import learn_to_target
from .archive.reader import Archive, read_archive
from .archive.writer import append_archive, write_archive
from .dictionary.estimator import SemanticDictionary
from .dictionary.priors import Prior
from .fiftyone import types
from .fiftyone.adoption import adopt_latents
from .fiftyone.apply_model import load_model
from .fiftyone.archives import export_archive, import_archive
from .fiftyone.cleanup import remove_all
from .fiftyone.clones import adopt_dictionary
from .fiftyone.code_import import import_codes
from .fiftyone.codes import rebuilt_latents
from .fiftyone.compression import compress_dataset
from .fiftyone.curated import CurationReport
from .fiftyone.curation import (
    find_leaks,
    find_near_duplicates,
    find_outliers,
    search,
    select_subset,
)
from .fiftyone.drawings import measure_drawings
from .fiftyone.encoding import encode
from .fiftyone.explaining import (
    compare,
    explain_labels,
    find_label_issues,
    find_novel,
    find_weak_slices,
)
from .fiftyone.expressions import match
from .fiftyone.keys import list_dictionaries
from .fiftyone.latents import compute_latents
from .fiftyone.learning import learn_dictionary
from .fiftyone.names import name_atoms, set_atom_names
from .fiftyone.postcards import load_postcards
from .fiftyone.regeneration import regenerate
from .fiftyone.runs import load_dictionary
from .fiftyone.similarity import compute_similarity
from .fiftyone.visualization import visualize_atoms
from .metrics import Fidelity, Rate, fidelity
from .models.encoders import load_encoder
from .models.generators import load_generator

__all__ = [
    "Archive",
    "ArchiveError",
    "CurationReport",
    "Fidelity",
    "Prior",
    "Rate",
    "SemanticDictionary",
    "adopt_dictionary",
    "adopt_latents",
    "append_archive",
    "archive_info",
    "compare",
    "compress_dataset",
    "compute_latents",
    "compute_similarity",
    "encode",
    "explain_labels",
    "export_archive",
    "fidelity",
    "find_label_issues",
    "find_leaks",
    "find_near_duplicates",
    "find_novel",
    "find_outliers",
    "find_weak_slices",
    "import_archive",
    "import_codes",
    "learn_dictionary",
    "learn_to_target",
    "list_dictionaries",
    "load_dictionary",
    "load_encoder",
    "load_generator",
    "load_model",
    "load_postcards",
    "match",
    "measure_drawings",
    "name_atoms",
    "read_archive",
    "rebuilt_latents",
    "regenerate",
    "remove_all",
    "search",
    "select_subset",
    "set_atom_names",
    "types",
    "visualize_atoms",
    "write_archive",
]

__version__: str
