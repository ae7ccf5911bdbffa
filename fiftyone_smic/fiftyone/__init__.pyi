from . import types
from .adoption import AdoptionReport, adopt_latents
from .apply_model import load_model
from .archives import export_archive, import_archive
from .atom_views import match_atom
from .cleanup import Removal, remove_all
from .clones import adopt_dictionary
from .code_import import ImportReport, import_codes
from .codes import rebuilt_latents
from .compression import CompressionReport, compress_dataset
from .curated import CurationReport
from .curation import find_leaks, find_near_duplicates, find_outliers, search, select_subset
from .drawings import DrawingsReport, measure_drawings
from .encoding import EncodeReport, encode
from .explaining import compare, explain_labels, find_label_issues, find_novel, find_weak_slices
from .expressions import match
from .fields import dictionary_fields
from .keys import list_dictionaries
from .latent_rows import LatentsReport
from .latents import compute_latents
from .learning import learn_dictionary
from .management import (
    compare_dictionaries,
    delete_dictionary,
    describe_dictionary,
    rename_dictionary,
)
from .map_figure import AtomsVisualization
from .mixing import Recipe, draw_atom, keep_picture, mix
from .names import NamesReport, name_atoms, set_atom_names
from .postcards import load_postcards
from .regeneration import RegenerateReport, regenerate
from .runs import atom_names, load_dictionary
from .settling import settle_codes
from .similarity import compute_similarity
from .statistics import atom_statistics, describe_atom
from .storage import StorageReport, measure_storage
from .visualization import visualize_atoms

__all__ = [
    "AdoptionReport",
    "AtomsVisualization",
    "CompressionReport",
    "CurationReport",
    "DrawingsReport",
    "EncodeReport",
    "ImportReport",
    "LatentsReport",
    "NamesReport",
    "Recipe",
    "RegenerateReport",
    "Removal",
    "StorageReport",
    "adopt_dictionary",
    "adopt_latents",
    "atom_names",
    "atom_statistics",
    "compare",
    "compare_dictionaries",
    "compress_dataset",
    "compute_latents",
    "compute_similarity",
    "delete_dictionary",
    "describe_atom",
    "describe_dictionary",
    "dictionary_fields",
    "draw_atom",
    "encode",
    "explain_labels",
    "export_archive",
    "find_label_issues",
    "find_leaks",
    "find_near_duplicates",
    "find_novel",
    "find_outliers",
    "find_weak_slices",
    "import_archive",
    "import_codes",
    "keep_picture",
    "learn_dictionary",
    "list_dictionaries",
    "load_dictionary",
    "load_model",
    "load_postcards",
    "match",
    "match_atom",
    "measure_drawings",
    "measure_storage",
    "mix",
    "name_atoms",
    "rebuilt_latents",
    "regenerate",
    "remove_all",
    "rename_dictionary",
    "search",
    "select_subset",
    "set_atom_names",
    "settle_codes",
    "types",
    "visualize_atoms",
]
