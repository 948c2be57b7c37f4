"""Makes `digits.npz`, the data set that the package carries, from scikit-learn's copy of it.

    python -m minigrad.vision.make_digits            writes the file next to this script
    python -m minigrad.vision.make_digits --check    compares: status 0 where it is the same

Source: E. Alpaydin and C. Kaynak (1998), Optical Recognition of Handwritten Digits, UCI Machine
Learning Repository, https://doi.org/10.24432/C50P49, licence CC BY 4.0. scikit-learn carries the
test part of that set: 1,797 images of 8 x 8 pixels, each pixel a count from 0 to 16. The pixels and
the labels are unchanged; what is added is the fixed split into training and test images.

The split takes a fifth of each class for the test: of every five images of a class that follow one
another in the source, the middle one. So it is spread evenly over the source, has the same share of
each class, and depends on no random stream and on no library version.

The file holds three uint8 arrays: `images` (1797, 8, 8), `labels` (1797) and `test` (1797), 1 where
the image belongs to the test part. The archive is written with fixed dates, so that the same zlib
gives the same bytes.
"""

from __future__ import annotations

import argparse
import collections
import io
import sys
import zipfile
from pathlib import Path

import numpy

TARGET = Path(__file__).with_name("digits.npz")


def split(labels: numpy.ndarray) -> numpy.ndarray:
    """1 for the images of the test part: the middle one of each five of a class. Shape (N),
    uint8."""
    test = numpy.zeros(len(labels), dtype=numpy.uint8)
    seen: collections.Counter[int] = collections.Counter()
    for index, label in enumerate(labels.tolist()):
        test[index] = seen[label] % 5 == 2
        seen[label] += 1
    return test


def archive(arrays: dict[str, numpy.ndarray]) -> bytes:
    """An .npz archive whose bytes depend on the arrays (and on zlib) alone."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            entry.create_system = 3
            content = io.BytesIO()
            numpy.lib.format.write_array(content, array, version=(1, 0), allow_pickle=False)
            target.writestr(entry, content.getvalue(), compresslevel=9)
    return buffer.getvalue()


def make() -> dict[str, numpy.ndarray]:
    """Reads scikit-learn's copy and adds the split."""
    from sklearn.datasets import load_digits  # only this script needs scikit-learn

    source = load_digits()
    images = source.images.astype(numpy.uint8)
    labels = source.target.astype(numpy.uint8)
    if images.shape != (1797, 8, 8) or images.max() != 16 or (images != source.images).any():
        raise SystemExit("scikit-learn's copy of the digits is not the one that is known here")
    return {"images": images, "labels": labels, "test": split(labels)}


def main() -> int:
    """Writes or, with --check, compares the file."""
    parser = argparse.ArgumentParser(description="Makes digits.npz from scikit-learn's copy.")
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    options = parser.parse_args()
    arrays = make()
    if not options.check:
        TARGET.write_bytes(archive(arrays))
        print(f"{TARGET.name}: {TARGET.stat().st_size} bytes, {arrays['test'].sum()} test images")
        return 0
    with numpy.load(TARGET) as stored:
        same = set(stored.files) == set(arrays) and all(
            stored[name].dtype == array.dtype and numpy.array_equal(stored[name], array)
            for name, array in arrays.items()
        )
    same_bytes = TARGET.read_bytes() == archive(arrays)
    print(
        f"contents {'same' if same else 'DIFFERENT'}, bytes {'same' if same_bytes else 'different'}"
    )
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
