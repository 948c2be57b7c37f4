"""Classic tables, from the copies that scikit-learn carries."""

from __future__ import annotations

from typing import Any

from ..dtypes import get_default_dtype
from ..ops.creation import tensor
from .table import Table, class_tensor


def iris() -> Table:
    """150 flowers of 3 species; 4 lengths in cm. R. A. Fisher (1936)."""
    return _load("iris")


def wine() -> Table:
    """178 wines from 3 growers; 13 chemical measurements. M. Forina et al. (1991), UCI."""
    return _load("wine")


def breast_cancer() -> Table:
    """569 tumours, malignant (0) or benign (1); 30 measurements of the cells' nuclei.
    W. H. Wolberg, W. N. Street, O. L. Mangasarian (1993), UCI."""
    return _load("breast_cancer")


def diabetes(*, scaled: bool = False) -> Table:
    """442 patients; 10 measurements; the target is a value, the progression after a year.

    The measurements as they were taken; with `scaled`, scikit-learn's form of them, each of mean 0
    and of norm 1. B. Efron et al. (2004), Least Angle Regression.
    """
    return _load("diabetes", scaled=scaled)


def _load(name: str, **options: Any) -> Table:
    try:
        from sklearn import datasets as source
    except ImportError as error:
        raise ImportError(
            f"minigrad.datasets.{name} reads scikit-learn's copy: "
            "pip install 'minigrad[datasets]' (or scikit-learn)"
        ) from error
    found = getattr(source, f"load_{name}")(**options)
    classes = found.get("target_names")
    # Values keep their unit; classes count from 0.
    target = (
        tensor(found.target, dtype=get_default_dtype())
        if classes is None
        else class_tensor(found.target)
    )
    return Table(
        name,
        tensor(found.data, dtype=get_default_dtype()),
        target,
        [str(each) for each in found.feature_names],
        None if classes is None else [str(each) for each in classes],
    )
