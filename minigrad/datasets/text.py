"""Characters as numbers: names, and running text."""

from __future__ import annotations

import csv
import gzip
import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..dtypes import get_default_dtype, int64
from ..ops.creation import arange, tensor
from ..ops.random import Generator, randint
from ..tensor import Tensor
from ..utils.data import Dataset
from .table import class_tensor, split_rows


class Vocabulary:
    """Numbers the distinct characters of a text, in their order in Unicode, from 0 on.

    With `end`, a character that does not occur in the text, number 0 is that one: it stands for the
    end of a sample, and fills what is left of a row.
    """

    def __init__(self, text: str | Iterable[str], end: str | None = None) -> None:
        characters = set().union(*[text] if isinstance(text, str) else text)
        if end is not None and end in characters:
            raise ValueError(f"Vocabulary: the end character {end!r} occurs in the text")
        self.end = end
        self.characters = ("" if end is None else end) + "".join(sorted(characters))
        self._numbers = {character: number for number, character in enumerate(self.characters)}

    def __len__(self) -> int:
        return len(self.characters)

    def numbers(self, text: str) -> list[int]:
        """The number of each character; KeyError where one is unknown."""
        try:
            return [self._numbers[character] for character in text]
        except KeyError as error:
            raise KeyError(
                f"Vocabulary: character {error.args[0]!r} is not one of {self.characters!r}"
            ) from None

    def encode(self, text: str) -> Tensor:
        """The numbers of the characters, int64, shape (length)."""
        return tensor(self.numbers(text), dtype=int64)

    def decode(self, numbers: Any) -> str:
        """The characters of a tensor or a sequence of numbers; up to the end character, if
        any."""
        values = numbers.tolist() if isinstance(numbers, Tensor) else numbers
        text = "".join([self.characters[value] for value in values])
        return text if self.end is None else text.split(self.end, 1)[0]

    def __repr__(self) -> str:
        return f"Vocabulary({self.characters!r})"


class Names(Dataset[tuple[Tensor, Tensor]]):
    """Names in numbers. Sample i is ``(data[i], target[i])``.

    ``names``: the strings. ``vocabulary``: of their characters, with "." (number 0) for the end.
    ``data``: int64 (N, L + 1), a name per row, filled with 0 to one more than the longest name of
    the whole list. ``lengths``: int64 (N). ``target``: the class, int64 (N), with
    ``target_names``. ``share``: how common a name is, in percent of all of its class, (N).

    A model of characters learns ``data`` from ``data`` shifted by one, with 0 before the first.
    """

    def __init__(
        self,
        names: Iterable[str],
        target: Iterable[int],
        share: Iterable[float],
        target_names: tuple[str, ...],
        *,
        vocabulary: Vocabulary | None = None,
        width: int | None = None,
    ) -> None:
        self.names = tuple(names)
        self.vocabulary = Vocabulary(self.names, end=".") if vocabulary is None else vocabulary
        self.width = max(map(len, self.names)) + 1 if width is None else width
        rows = [self.vocabulary.numbers(name) for name in self.names]
        self.data = tensor([row + [0] * (self.width - len(row)) for row in rows], dtype=int64)
        self.lengths = tensor([len(row) for row in rows], dtype=int64)
        self.target = class_tensor(list(target))
        self.target_names = target_names
        self.share = tensor(list(share), dtype=get_default_dtype())

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: Any) -> tuple[Tensor, Tensor]:
        return self.data[index], self.target[index]

    def whole_tensors(self) -> tuple[Tensor, Tensor]:
        """``data`` and ``target``, out of which a DataLoader cuts its batches."""
        return self.data, self.target

    def split(self, test: float | int = 0.1, *, seed: int = 0) -> tuple[Names, Names]:
        """(training names, test names), drawn at random, each class in proportion; the same ones
        for the same seed. A name that is in two classes is in one part only."""
        first: dict[str, int] = {}
        for row, name in enumerate(self.names):
            first.setdefault(name, row)
        distinct = list(first.values())
        targets = self.target.tolist()
        chosen = split_rows(len(distinct), test, seed, [targets[row] for row in distinct])
        test_names = {self.names[distinct[position]] for position in chosen}
        rows = range(len(self))
        return (
            self._rows([row for row in rows if self.names[row] not in test_names]),
            self._rows([row for row in rows if self.names[row] in test_names]),
        )

    def _rows(self, rows: list[int]) -> Names:
        target, share = self.target.tolist(), self.share.tolist()
        return Names(
            [self.names[row] for row in rows],
            [target[row] for row in rows],
            [share[row] for row in rows],
            self.target_names,
            vocabulary=self.vocabulary,
            width=self.width,
        )

    def __repr__(self) -> str:
        return f"Names({len(self)} names, {len(self.vocabulary)} characters)"


