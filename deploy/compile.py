"""Compiles the hot path while the project is installed (a build hook of hatchling, decisions/0014 and 0015).

Where there is no C compiler, or CX_COMPILE=0 is set, the same modules run uncompiled and the reference engine
holds the sessions: an event then takes several times the CPU.
What was compiled lies beside the sources; it is made anew, or removed, by every installation.
"""

import os
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

#: Modules whose code runs for every record, or every event that the engine does not take: by mypyc.
MODULES: Final = (
    "pipeline/core/book.py",
    "pipeline/core/cuts.py",
    "pipeline/core/hours.py",
    "pipeline/core/persons/changing.py",
    "pipeline/core/persons/counts.py",
    "pipeline/core/persons/held.py",
    "pipeline/core/persons/kept.py",
    "pipeline/core/persons/moments.py",
    "pipeline/core/persons/persons.py",
    "pipeline/core/persons/recoveries.py",
    "pipeline/core/persons/seen.py",
    "pipeline/core/persons/tiles.py",
    "pipeline/core/persons/visitors.py",
    "pipeline/core/sessions/contributions.py",
    "pipeline/core/sessions/entry.py",
    "pipeline/core/sessions/facts.py",
    "pipeline/core/sessions/late.py",
    "pipeline/core/sessions/partition.py",
    "pipeline/core/sessions/tile_book.py",
    "pipeline/core/sessions/visits.py",
    "pipeline/core/sessions/walk.py",
    "pipeline/core/sources.py",
    "pipeline/core/timer_wheel.py",
    "pipeline/core/windows/buckets.py",
    "pipeline/core/windows/exposure.py",
    "pipeline/core/windows/person_hours.py",
    "pipeline/core/windows/person_windows.py",
    "pipeline/core/windows/segment_tiles.py",
    "pipeline/core/windows/signals.py",
    "pipeline/core/windows/windows.py",
    "pipeline/model/event_time.py",
    "pipeline/model/funnels.py",
    "pipeline/model/moments.py",
    "pipeline/model/named_together.py",
    "pipeline/model/segments.py",
    "pipeline/model/tiles.py",
    "pipeline/outputs/facts.py",
    "pipeline/outputs/journeys.py",
    "pipeline/outputs/recoveries.py",
    "pipeline/outputs/signals.py",
    "pipeline/outputs/tiles.py",
    "pipeline/stages/outbox.py",
    "schemas/cloudevents.py",
    "schemas/decoding.py",
    "schemas/times.py",
    "schemas/touchpoint.py",
    "schemas/units.py",
    "sinks/superseded.py",
)
#: The session engine, and what fills it: by Cython. Its parts include each other's declarations.
NATIVE: Final = (
    "pipeline/core/sessions/native/ahead.pxd",
    "pipeline/core/sessions/native/ahead.pyx",
    "pipeline/core/sessions/native/bases.pxd",
    "pipeline/core/sessions/native/bases.pyx",
    "pipeline/core/sessions/native/block.pxd",
    "pipeline/core/sessions/native/block.pyx",
    "pipeline/core/sessions/native/columns.pxd",
    "pipeline/core/sessions/native/columns.pyx",
    "pipeline/core/sessions/native/engine.pyx",
    "pipeline/core/sessions/native/folding.pxd",
    "pipeline/core/sessions/native/folding.pyx",
    "pipeline/core/sessions/native/late.pxd",
    "pipeline/core/sessions/native/late.pyx",
    "pipeline/core/sessions/native/places.pxd",
    "pipeline/core/sessions/native/places.pyx",
    "pipeline/core/sessions/native/scan.pxd",
    "pipeline/core/sessions/native/scan.pyx",
    "pipeline/core/sessions/native/sessions.pxd",
    "pipeline/core/sessions/native/sessions.pyx",
    "pipeline/core/sessions/native/texts.pxd",
    "pipeline/core/sessions/native/walks.pxd",
    "pipeline/core/sessions/native/walks.pyx",
    "pipeline/core/sessions/native/words.pxd",
    "pipeline/core/sessions/native/words.pyx",
    "pipeline/kafka/fetched.pyx",
)
_GROUP: Final = "cx_signals"


class CompileHook(BuildHookInterface[Any]):
    """Called by hatchling for a wheel and for an editable installation alike."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        remove(root)
        if why := why_not():
            self.app.display_warning(f"cx-signals is not compiled: {why}; events take several times the CPU")
            return
        compile_modules(root)
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        # Also the one that holds the code of all, which lies outside the packages.
        build_data["force_include"].update({str(path): str(path.relative_to(root)) for path in compiled(root)})


def why_not() -> str | None:
    """What stands against compiling here; None if nothing does."""
    if os.environ.get("CX_COMPILE", "1") == "0":
        return "CX_COMPILE is 0"
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        return f"there is no C compiler ({compiler})"
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        return "there are no Python headers"
    return None


def compile_modules(root: Path) -> None:
    """Leave an extension beside each module. Raises what the compiler raises."""
    from Cython.Build import cythonize
    from mypyc.build import mypycify
    from setuptools import Distribution  # type: ignore[import-untyped] # it has no types

    before = Path.cwd()
    os.chdir(root)
    arguments, sys.argv = sys.argv, sys.argv[:1]
    try:
        extensions = mypycify(
            ["--strict", *MODULES], opt_level="3", debug_level="0", group_name=_GROUP, target_dir="build/mypyc"
        )
        native = [source for source in NATIVE if source.endswith(".pyx")]
        make_c: Any = cythonize
        extensions += make_c(native, build_dir="build/cython", language_level=3, quiet=True)
        distribution = Distribution({"name": _GROUP, "ext_modules": extensions, "packages": []})
        command: Any = distribution.get_command_obj("build_ext")
        command.inplace = True
        command.build_temp = "build/temp"
        command.ensure_finalized()
        command.run()
        for path in compiled(root):
            path.touch()  # what had not changed was not made anew
    finally:
        sys.argv = arguments
        os.chdir(before)


def compiled(root: Path) -> list[Path]:
    """Extensions of ours that are there."""
    folders = {root, *(root / Path(source).parent for source in MODULES + NATIVE)}
    return [path for folder in sorted(folders) for path in sorted(folder.glob("*.so"))]


def remove(root: Path) -> None:
    for path in compiled(root):
        path.unlink()


if __name__ == "__main__":
    project = Path(__file__).parents[1]
    remove(project)
    if reason := why_not():
        sys.exit(f"error: {reason}")
    compile_modules(project)
