"""Learning rate schedules, with torch.optim.lr_scheduler's names.

A schedule changes the ``lr`` of an optimizer's groups; the optimizer reads it from memory, so a
recorded step follows the schedule. Call ``scheduler.step()`` after ``optimizer.step()``, and
``scheduler.preview(steps)`` for the curve of what is to come.

| class | fraction of the initial learning rate at epoch t, counted from 0 |
|---|---|
| `LambdaLR` | f(t) of one's own |
| `StepLR`, `MultiStepLR`, `ExponentialLR` | γ^⌊t/s⌋; γ^(milestones up to t); γᵗ |
| `ConstantLR`, `LinearLR`, `WarmupLR` | up to T smaller by a factor; rising in proportion |
| `LinearDecayLR`, `PolynomialLR` | 1 - t/T; (1 - t/T)ᵖ |
| `InverseSquareRootLR` | 1/√(t + 1) |
| `CosineAnnealingLR`, `CosineAnnealingWarmRestarts` | ½ (1 + cos πt/T), once or again and again |
| `CyclicLR`, `OneCycleLR` | up and down, the momentum against it |
| `ReduceLROnPlateau` | smaller whenever a metric stops improving |
| `SequentialLR`, `ChainedScheduler` | several, one after another or at once |
"""

from .base import *
from .combined import *
from .cyclic import *
from .decay import *
from .plateau import *

__all__ = [name for name, value in globals().items() if isinstance(value, type)]
