from .comparing import Comparison, compare
from .duplicates import Duplicates, Leaks, SameMeaning, leaks, near_duplicates, same_meaning
from .expressions import ExpressionError, Match, match
from .labels import Associations, LabelIssues, associations, label_issues
from .rarity import Rarity, rare
from .results import Rows
from .searching import Found, search
from .selection import Selection, select
from .slices import WeakSlices, weak_slices
from .streaming import search_archive
from .surprise import Novelty, Outliers, novelty, outliers

__all__ = [
    "Associations",
    "Comparison",
    "Duplicates",
    "ExpressionError",
    "Found",
    "LabelIssues",
    "Leaks",
    "Match",
    "Novelty",
    "Outliers",
    "Rarity",
    "Rows",
    "SameMeaning",
    "Selection",
    "WeakSlices",
    "associations",
    "compare",
    "label_issues",
    "leaks",
    "match",
    "near_duplicates",
    "novelty",
    "outliers",
    "rare",
    "same_meaning",
    "search",
    "search_archive",
    "select",
    "weak_slices",
]
