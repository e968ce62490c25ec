"""Measure, explain, fix and prove translation (image-shift) invariance of vision networks.

The names are declared in `__init__.pyi` and imported on first use, so that `import shiftproof`, and
with it the command line, starts without loading torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
