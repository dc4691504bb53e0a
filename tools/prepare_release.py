"""Make a checkout ready to be built for one tag: prepare_release.py vX.Y.Z https://host/owner/repository

Fails unless the tag, pyproject.toml, promptop.__version__ and a section of CHANGELOG.md agree. Writes the URLs
into pyproject.toml and the absolute addresses of pictures and pages into README.md, since an index shows it elsewhere.
The changes are for the build alone and are not committed.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def prepare(root: Path, tag: str, repository: str) -> None:
    """Rewrite README.md and pyproject.toml below ``root``. Raises :class:`SystemExit` if the versions differ."""
    version = tag.removeprefix("v")
    project = root / "pyproject.toml"
    text = project.read_text(encoding="utf-8")
    init = (root / "store" / "promptop" / "__init__.py").read_text(encoding="utf-8")
    changes = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "(.*)"$', init, re.MULTILINE)
    said = {
        "pyproject.toml": tomllib.loads(text)["project"]["version"],
        "promptop.__version__": found[1] if found else "",
        "CHANGELOG.md": version if re.search(rf"^## {re.escape(version)}\b", changes, re.MULTILINE) else "no section",
    }
    if wrong := {place: value for place, value in said.items() if value != version}:
        sys.exit(f"The tag says {version}; " + ", ".join(f"{place} says {value}" for place, value in wrong.items()))
    urls = (
        f'[project.urls]\nHomepage = "{repository}"\nDocumentation = "{repository}/tree/{tag}/docs"\n'
        f'Changelog = "{repository}/blob/{tag}/CHANGELOG.md"\nIssues = "{repository}/issues"\n\n'
    )
    project.write_text(text.replace("[project.scripts]", urls + "[project.scripts]", 1), encoding="utf-8")
    readme = root / "README.md"
    page = readme.read_text(encoding="utf-8")
    page = re.sub(r"(!\[[^\]]*\]\()(?!https?:)", rf"\g<1>{repository}/raw/{tag}/", page)
    page = re.sub(r"(?<!!)(\[[^\]]*\]\()(?!https?:|#)", rf"\g<1>{repository}/blob/{tag}/", page)
    readme.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    prepare(ROOT, *sys.argv[1:])
