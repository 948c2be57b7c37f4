"""Rows: interpolation, adaptive means."""

from __future__ import annotations

from op_table import Real, Row

from minigrad.kernel_tools import spatial_reference as reference

ONE_AXIS = {"bilinear": "linear", "trilinear": "linear", "bicubic": "cubic"}


def _exact(x, size=None, scale_factor=None, mode="nearest", align_corners=None, **options):
    dims = x.ndim - 2
    recompute = options.pop("recompute_scale_factor", False) or mode == "area"
    scales = [None] * dims
    if size is None:
        scales = [scale_factor] * dims if not isinstance(scale_factor, tuple) else scale_factor
        size = [int(n * scale) for n, scale in zip(x.shape[2:], scales, strict=True)]
        scales = [None] * dims if recompute else scales
    matrices = [
        reference.resize_matrix(
            n, out, ONE_AXIS.get(mode, mode), bool(align_corners), scale, **options
        )
        for n, out, scale in zip(x.shape[2:], reference.spread(size, dims), scales, strict=True)
    ]
    return reference.along(x, matrices)


def _row(name, shape, **options):
    return Row(
        f"F.interpolate {name}",
        lambda m, x: m.nn.functional.interpolate(x, **options),
        [(Real(shape),)],
        lambda x: _exact(x, **options),
        # Coordinates are computed in the precision of the input.
        tolerance=1024,
    )


_INTERPOLATE = [
    _row("nearest 1", (2, 2, 5), size=8),
    _row("nearest 2", (1, 2, 3, 4), scale_factor=2),
    _row("nearest 2 smaller", (1, 2, 7, 5), size=(3, 2)),
    _row("nearest 2 factors", (1, 2, 3, 4), scale_factor=(1.5, 0.75)),
    _row("nearest 2 the same", (2, 1, 3, 4), size=(3, 4)),
    _row("nearest 3", (1, 1, 2, 3, 2), size=(3, 2, 4)),
    _row("nearest empty batch", (0, 2, 3), size=4),
    _row("exact 1", (2, 2, 5), size=8, mode="nearest-exact"),
    _row("exact 2", (1, 2, 5, 4), scale_factor=0.6, mode="nearest-exact"),
    _row("exact 3", (1, 1, 2, 3, 2), size=(3, 2, 4), mode="nearest-exact"),
    _row("linear", (2, 2, 5), size=8, mode="linear"),
    _row("linear corners", (2, 2, 5), size=8, mode="linear", align_corners=True),
    _row("linear factor", (2, 2, 5), scale_factor=1.7, mode="linear"),
    _row(
        "linear recomputed",
        (2, 2, 5),
        scale_factor=1.7,
        mode="linear",
        recompute_scale_factor=True,
    ),
    _row("linear to one", (2, 2, 5), size=1, mode="linear", align_corners=True),
    _row("linear of one", (2, 2, 1), size=4, mode="linear"),
    _row("bilinear", (1, 2, 3, 4), size=(5, 3), mode="bilinear"),
    _row("bilinear 2", (1, 2, 3, 4), scale_factor=2, mode="bilinear"),
    _row("bilinear corners", (1, 2, 3, 4), size=(5, 3), mode="bilinear", align_corners=True),
    _row("bilinear antialias", (1, 1, 7, 6), size=(3, 9), mode="bilinear", antialias=True),
    _row("bicubic", (1, 2, 4, 5), size=(6, 3), mode="bicubic"),
    _row("bicubic corners", (1, 1, 4, 5), size=(6, 3), mode="bicubic", align_corners=True),
    _row("bicubic antialias", (1, 1, 7, 6), size=(3, 9), mode="bicubic", antialias=True),
    _row("bicubic tiny", (1, 1, 1, 2), size=(2, 3), mode="bicubic"),
    _row("lanczos", (1, 1, 9, 6), size=(3, 8), mode="lanczos", antialias=True),
    _row("trilinear", (1, 1, 2, 3, 2), size=(3, 2, 4), mode="trilinear"),
    _row(
        "trilinear corners", (1, 1, 2, 3, 2), size=(3, 2, 4), mode="trilinear", align_corners=True
    ),
    _row("area 1", (2, 2, 7), size=3, mode="area"),
    _row("area 2", (1, 2, 5, 4), scale_factor=0.6, mode="area"),
    _row("area 3", (1, 1, 4, 3, 2), size=(2, 2, 3), mode="area"),
]


def _means(dims, name, shape, size):
    function = f"adaptive_avg_pool{dims}d"

    def exact(x):
        own = x.shape[x.ndim - dims :]
        sizes = reference.spread(size, dims)
        return reference.along(
            x,
            [
                reference.resize_matrix(n, n if out is None else out, "area")
                for n, out in zip(own, sizes, strict=True)
            ],
        )

    return Row(
        f"F.{function} {name}",
        lambda m, x: getattr(m.nn.functional, function)(x, size),
        [(Real(shape),)],
        exact,
        tolerance=256,
    )


ROWS = [
    *_INTERPOLATE,
    _means(1, "3", (2, 2, 7), 3),
    _means(1, "1", (2, 7), 1),
    _means(1, "larger", (2, 2, 3), 5),
    _means(2, "1", (2, 2, 4, 5), 1),
    _means(2, "divisible", (2, 2, 4, 6), (2, 3)),
    _means(2, "uneven", (2, 5, 7), (3, 2)),
    _means(2, "none", (1, 2, 5, 4), (None, 3)),
    _means(2, "empty batch", (0, 2, 5, 4), (2, 3)),
    _means(3, "1", (1, 2, 2, 3, 2), 1),
    _means(3, "uneven", (1, 2, 3, 4, 3), (2, 3, 2)),
    _means(3, "unbatched", (2, 4, 2, 3), (2, 2, 3)),
]
