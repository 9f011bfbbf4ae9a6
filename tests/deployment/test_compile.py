"""The hot path: compiled where that can be done, and the same where it cannot."""

import shutil
import subprocess
import sys
import zipfile
from importlib import import_module
from pathlib import Path

import pytest

from deploy.compile import MODULES, NATIVE, compiled, why_not
from tests.needs import need

ROOT = Path(__file__).parents[2]


def test_every_module_of_the_hot_path_is_compiled() -> None:
    need(why_not() is None, f"not compiled: {why_not()}")
    found = {path.name.partition(".")[0] for path in compiled(ROOT)}
    assert found >= {Path(module).stem for module in MODULES}
    for module in MODULES:
        loaded = import_module(module.removesuffix(".py").replace("/", "."))
        assert str(loaded.__file__).endswith(".so"), module


def test_it_says_why_it_does_not_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CX_COMPILE", "0")
    assert why_not() == "CX_COMPILE is 0"
    monkeypatch.setenv("CX_COMPILE", "1")
    monkeypatch.setenv("PATH", "")
    assert "no C compiler" in str(why_not())


@pytest.mark.timeout(600)
def test_a_wheel_holds_what_was_compiled(tmp_path: Path) -> None:
    need(why_not() is None, f"not compiled: {why_not()}")
    source, wheels = tmp_path / "source", tmp_path / "wheels"
    # With what is made while compiling: only what has changed since is compiled again.
    for package in ("pipeline", "schemas", "sinks", "deploy", "dashboards", "build"):
        if (ROOT / package).exists():
            ignored = shutil.ignore_patterns("__pycache__", "rivals")
            shutil.copytree(ROOT / package, source / package, ignore=ignored)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--no-build-isolation", "--wheel-dir", str(wheels), str(source)]
    subprocess.run(command, check=True, timeout=580, capture_output=True)
    (wheel,) = wheels.iterdir()
    assert "none-any" not in wheel.name
    with zipfile.ZipFile(wheel) as content:
        held = {name for name in content.namelist() if name.endswith(".so")}
    assert held == {str(path.relative_to(source)) for path in compiled(source)}
    native = [path for path in NATIVE if path.endswith(".pyx")]
    assert len(held) == len(MODULES) + 1 + len(native)  # and the code of all modules


def test_the_same_files_work_uncompiled(tmp_path: Path) -> None:
    for package in ("pipeline", "schemas", "sinks", "deploy", "dashboards", "docs", "tests"):
        ignored = shutil.ignore_patterns("*.so", "__pycache__", "screenshots", "benchmarks", "node_modules")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    tests = ["tests/unit/test_shards.py", "tests/unit/test_funnels.py", "tests/unit/test_journeys_stage.py"]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "hot path: not compiled" in done.stdout
