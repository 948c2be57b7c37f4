"""Layers, losses and their building blocks, with torch.nn's names.

Each module lists its public names in its ``__all__``.
"""

from . import functional, init, utils
from .activation import *
from .adaptive import *
from .adaptive_softmax import *
from .attention import *
from .batchnorm import *
from .containers import *
from .conv import *
from .dropout import *
from .ensemble import *
from .flatten import *
from .folding import *
from .instancenorm import *
from .linear import *
from .loss import *
from .margin_loss import *
from .module import *
from .normalization import *
from .padding import *
from .parameter import *
from .parameter_containers import *
from .pointwise_loss import *
from .pooling import *
from .rnn import *
from .sparse import *
from .transformer import *
from .upsampling import *

__all__ = ["functional", "init", "utils"]
__all__ += [name for name, value in globals().items() if isinstance(value, type)]
