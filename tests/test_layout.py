"""The folders show the architecture: what imports what, how long files are, and what CONTRIBUTING draws."""

import ast
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "airflow_provider_openrouter"
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}
TREES = {name: ast.parse(path.read_text()) for name, path in MODULES.items()}

FLOORS = [
    {"text", "exceptions"},
    {"activity", "arguments", "changes", "connection", "credits", "keys", "payload", "scope"},
    {"api"},
    {"snapshots"},
    {"hooks"},
    {"links", "watch"},
    {"operators", "triggers"},
    {"sensors", "transfers"},
    {"page"},
    {"plugins"},
]
"""The rooms, the lowest floor first. A room imports what is on the floors below it."""

NEIGHBOURS = FLOORS[:2]
"""The floors on which modules may import each other."""

APART = {"sandbox": set(), "history": {"exceptions"}, "get_provider_info": {"connection"}}
"""The rooms that are on no floor, and what they may import."""

NEVER = {
    ("api", "snapshots"),
    ("watch", "snapshots"),
    ("snapshots", "watch"),
    *(("page", room) for room in ("operators", "triggers", "sensors", "transfers")),
}
HEAVY = {"numpy", "pandas", "pyarrow", "requests", "sqlalchemy"}
PUBLIC = {"hooks", "operators", "plugins", "sensors", "transfers", "triggers"}


def room(module: str) -> str:
    """Return the folder of the package that a module is in, or its own name; nothing for the package."""
    return module.split(".")[1] if "." in module else ""


def imports(tree: ast.AST, *, only_at_the_top: bool = False) -> Iterator[str]:
    """Yield the modules that are imported, unless told otherwise in functions and for type checkers too."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute here"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else str(node.module)
        elif not only_at_the_top or not (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            or (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
        ):
            yield from imports(node, only_at_the_top=only_at_the_top)


OURS = {name: MODULES.keys() & set(imports(tree)) for name, tree in TREES.items()}
AT_THE_TOP = {name: set(imports(tree, only_at_the_top=True)) for name, tree in TREES.items()}


def may_import(here: str, there: str) -> bool:
    """Return whether modules of one room may import those of another."""
    if there in ("", here):  # the version is in the package itself
        return True
    if here in APART:
        return there in APART[here]
    (floor,) = (number for number, rooms in enumerate(FLOORS) if here in rooms)
    next_door = [rooms for rooms in NEIGHBOURS if here in rooms]
    return there in set().union(*FLOORS[:floor], *next_door) and (here, there) not in NEVER


# -- imports


def test_imports_only_point_downwards():
    upwards = {
        (module, imported)
        for module in MODULES
        for imported in OURS[module]
        if not may_import(room(module), room(imported))
    }
    assert upwards == set()


def test_every_room_has_its_place():
    assert {room(module) for module in MODULES} == {""}.union(*FLOORS, APART)


def test_imports_lead_back_to_no_module():
    assert set(TopologicalSorter(OURS).static_order()) == MODULES.keys()  # or it raises, and shows the circle


def packages_reached(modules: set[str]) -> set[str]:
    """Return the packages that importing modules imports, ours not among them."""
    reached, ahead = set(modules), [*modules]
    while ahead:
        module = ahead.pop()
        packages = {module.rsplit(".", depth)[0] for depth in range(1, module.count(".") + 1)}  # they run first
        new = (AT_THE_TOP.get(module, set()) | (packages & MODULES.keys())) - reached
        reached |= new
        ahead += new
    return {module.partition(".")[0] for module in reached} - {PACKAGE.name}


def test_a_dag_file_imports_nothing_heavy():
    assert packages_reached({module for module in MODULES if room(module) in PUBLIC}) & HEAVY == set()


def test_the_page_reads_a_database_without_pandas():
    pages = {module for module in MODULES if room(module) == "page"}
    reached = packages_reached(pages | {f"{PACKAGE.name}.snapshots.dialects"})
    assert reached & {"numpy", "pandas", "pyarrow"} == set()


# -- files


def test_no_file_has_more_than_300_lines():
    lengths = {module: len(path.read_text().splitlines()) for module, path in MODULES.items()}
    assert {module: length for module, length in lengths.items() if length > 300} == {}


# -- tests

TESTS = {path.relative_to(ROOT): path for path in (ROOT / "tests").rglob("*.py")}
OWN = {"self", "cls", "super()", "os"}
"""Whose private names a test may use."""


def test_names_of_tests_have_at_most_60_characters():
    names = {name for path in TESTS.values() for name in re.findall(r"\bdef (test_\w+)", path.read_text())}
    assert {name for name in names if len(name) > 60} == set()


def test_tests_use_nothing_private():
    used = {
        f"{name}:{node.lineno}"
        for name, path in TESTS.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Attribute) and is_private(node.attr) and ast.unparse(node.value) not in OWN)
        or (isinstance(node, ast.Constant) and re.fullmatch(rf"{PACKAGE.name}(\.\w+)*\._\w+", str(node.value)))
        or (
            isinstance(node, ast.ImportFrom)
            and is_ours(node)
            and any(is_private(each.name) for each in node.names)
        )
    }
    assert used == set()


def is_ours(node: ast.ImportFrom) -> bool:
    return str(node.module).startswith(PACKAGE.name)


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def test_tests_expect_one_kind_of_error():
    either = re.compile(r"pytest\.raises\(\s*\(")
    assert {name for name, path in TESTS.items() if either.search(path.read_text())} == set()


# -- CONTRIBUTING


def drawing() -> dict[str, str]:
    """Return what CONTRIBUTING draws: each path, a folder's with a slash at its end, and what it says of it."""
    section = (ROOT / "CONTRIBUTING.md").read_text().partition("\n## Where things are\n")[2].partition("\n## ")[0]
    (block,) = re.findall(r"^```\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    drawn: dict[str, str] = {}
    folders: list[str] = []
    for line in block.splitlines():
        indent, name, said = re.fullmatch(r"((?: {4})*)(\S+) +(\S.*)", line).groups()
        del folders[len(indent) // 4 :]
        path = "".join([*folders, name])
        assert path not in drawn, path
        drawn[path] = said
        if name.endswith("/"):
            folders.append(name)
    return drawn


def test_contributing_draws_every_module_of_the_package():
    drawn = {path for path in drawing() if path.startswith(f"{PACKAGE.name}/")}
    modules = {path.relative_to(ROOT) for path in MODULES.values() if path.name != "__init__.py"}
    files = [path.relative_to(ROOT) for path in PACKAGE.rglob("*.*") if "__pycache__" not in path.parts]
    assert drawn == set(map(str, modules)) | {f"{path.parent}/" for path in files}


def test_contributing_draws_nothing_that_does_not_exist():
    for path in drawing():
        assert (ROOT / path).is_dir() if path.endswith("/") else (ROOT / path).is_file(), path
