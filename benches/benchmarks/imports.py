"""What `import argrad` costs; numpy's import is the floor."""

from __future__ import annotations


class Import:
    def timeraw_argrad(self) -> str:
        return "import argrad"

    def timeraw_numpy(self) -> str:
        return "import numpy"