def names() -> Names:
    """5,494 first names of the 1990 census of the United States, in lower case: 4,275 of women
    (class 0) and 1,219 of men (1), the commonest first; 331 are in both classes. Public domain;
    NAMES.md tells where they are from.
    """
    content = gzip.decompress(Path(__file__).with_name("names.csv.gz").read_bytes()).decode()
    rows = list(csv.DictReader(content.splitlines()))
    classes = ("female", "male")
    return Names(
        [row["name"] for row in rows],
        [classes.index(row["sex"]) for row in rows],
        [float(row["percent"]) for row in rows],
        classes,
    )


class Text:
    """Running text in numbers.

    ``text``: the string. ``vocabulary``: of its characters. ``data``: the number of each character,
    int64 (N). ``source``: where it is from.
    """

    def __init__(self, text: str, source: str, *, vocabulary: Vocabulary | None = None) -> None:
        if not text:
            raise ValueError(f"the text of {source} is empty")
        self.text = text
        self.source = source
        self.vocabulary = Vocabulary(text) if vocabulary is None else vocabulary
        self.data = self.vocabulary.encode(text)

    def __len__(self) -> int:
        return len(self.text)

    def split(self, test: float | int = 0.1) -> tuple[Text, Text]:
        """(first part, last part): neighbouring characters are alike, so the test is the end of the
        text, a fraction or a number of characters."""
        number = test if isinstance(test, int) else round(len(self) * test)
        if not 0 < number < len(self):
            raise ValueError(f"split: test={test} leaves one part of {len(self)} characters empty")
        at = len(self) - number
        return tuple(
            Text(part, self.source, vocabulary=self.vocabulary)
            for part in (self.text[:at], self.text[at:])
        )  # type: ignore[return-value]

    def batch(
        self, size: int, length: int, *, generator: Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """`size` pieces at random places: inputs and targets, both int64 (size, length). The
        targets are the inputs moved on by one character."""
        last = len(self) - length - 1
        if last < 0:
            raise ValueError(
                f"batch: pieces of length={length} and the character after need a text of "
                f"{length + 1}, this one has {len(self)}"
            )
        starts = randint(0, last + 1, (size, 1), generator=generator)
        places = starts + arange(length)
        return self.data[places], self.data[places + 1]

    def __repr__(self) -> str:
        return (
            f"Text({len(self)} characters, {len(self.vocabulary)} distinct, from {self.source!r})"
        )


def text(path: str | os.PathLike[str] | None = None, *, encoding: str = "utf-8") -> Text:
    """The text of a file; without a path, the reference of the Python language that every Python
    carries for its ``help()`` (some 400,000 characters; Python's licence; it changes with
    Python's version).
    """
    if path is None:
        return Text(_language_reference(), "pydoc_data.topics")
    return Text(Path(path).read_text(encoding=encoding), os.fspath(path))


@lru_cache(maxsize=1)
def _language_reference() -> str:
    from pydoc_data.topics import topics

    whole = "\n\n".join(topics[name].strip() for name in sorted(topics)) + "\n"
    # Two dozen typographic characters would each cost a number of the vocabulary.
    plain = whole.translate({0x2018: "'", 0x2019: "'", 0x201C: '"', 0x201D: '"', 0x2026: "..."})
    return plain.encode("ascii", "ignore").decode()
