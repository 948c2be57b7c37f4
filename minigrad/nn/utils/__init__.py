"""Tools around modules and parameters, with the names of torch.nn.utils.

Each file lists its public names; what torch keeps in a namespace of its own (`parametrize`,
`parametrizations`, `prune`, `rnn`, `stateless`) is one here, too.
"""

from . import (
    clip_grad,
    convert_parameters,
    fusion,
    init,
    parametrizations,
    parametrize,
    prune,
    rnn,
    stateless,
)
from .clip_grad import *
from .convert_parameters import *
from .fusion import *
from .init import *
from .spectral_norm import remove_spectral_norm, spectral_norm
from .weight_norm import remove_weight_norm, weight_norm

__all__ = ["parametrizations", "parametrize", "prune", "rnn", "stateless"]
__all__ += clip_grad.__all__
__all__ += convert_parameters.__all__
__all__ += fusion.__all__
__all__ += init.__all__
__all__ += ["remove_spectral_norm", "remove_weight_norm", "spectral_norm", "weight_norm"]
