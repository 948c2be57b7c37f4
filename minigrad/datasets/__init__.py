"""Small data sets that are at hand without a download: tables, names and text.

The tables come from scikit-learn (``pip install 'minigrad[datasets]'``), the names with the package
(NAMES.md), the text from Python's own documentation or from any file.
"""

from .table import Standardization, Table
from .tables import breast_cancer, diabetes, iris, wine
from .text import Names, Text, Vocabulary, names, text

__all__ = [
    "Names",
    "Standardization",
    "Table",
    "Text",
    "Vocabulary",
    "breast_cancer",
    "diabetes",
    "iris",
    "names",
    "text",
    "wine",
]
