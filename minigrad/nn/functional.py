"""``minigrad.functional`` under torch's name."""

from ..functional import *  # noqa: F403
