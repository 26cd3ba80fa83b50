"""Print the lower bounds in pyproject.toml as pins, for ``pip install -c``."""

import tomllib
from itertools import chain
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())[
    "project"
]
requirements = set(
    chain(project["dependencies"], *project["optional-dependencies"].values())
)
for requirement in sorted(requirements):
    if ">=" in requirement:
        print(requirement.replace(">=", "=="))
