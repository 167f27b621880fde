"""What the package needs, a requirement a line: from pyproject.toml, with the extras that are named."""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path(sys.argv[1]).read_text())["project"]
extras = project["optional-dependencies"]
unknown = set(sys.argv[2].split()) - extras.keys()
if unknown:
    sys.exit(f"extras are {', '.join(extras)}, got {', '.join(unknown)}")
for requirement in [*project["dependencies"], *(one for name in sys.argv[2].split() for one in extras[name])]:
    sys.stdout.write(f"{requirement}\n")
