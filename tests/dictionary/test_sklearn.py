"""SemanticDictionary keeps scikit-learn's promises."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from fiftyone_smic.dictionary import SemanticDictionary


@parametrize_with_checks([SemanticDictionary(max_iter=2, n_swaps=0)])
def test_scikit_learn_checks(estimator, check):
    check(estimator)
