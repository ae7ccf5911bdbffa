from .estimator import SemanticDictionary
from .priors import Prior

__all__ = ["Prior", "SemanticDictionary"]
