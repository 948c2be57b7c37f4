"""The functions behind the layers: ``minigrad.nn.functional``, with torch's names and arguments.

Each module lists its public names in its ``__all__``.

https://pytorch.org/docs/stable/nn.functional.html
"""

from .activation import *
from .adaptive import *
from .attention import *
from .channels import *
from .conv import *
from .distances import *
from .dropouts import *
from .embeddings import *
from .folding import *
from .loss import *
from .margins import *
from .multihead import *
from .normalization import *
from .padding import *
from .pointwise import *
from .pooling import *
from .products import *
from .resizing import *
from .sequences import *
from .sparse import *
from .vision import *
