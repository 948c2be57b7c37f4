"""Rows: convolutions over one and three dimensions, and transposed ones. Those over two stand in
functional.py."""

from __future__ import annotations

from op_table import Real, Row

from minigrad.kernel_tools import spatial_reference as reference


def _row(name, x, weight, bias=True, **options):
    """A convolution whose dimensions follow from the weight; unbatched where x has one less."""
    dims = len(weight) - 2
    outputs = weight[0]
    formula = reference.convolution
    if "transpose" in name:
        outputs, formula = weight[1] * options.get("groups", 1), reference.transposed
    operands = (Real(x), Real(weight), *([Real((outputs,))] if bias else []))

    def exact(x, *others):
        if x.ndim == dims + 1:
            return formula(x[None], *others, **options)[0]
        return formula(x, *others, **options)

    function = name.split()[0]
    return Row(
        f"F.{name}",
        lambda m, *operands: getattr(m.nn.functional, function)(*operands, **options),
        [operands],
        exact,
        tolerance=512,
    )


ROWS = [
    _row("conv1d", (2, 3, 7), (4, 3, 3)),
    _row("conv1d no bias", (2, 3, 7), (4, 3, 1), bias=False),
    _row("conv1d options", (2, 4, 9), (6, 2, 3), stride=2, padding=2, dilation=2, groups=2),
    _row("conv1d unbatched", (3, 7), (2, 3, 3), padding=1),
    _row("conv1d same", (2, 1, 6), (2, 1, 4), padding="same"),
    _row("conv1d valid", (2, 1, 6), (2, 1, 4), padding="valid"),
    _row("conv1d empty batch", (0, 2, 5), (3, 2, 2)),
    _row("conv1d one element", (1, 1, 1), (1, 1, 1)),
    _row("conv1d batch in lanes", (9, 2, 5), (3, 2, 3), padding=1),
    _row("conv3d", (2, 2, 3, 4, 3), (3, 2, 2, 2, 2)),
    _row("conv3d no bias", (1, 2, 2, 3, 3), (2, 2, 1, 1, 1), bias=False),
    _row(
        "conv3d options",
        (1, 2, 4, 5, 4),
        (2, 1, 2, 3, 2),
        stride=(1, 2, 1),
        padding=(1, 2, 0),
        dilation=(2, 1, 2),
        groups=2,
    ),
    _row("conv3d unbatched", (2, 3, 3, 3), (2, 2, 2, 3, 1)),
    _row("conv3d same", (1, 1, 3, 2, 4), (1, 1, 2, 3, 2), padding="same"),
    _row("conv3d empty batch", (0, 2, 3, 3, 3), (3, 2, 2, 2, 2)),
    _row("conv3d many images", (10, 1, 2, 2, 3), (2, 1, 2, 2, 2), padding=1),
    _row("conv_transpose1d", (2, 3, 4), (3, 2, 3)),
    _row("conv_transpose1d stride", (2, 2, 4), (2, 2, 3), stride=2, padding=1, output_padding=1),
    _row("conv_transpose1d beyond stride", (1, 2, 4), (2, 1, 2), output_padding=2, dilation=3),
    _row("conv_transpose1d unbatched", (2, 4), (2, 3, 3), stride=3, groups=2),
    _row("conv_transpose1d empty batch", (0, 2, 4), (2, 3, 3)),
    _row("conv_transpose2d", (2, 2, 3, 4), (2, 3, 3, 2)),
    _row("conv_transpose2d no bias", (1, 2, 3, 3), (2, 2, 1, 1), bias=False),
    _row(
        "conv_transpose2d options",
        (1, 4, 3, 2),
        (4, 1, 2, 3),
        stride=(2, 3),
        padding=(1, 0),
        output_padding=(1, 2),
        groups=2,
        dilation=(2, 1),
    ),
    _row("conv_transpose2d unbatched", (2, 3, 3), (2, 2, 2, 2), stride=2),
    _row("conv_transpose2d batch in lanes", (9, 2, 3, 3), (2, 2, 3, 3), stride=2, padding=1),
    _row("conv_transpose3d", (1, 2, 2, 2, 3), (2, 2, 2, 2, 2)),
    _row(
        "conv_transpose3d options",
        (1, 2, 2, 3, 2),
        (2, 1, 2, 2, 3),
        stride=(2, 1, 2),
        padding=(0, 1, 1),
        output_padding=(1, 0, 1),
        groups=2,
    ),
    _row("conv_transpose3d unbatched", (1, 2, 2, 2), (1, 1, 2, 1, 2), stride=2),
]
