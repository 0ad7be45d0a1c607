"""Measures of the source: sizes, imports, complexity, names. Used by the tests of this folder and by `make figures`."""

import ast
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SERVICE = ROOT / "service"


@cache
def sources() -> Mapping[str, str]:
    """Return the text of each file of `service/`, by its path below it."""
    files = sorted(SERVICE.rglob("*.py"))
    return {path.relative_to(SERVICE).as_posix(): path.read_text(encoding="utf-8") for path in files}


@cache
def trees() -> Mapping[str, ast.Module]:
    """Return each file of `service/`, parsed, by its path below it."""
    return {name: ast.parse(source) for name, source in sources().items()}


def room_of(name: str) -> str:
    """Return the folder below `service/` that the file belongs to; a file of the top level is a room of its own."""
    return name.split("/", maxsplit=1)[0]


def full_folders(most: int) -> dict[str, int]:
    """Return how many files a folder holds, sub-folders apart, where it is more than `most`."""
    counts = Counter(str(Path(name).parent) for name in sources())
    return {folder: count for folder, count in sorted(counts.items()) if folder != "." and count > most}


def complex_functions(most: int) -> dict[str, int]:
    """Return radon's complexity of each function and method where it is more than `most`."""
    # The other measures need the standard library alone.
    from radon.complexity import cc_visit
    from radon.visitors import Function

    found = {}
    for source in sources().values():
        for block in cc_visit(source):
            if isinstance(block, Function) and block.complexity > most:
                found[block.fullname] = block.complexity
    return found


def classes() -> Iterator[tuple[str, str]]:
    """Yield each class that stands at the top of a file, with its file; those whose name begins with `_` apart."""
    for name, tree in trees().items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield node.name, name


def shared_class_names() -> dict[str, list[str]]:
    """Return the class names that more than one file uses, and the files; what `api/schemas` shows of one apart."""
    files = defaultdict(list)
    for class_name, name in classes():
        if not name.startswith("api/schemas/"):
            files[class_name].append(name)
    return {class_name: names for class_name, names in sorted(files.items()) if len(names) > 1}


def imports() -> dict[str, set[str]]:
    """Return which files of `service/` each file imports, anywhere in it."""
    return {name: _imported(tree) for name, tree in trees().items()}


def _imported(tree: ast.Module) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str(module), names=names):
                # What is imported is a module of the package, or else a name in it.
                found |= {_file(f"{module}.{each.name}") or _file(module) for each in names}
            case ast.Import(names=names):
                found |= {_file(each.name) for each in names}
    return {name for name in found if name is not None}


def _file(module: str) -> str | None:
    path = module.removeprefix("service.").replace(".", "/")
    names = (f"{path}.py", f"{path}/__init__.py") if module.startswith("service.") else ()
    return next((name for name in names if name in sources()), None)


def imported_once() -> list[str]:
    """Return the files, `__init__` apart, that exactly one other file imports."""
    importers = Counter(target for name, targets in imports().items() for target in targets if target != name)
    return sorted(name for name, count in importers.items() if count == 1 and not name.endswith("__init__.py"))


def longest_chains() -> dict[str, list[str]]:
    """Return for each room the longest chain of files in it of which each imports the next."""
    graph = imports()
    chains: dict[str, list[str]] = {}
    for name in graph:
        chain = _chain(name, graph, {}, ())
        if len(chain) > len(chains.get(room_of(name), [])):
            chains[room_of(name)] = chain
    return chains


def _chain(name: str, graph: Mapping[str, set[str]], known: dict[str, list[str]], path: tuple[str, ...]) -> list[str]:
    if name not in known:
        inside = (each for each in sorted(graph[name]) if room_of(each) == room_of(name) and each not in (*path, name))
        known[name] = [name, *max((_chain(each, graph, known, (*path, name)) for each in inside), key=len, default=[])]
    return known[name]
