"""Rows: padding."""

from __future__ import annotations

import numpy as np
from op_table import ALL, Real, Row

NUMPY_MODES = {"constant": {}, "reflect": {}, "replicate": {"mode": "edge"}, "circular": {}}
NUMPY_MODES["reflect"] = {"mode": "reflect"}
NUMPY_MODES["circular"] = {"mode": "wrap"}


def _padded(x, margins, mode="constant", value=None):
    """numpy.pad with torch's margins; negative ones cut off first."""
    pairs = [(0, 0)] * (x.ndim - len(margins) // 2)
    pairs += [(margins[2 * i], margins[2 * i + 1]) for i in reversed(range(len(margins) // 2))]
    extra = {"constant_values": value or 0} if mode == "constant" else {}
    wide = np.pad(x, [(max(a, 0), max(b, 0)) for a, b in pairs], **NUMPY_MODES[mode], **extra)
    return wide[
        tuple(slice(-min(a, 0), n + min(b, 0)) for n, (a, b) in zip(wide.shape, pairs, strict=True))
    ]


def _row(name, shape, margins, *options, **more):
    return Row(
        f"F.pad {name}",
        lambda m, x: m.nn.functional.pad(x, margins, *options),
        [(Real(shape),)],
        lambda x: _padded(x, margins, *options),
        **more,
    )


ROWS = [
    _row("constant", (2, 3), (1, 2), dtypes=ALL),
    _row("constant value", (2, 3, 2), (1, 2, 0, 1), "constant", 1.5),
    _row("constant three", (2, 2, 3, 2), (1, 0, 0, 2, 1, 1), "constant", -2.0),
    _row("constant four", (2, 2, 3, 2), (1, 0, 0, 2, 1, 1, 0, 1), "constant", 2.0),
    _row("constant first only", (2, 2, 1, 3, 2), (0, 0, 0, 0, 0, 0, 0, 0, 2, 1), "constant", 1.0),
    _row("constant negative", (3, 5), (-1, 2, 1, -1), "constant", 0.5),
    _row("constant cut", (3, 5), (-1, -2, 0, -1)),
    _row("constant all cut", (3, 5), (-2, -3)),
    _row("constant of nothing", (2, 0, 3), (1, 1, 2, 0), "constant", 3.0),
    _row(
        "constant integers",
        (2, 3),
        (1, 1),
        "constant",
        3,
        dtypes=("uint8", "int64"),
        differentiable=False,
    ),
    _row("constant no margins", (2, 3), ()),
    _row("constant wide", (2, 70), (40, 50, 1, 1)),
    _row("reflect 1", (2, 3, 5), (2, 3), "reflect"),
    _row("reflect 1 unbatched", (3, 4), (3, 0), "reflect"),
    _row("reflect 1 integers", (3, 4), (1, 2), "reflect", dtypes=("int64",), differentiable=False),
    _row("reflect 2", (2, 2, 3, 4), (1, 2, 2, 0), "reflect"),
    _row("reflect 2 negative", (1, 4, 5), (-1, 2, 1, -2), "reflect"),
    _row("reflect 3", (1, 2, 2, 3, 3), (1, 2, 0, 1, 1, 1), "reflect"),
    _row("reflect empty batch", (0, 2, 3), (1, 1), "reflect"),
    _row("replicate 1", (2, 3, 2), (4, 3), "replicate"),
    _row("replicate 2", (2, 2, 3, 1), (1, 2, 2, 0), "replicate"),
    _row("replicate 2 negative", (1, 4, 5), (-1, 2, 1, -2), "replicate"),
    _row("replicate 3", (2, 2, 1, 2), (1, 2, 0, 1, 1, 3), "replicate"),
    _row("circular 1", (2, 3, 3), (3, 2), "circular"),
    _row(
        "circular 1 integers",
        (2, 3, 3),
        (3, 2),
        "circular",
        dtypes=("int64",),
        differentiable=False,
    ),
    _row("circular 2", (2, 2, 3, 4), (1, 2, 3, 0), "circular"),
    _row("circular 3", (1, 2, 2, 3, 2), (1, 2, 0, 1, 1, 1), "circular"),
]
