"""Client libraries from registries, fetched once and kept in the user's cache."""
import os
import subprocess
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "otelauto"


def npm(name, version, tool="npm"):
    """Path of the folder of modules that has it."""
    folder = CACHE / "npm"
    if not (folder / "node_modules" / name / "package.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([tool, "install", "--silent", "--no-audit", "--no-fund", "--prefix", folder, f"{name}@{version}"], check=True)
    return folder / "node_modules"


def maven(group, name, version, tool="mvn"):
    """Path of the jar."""
    jar = CACHE / "maven" / f"{name}-{version}.jar"
    if not jar.exists():
        subprocess.run([tool, "-q", "-B", "dependency:copy", f"-Dartifact={group}:{name}:{version}", f"-DoutputDirectory={jar.parent}"],
                       check=True, stdout=subprocess.DEVNULL)
    return jar
