"""`minigrad.compile`: a function is recorded as it runs, and later calls replay it from C.

`signature.py` tells calls apart, `state.py` finds what a function depends on besides its arguments,
`recording.py` records one call and replays it, `gradients.py` its backward pass where results
require gradients, and `function.py` chooses among recordings.
"""

from .function import CompiledFunction, OptimizedModule, compile

__all__ = ["CompiledFunction", "OptimizedModule", "compile"]
