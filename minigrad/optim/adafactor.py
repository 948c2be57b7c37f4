"""Adafactor."""

from __future__ import annotations

from typing import Any

from .. import array as arrays
from ..kernels import NULL, check, lib
from ..tensor import Tensor, wrap
from .fused import Form, FusedOptimizer, Launch, as_counter
from .group import Layout, ParameterGroup
from .optimizer import check_hints

__all__ = ["Adafactor"]

_step = lib.mg_adafactor
_STEP = Form(None, ("step",), ())


class _AdafactorLaunch(Launch):
    __slots__ = ("columns", "rows")

    def __init__(self, parameters: list[Tensor], entries: list[dict[str, Any]]) -> None:
        super().__init__(_STEP, parameters, entries)
        self.rows = self._optional("row_var", entries)
        self.columns = self._optional("col_var", entries, "variance")

    def _optional(self, name: str, entries: list[dict[str, Any]], other: str = "") -> Any:
        """A C array of what stands under the first name in an entry, or else under the other."""
        handles = []
        for entry in entries:
            found = name if name in entry else other
            if found:
                self.remembered.append((entry, found, entry[found]))
            handles.append(entry[found]._array if found else NULL)
        return self.keep(handles)


class Adafactor(FusedOptimizer):
    """Adafactor (Shazeer and Stern, 2018), in torch's form; torch.optim.Adafactor.

    Of a parameter of two or more dimensions, it remembers the means of the squared gradient over
    rows and columns of the last two dimensions instead of every element:
    w = t^beta2_decay;  ρ = min(lr, 1 / √t);  α = max(eps[1], rms(p)) · ρ;
    R ← R + w · (mean over the row of g² - R);  C ← C + w · (mean over the column of g² - C);
    V = R · C / max(mean of R, eps[0]), or for a vector V ← V + w · (g² - V);
    u = g / √max(V, eps[0]²);  p ← (1 - lr · weight_decay) · p - α / max(1, rms(u) / d) · u.
    eps[0] None means the smallest relative difference of the dtype. `foreach` changes nothing:
    each step is one launch for each group.
    """

    _layout = Layout(("beta2_decay", ("eps", 0), ("eps", 1), "d"))

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-2,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        d: float = 1.0,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        if isinstance(lr, Tensor) and lr.numel() != 1:
            raise ValueError("Tensor lr must be 1-element")
        if not lr >= 0.0:
            raise ValueError(f"Learning rate should be >= 0 but is: {lr}")
        if not beta2_decay <= 0.0:
            raise ValueError(f"beta2_decay should be <= 0 but is: {beta2_decay}")
        if eps[0] is not None and not eps[0] >= 0.0:
            raise ValueError(f"epsilon1 should be >= 0 but is: {eps[0]}")
        if not eps[1] >= 0.0:
            raise ValueError(f"epsilon2 should be >= 0 but is: {eps[1]}")
        if not d >= 1.0:
            raise ValueError(f"Clipping threshold d should be >= 1 but is: {d}")
        if not weight_decay >= 0.0:
            raise ValueError(f"weight_decay should be >= 0 but is: {weight_decay}")
        check_hints(foreach, None, False)
        defaults = {
            "lr": lr,
            "beta2_decay": beta2_decay,
            "eps": eps,
            "d": d,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _make_launch(self, group: ParameterGroup, parameters: list[Tensor]) -> Launch:
        entries = [self.state[parameter] for parameter in parameters]
        for parameter, entry in zip(parameters, entries, strict=True):
            entry["step"] = as_counter(entry.get("step", 0.0))
            *outer, last = parameter.shape if parameter.dim() else (1,)
            shapes = {"variance": tuple(parameter.shape)}
            if outer:
                shapes = {"row_var": (*outer, 1), "col_var": (*outer[:-1], 1, last)}
            for name, shape in shapes.items():
                known = entry.get(name)
                if known is None:
                    entry[name] = wrap(arrays.filled(shape, parameter.dtype, 0.0))
                elif not known.is_contiguous():
                    entry[name] = known.contiguous()
        return _AdafactorLaunch(parameters, entries)

    def _launch(self, group: ParameterGroup, launch: Any) -> None:
        check(
            _step(
                launch.count,
                launch.pointers,
                launch.gradients,
                launch.rows,
                launch.columns,
                launch.counters,
                group.memory,
            )
        )
