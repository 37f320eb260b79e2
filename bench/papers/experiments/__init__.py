"""One experiment per file; the file is named like the figure or table. All of them register themselves."""

from gradwire.common.registry import import_submodules

import_submodules(__name__, __path__)
