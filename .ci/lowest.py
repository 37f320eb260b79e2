"""Print the lowest version of each dependency that pyproject.toml states, as constraints for ``pip install -c``.

All extras are included; a package that states no lower bound has no line.
"""

import re
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
stated = {
    *project["dependencies"],
    *(each for extra in project["optional-dependencies"].values() for each in extra),
}
for requirement in sorted(stated):
    if bound := re.match(r"([\w.-]+)>=([\w.]+)", requirement):
        print(f"{bound[1]}=={bound[2]}")
