"""Print the SBOM of a built package, as CycloneDX 1.6.

sbom.py SITE-PACKAGES FILE.deb
The Python packages with what they need of each other, and the libraries that PyAV's wheel brings along: FFmpeg and its
codecs, which no list of Python packages would name.
"""

import hashlib
import json
import os
import re
import sys
import uuid
from datetime import UTC, datetime
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

Json = dict[str, Any]

LIBRARY = re.compile(r"(?P<name>lib[\w+-]+?)-[0-9a-f]{8}\.so\.(?P<version>[\d.]+)")
"""A library of a wheel, as auditwheel names it: libx265-f5385bb8.so.216."""


def main(site: Path, package: Path) -> None:
    """Print it."""
    found = sorted(distributions(path=[str(site)]), key=lambda one: canonical(one.name))
    ours = next(one for one in found if one.name == "interhuman2mqtt")
    brought = [library(path) for path in sorted((site / "av.libs").iterdir())]
    digest = hashlib.sha256(package.read_bytes()).hexdigest()
    main_component = component(ours) | {"type": "application", "hashes": [{"alg": "SHA-256", "content": digest}]}
    date = datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), UTC)
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.UUID(digest[:32])}",
        "version": 1,
        "metadata": {"timestamp": date.strftime("%Y-%m-%dT%H:%M:%SZ"), "component": main_component},
        "components": [*(component(one) for one in found if one is not ours), *brought],
        "dependencies": dependencies(found, [entry["bom-ref"] for entry in brought]),
    }
    json.dump(document, sys.stdout, indent=1)
    sys.stdout.write("\n")


def component(one: Distribution) -> Json:
    """Return a Python package."""
    reference = purl(one)
    entry: Json = {"type": "library", "bom-ref": reference, "name": one.name, "version": one.version, "purl": reference}
    if licence := one.metadata.get("License-Expression"):
        entry["licenses"] = [{"expression": licence}]
    return entry


def library(path: Path) -> Json:
    """Return a library that a wheel brings along, with the version that its file name has."""
    named = LIBRARY.fullmatch(path.name)
    name, version = (named["name"], named["version"]) if named else (path.name, "")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {
        "type": "library",
        "bom-ref": f"av.libs/{path.name}",
        "name": name,
        "version": version,
        "hashes": [{"alg": "SHA-256", "content": digest}],
    }


def dependencies(found: list[Distribution], brought: list[str]) -> list[Json]:
    """Return what needs what, of that which is there."""
    known = {canonical(one.name): purl(one) for one in found}
    graph = []
    for one in found:
        needed = {canonical(re.match(r"[\w.-]+", line)[0]) for line in one.requires or ()}  # type: ignore[index]
        needs = [*sorted(known[name] for name in needed & known.keys()), *(brought if one.name == "av" else ())]
        graph.append({"ref": purl(one), "dependsOn": needs})
    return graph


def purl(one: Distribution) -> str:
    """Return the name by which scanners know a package of PyPI."""
    return f"pkg:pypi/{canonical(one.name)}@{one.version}"


def canonical(name: str) -> str:
    """Return a name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
