"""Fail unless the wheel and the source distribution hold what they should, and their links lead somewhere."""

import re
import subprocess
import sys
import tarfile
from configparser import ConfigParser
from email.message import Message
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).parents[1]
PACKAGE = "airflow_provider_openrouter"
KINDS = ("*.py", "*.sql", "py.typed", "static/*.*")
INFO = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"}
ENTRY_POINTS = {("apache_airflow_provider", "provider_info"), ("airflow.plugins", "openrouter")}
"""By these Airflow finds the provider and the page."""

NOT_IN_SDIST = re.compile(r"\.(ci|github)/|\.pre-commit-config\.yaml$")
LINK = re.compile(r"\]\(([^)\s]+)\)")


def check_wheel(wheel: Path) -> Message:
    """Return the wheel's metadata."""
    with ZipFile(wheel) as files:
        shipped = {name for name in files.namelist() if ".dist-info/" not in name}
        info = {
            name.partition(".dist-info/")[2]: files.read(name).decode()
            for name in files.namelist()
            if ".dist-info/" in name
        }
    sources = {str(path.relative_to(ROOT)) for kind in KINDS for path in (ROOT / PACKAGE).rglob(kind)}
    examples = {f"{PACKAGE}/dags/{path.name}" for path in (ROOT / "dags").glob("*.py")}
    compare(wheel.name, shipped, sources | examples)
    compare(".dist-info", set(info), INFO)
    groups = ConfigParser()
    groups.read_string(info["entry_points.txt"])
    compare(
        "entry_points.txt", {(group, name) for group in groups.sections() for name in groups[group]}, ENTRY_POINTS
    )
    return Parser().parsestr(info["METADATA"])


def check_sdist(sdist: Path) -> Message:
    """Return the metadata of the source distribution."""
    top = sdist.name.removesuffix(".tar.gz")
    with tarfile.open(sdist) as files:
        shipped = {Path(name).relative_to(top).as_posix() for name in files.getnames()}
        metadata = files.extractfile(f"{top}/PKG-INFO").read().decode()
    tracked = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).splitlines()
    compare(sdist.name, shipped, {name for name in tracked if not NOT_IN_SDIST.match(name)} | {"PKG-INFO"})
    return Parser().parsestr(metadata)


def check_page(metadata: Message) -> None:
    """Check what a package index shows: every link is absolute, and those to this version lead to its files."""
    urls = dict(url.split(", ", 1) for url in metadata.get_all("Project-URL"))
    source = urls["Source"]
    if strangers := [url for url in urls.values() if not url.startswith(source)]:
        sys.exit(f"These addresses are not below {source}: {strangers}.")
    pictures = source.replace("github.com", "raw.githubusercontent.com")
    ours = re.compile(rf"({source}/blob|{pictures})/v{metadata['Version']}/([^#]+)")
    page = metadata.get_payload()
    for link in LINK.findall(page):
        found = ours.match(link)
        leads_somewhere = (ROOT / found[2]).exists() if found else not link.startswith((source, pictures))
        if not link.startswith("https://") or not leads_somewhere:
            sys.exit(f"The README on the index has a link that leads nowhere: {link}.")
    if "pip install ." in page or f"pip install {metadata['Name']}\n" not in page:
        sys.exit("The README on the index does not install from there.")


def compare(what: str, found: set, expected: set) -> None:
    if found != expected:
        sys.exit(f"{what} lacks {sorted(expected - found)}, and should not contain {sorted(found - expected)}.")


def main(folder: str) -> None:
    [wheel], [sdist] = Path(folder).glob("*.whl"), Path(folder).glob("*.tar.gz")
    metadata = check_wheel(wheel)
    check_page(metadata)
    if metadata.as_string() != check_sdist(sdist).as_string():
        sys.exit("The wheel and the source distribution differ in their metadata.")
    print(f"{wheel.name} and {sdist.name} hold what they should, and their links lead somewhere.")


if __name__ == "__main__":
    main(sys.argv[1])
