from .estimator import SemanticDictionary
from .metric import Metric
from .priors import Prior

__all__ = ["Metric", "Prior", "SemanticDictionary"]
