"""Client libraries from registries, fetched once and kept in the user's cache."""
import os
import shutil
import subprocess
import tempfile
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


POM = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>otelauto</groupId><artifactId>{folder}</artifactId><version>1</version><dependencies>{wanted}</dependencies></project>
"""
DEPENDENCY = "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency>"


def maven_tree(folder, *wanted, tool="mvn"):
    """Class path of these (group, name, version), and all that they need."""
    jars = CACHE / "maven" / folder
    if not jars.exists():
        jars.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=jars.parent) as work:
            (Path(work) / "pom.xml").write_text(POM.format(folder=folder, wanted="".join(DEPENDENCY.format(*w) for w in wanted)))
            subprocess.run([tool, "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={work}/jars"], check=True, cwd=work,
                           stdout=subprocess.DEVNULL)
            if not jars.exists():
                shutil.move(f"{work}/jars", jars)
    return f"{jars}/*"
