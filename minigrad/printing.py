"""Tensors as text, character for character as torch prints them.

All elements of a tensor share one number format, chosen from the values shown: whole floats print
as ``3.``, others with ``precision`` decimals, and a wide range of magnitudes switches to scientific
notation. A tensor of more than ``threshold`` elements shows ``edgeitems`` at both ends of each
dimension.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .dtypes import get_default_dtype


@dataclass(frozen=True)
class _Options:
    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None  # None: decided by the values


_PROFILES = {
    "default": _Options(),
    "short": _Options(precision=2, edgeitems=2),
    "full": _Options(threshold=math.inf),
}
_options = _PROFILES["default"]


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Sets how tensors print (torch.set_printoptions).

    Args:
        precision: decimals of a floating-point number (4).
        threshold: number of elements above which a tensor is summarised (1000).
        edgeitems: elements shown at both ends of a summarised dimension (3).
        linewidth: characters in a line (80).
        profile: ``"default"``, ``"short"`` or ``"full"``; the other arguments override it.
        sci_mode: True always, False never uses scientific notation; None, also where the argument
            is left out, goes by the values.
    """
    global _options
    chosen = {
        "precision": precision,
        "threshold": threshold,
        "edgeitems": edgeitems,
        "linewidth": linewidth,
    }
    base = _options if profile is None else _PROFILES.get(profile, _options)
    given: dict[str, Any] = {name: value for name, value in chosen.items() if value is not None}
    _options = replace(base, **given, sci_mode=sci_mode)


def tensor_text(tensor: Any) -> str:
    """The text of a tensor, ``tensor([1., 2.], requires_grad=True)``; any shape, any dtype."""
    prefix = "tensor("
    values = tensor.detach().numpy()
    notes = []
    if values.size == 0:
        text = "[]"
        if values.ndim != 1:
            notes.append(f"size={tuple(values.shape)}")
    else:
        text = _values_text(values, len(prefix))
    # The text itself tells the default float, bool and int64, the latter two if there are values.
    told = tensor.dtype == get_default_dtype()
    if not told and not (values.size and values.dtype.name in ("bool", "int64")):
        notes.append(f"dtype={tensor.dtype}")
    if tensor.grad_fn is not None:
        notes.append(f"grad_fn=<{tensor.grad_fn.name()}>")
    elif tensor.requires_grad:
        notes.append("requires_grad=True")
    return _with_notes(prefix + text, notes, len(prefix))


def _with_notes(text: str, notes: list[str], indent: int) -> str:
    """Appends the notes, each on a new line where it would not fit, and the closing bracket."""
    column = len(text) - text.rfind("\n")
    for note in notes:
        if column + len(note) + 3 > _options.linewidth:
            text += ",\n" + " " * indent + note
            column = indent + len(note)
        else:
            text += ", " + note
            column += len(note) + 2
    return text + ")"


# ---- the values ----


def _values_text(values: np.ndarray, indent: int) -> str:
    """Nested brackets around the elements of a non-empty ndarray of any shape."""
    edge = _options.edgeitems if values.size > _options.threshold else None
    shown = values if edge is None else _edges(values, edge)
    format_number, width = _number_format(shown)
    if values.ndim == 0:
        return format_number(values.item())
    # The opening brackets of the outer dimensions count against the line.
    per_line = max(1, (_options.linewidth - indent - values.ndim + 1) // (width + 2))

    def rows(part: np.ndarray, column: int) -> str:
        """One level of brackets; `column` is where the inside of this bracket starts, less one."""
        left, right, cut = _ends(part.shape[0], edge)
        if part.ndim == 1:
            cells = [format_number(value) for value in part[left].tolist()]
            cells += [" ..."] if cut else []
            cells += [format_number(value) for value in part[right].tolist()]
            lines = [
                ", ".join(cells[start : start + per_line])
                for start in range(0, len(cells), per_line)
            ]
            return "[" + (",\n" + " " * (column + 1)).join(lines) + "]"
        blocks = [rows(inner, column + 1) for inner in part[left]]
        blocks += ["..."] if cut else []
        blocks += [rows(inner, column + 1) for inner in part[right]]
        between = "," + "\n" * (part.ndim - 1) + " " * (column + 1)
        return "[" + between.join(blocks) + "]"

    return rows(values, indent)


def _ends(size: int, edge: int | None) -> tuple[slice, slice, bool]:
    """The parts of a dimension shown before and after the dots, and whether there are dots."""
    if edge is None or size <= 2 * edge:
        return slice(0, size), slice(0, 0), False
    return slice(0, edge), slice(size - edge, size), True


def _edges(values: np.ndarray, edge: int) -> np.ndarray:
    """What remains of the values where each dimension keeps both its ends only."""
    for dim, size in enumerate(values.shape):
        left, right, cut = _ends(size, edge)
        if cut:
            kept = np.r_[left, right]
            values = np.take(values, kept, axis=dim)
    return values


def _number_format(values: np.ndarray) -> tuple[Callable[[Any], str], int]:
    """How to write one element, and its width in characters."""
    if values.dtype.kind != "f":
        width = max(len(str(value)) for value in values.ravel().tolist())
        return (lambda value: str(value).rjust(width)), width

    decimals = f".{_options.precision}f"
    scientific = f".{_options.precision}e"
    finite = values[np.isfinite(values) & (values != 0)].astype(np.float64)
    whole, wide, width = True, False, 1  # where there is nothing but 0, nan and inf
    if finite.size:
        magnitudes = np.abs(finite)
        largest, smallest = float(magnitudes.max()), float(magnitudes.min())
        whole = bool(np.all(finite == np.ceil(finite)))
        wide = largest / smallest > 1000 or largest > 1e8 or (not whole and smallest < 1e-4)
        if _options.sci_mode is not None:
            wide = _options.sci_mode
        # A whole number has its point and no decimals; zeros, nan and inf do not count.
        spec, point = (scientific, 0) if wide else (".0f", 1) if whole else (decimals, 0)
        width = max(len(format(value, spec)) for value in finite.tolist()) + point

    def format_number(value: float) -> str:
        if wide:
            text = format(value, scientific)
        elif whole:
            text = format(value, ".0f") + ("." if math.isfinite(value) else "")
        else:
            text = format(value, decimals)
        return text.rjust(width)

    return format_number, width
