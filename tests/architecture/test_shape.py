"""The shape of the code: sizes, names, docstrings, who may know what. The layers are import-linter's."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
APPS = ("accounts", "codexproxy", "providers", "proxypool", "stats", "translation")
MOST_LINES = 500
FORBIDDEN_NAMES = {"utils.py", "helpers.py", "common.py", "manager.py", "handler.py", "misc.py"}

MODULES = sorted(
    path
    for app in APPS
    for path in (ROOT / app).rglob("*.py")
    if "migrations" not in path.parts and "__pycache__" not in path.parts
)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.fixture(scope="module")
def trees() -> dict[Path, ast.Module]:
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in MODULES}


def test_there_is_something_to_look_at() -> None:
    assert len(MODULES) > 80


def test_files_stay_small_enough_to_read() -> None:
    sizes = {name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}

    assert {path: lines for path, lines in sizes.items() if lines > MOST_LINES} == {}


def test_no_file_is_a_drawer_for_everything() -> None:
    assert [name(path) for path in MODULES if path.name in FORBIDDEN_NAMES] == []


def test_every_module_says_what_lives_in_it(trees: dict[Path, ast.Module]) -> None:
    silent = [name(path) for path, tree in trees.items() if tree.body and not ast.get_docstring(tree)]

    assert silent == []


def test_module_docstrings_are_short(trees: dict[Path, ast.Module]) -> None:
    # The tree of errors is drawn in its module's docstring, as style.md §14 asks.
    long = [
        name(path)
        for path, tree in trees.items()
        if len((ast.get_docstring(tree) or "").splitlines()) > 8 and path.name != "errors.py"
    ]

    assert long == []


def test_nothing_is_called_a_mixin(trees: dict[Path, ast.Module]) -> None:
    mixins = [
        f"{name(path)}: {node.name}"
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and node.name.endswith("Mixin")
    ]

    assert mixins == []


def test_translation_knows_no_upstream() -> None:
    """Codecs speak protocols; where a request goes is the adapters' affair."""
    address = re.compile(
        r"https?://(?!(?:json-schema\.org|platform\.|docs\.|developers\.|ai\.google|github\.com))[\w.-]+"
    )
    guilty = []
    for path in MODULES:
        if path.relative_to(ROOT).parts[0] != "translation":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
            if is_text and address.fullmatch(node.value.strip()):
                guilty.append(f"{name(path)}:{node.lineno} {node.value}")

    assert guilty == []


def test_only_spawn_creates_tasks(trees: dict[Path, ast.Module]) -> None:
    # The last two own their futures: they keep them, wait for them and read their errors.
    allowed = {"codexproxy/gateway/tasks.py", "stats/writer.py", "providers/transport/pyreqwest_transport.py"}
    guilty = [
        f"{name(path)}:{node.lineno}"
        for path, tree in trees.items()
        if name(path) not in allowed and not name(path).startswith("providers/simulator/")
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in {"create_task", "ensure_future"}
    ]

    assert guilty == []


def test_no_file_names_the_machine_it_was_written_on() -> None:
    listed = [path for path in MODULES if re.search(r"/work/|/tmp/", path.read_text(encoding="utf-8"))]

    assert [name(path) for path in listed] == []


@pytest.mark.timeout(120)
def test_the_layers_hold() -> None:
    linted = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-logo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert linted.returncode == 0, linted.stdout


def test_pure_packages_load_without_django() -> None:
    program = (
        "import sys\n"
        "import translation.registry, stats.meter, accounts.keys, providers.contract, codexproxy.gateway.snapshot\n"
        "translation.registry.codecs()\n"
        "assert 'django' not in sys.modules, 'django'\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
