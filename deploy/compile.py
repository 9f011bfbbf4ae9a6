"""Compiles the hot path while the project is installed (a build hook of hatchling, decisions/0014 and 0015).

Where there is no C compiler, or CX_COMPILE=0 is set, the same modules run uncompiled and there is no fast lane: an
event then takes several times the CPU.
What was compiled lies beside the sources; it is made anew, or removed, by every installation.
"""

import os
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

#: Modules whose code runs for every record, or every event that the lane does not take: by mypyc.
MODULES: Final = (
    "pipeline/agents/journey_rows.py",
    "pipeline/agents/outbox.py",
    "pipeline/agents/signal_messages.py",
    "pipeline/agents/tile_rows.py",
    "pipeline/core/agenda.py",
    "pipeline/core/contributions.py",
    "pipeline/core/cuts.py",
    "pipeline/core/event_log.py",
    "pipeline/core/exposure.py",
    "pipeline/core/funnels.py",
    "pipeline/core/open_sessions.py",
    "pipeline/core/packed_sessions.py",
    "pipeline/core/partition.py",
    "pipeline/core/partition_cuts.py",
    "pipeline/core/buckets.py",
    "pipeline/core/segment_tiles.py",
    "pipeline/core/segments.py",
    "pipeline/core/session.py",
    "pipeline/core/signals.py",
    "pipeline/core/tiles.py",
    "pipeline/core/windows.py",
    "schemas/cloudevents.py",
    "schemas/decoding.py",
    "schemas/times.py",
    "schemas/touchpoint.py",
    "schemas/units.py",
    "sinks/superseded.py",
)
#: The fast lane, and what fills it: by Cython. Its parts include each other's declarations.
LANE: Final = (
    "pipeline/core/native/ahead.pxd",
    "pipeline/core/native/ahead.pyx",
    "pipeline/core/native/block.pxd",
    "pipeline/core/native/block.pyx",
    "pipeline/core/native/columns.pxd",
    "pipeline/core/native/columns.pyx",
    "pipeline/core/native/lane.pyx",
    "pipeline/core/native/late.pxd",
    "pipeline/core/native/late.pyx",
    "pipeline/core/native/packing.pxd",
    "pipeline/core/native/packing.pyx",
    "pipeline/core/native/places.pxd",
    "pipeline/core/native/places.pyx",
    "pipeline/core/native/scan.pxd",
    "pipeline/core/native/scan.pyx",
    "pipeline/core/native/sessions.pxd",
    "pipeline/core/native/sessions.pyx",
    "pipeline/core/native/texts.pxd",
    "pipeline/core/native/walks.pxd",
    "pipeline/core/native/walks.pyx",
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
        lane = [source for source in LANE if source.endswith(".pyx")]
        make_c: Any = cythonize
        extensions += make_c(lane, build_dir="build/cython", language_level=3, quiet=True)
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
    folders = {root, *(root / Path(source).parent for source in MODULES + LANE)}
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
