"""Which package called apex is installed: NVIDIA's, or the stranger that has this name on the index."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from launch.checks.decoding import version_of
from launch.checks.finding import Finding
from pipeline.trial import find_fault

EXTENSION = "amp_C"
"""What the fused optimizers are in."""

_UNINSTALL = "python -m pip uninstall -y apex"
_BUILD = "APEX_CPP_EXT=1 APEX_CUDA_EXT=1 python -m pip install --no-build-isolation --group apex"


@dataclass(frozen=True, kw_only=True, slots=True)
class Apex:
    """The package called apex."""

    version: str | None
    there: bool
    nvidias: bool = False
    fault: str | None = None
    """What happens when its extension is loaded."""


def gather() -> Apex:
    """Looks for it. A stranger's code is not run, and an extension is loaded in a process of its own."""
    version, spec = version_of("apex"), importlib.util.find_spec("apex")
    if spec is None:
        return Apex(version=version, there=False)
    places = [Path(place) for place in spec.submodule_search_locations or ()]
    nvidias = any((place / "optimizers" / "fused_sgd.py").is_file() for place in places)
    fault = find_fault(load_extension) if nvidias else None
    return Apex(version=version, there=True, nvidias=nvidias, fault=fault)


def load_extension() -> None:
    """Loads the extension as the optimizers do; ImportError where it was not built, or for another torch."""
    importlib.import_module("torch")
    importlib.import_module(EXTENSION)


def judge(apex: Apex) -> Finding:
    """Returns what is to be said of apex."""
    if not apex.there:
        return Finding("ok", "not installed, and not needed: torch's own fused SGD is used")
    if not apex.nvidias:
        return Finding(
            "warning",
            f"apex {apex.version} is not NVIDIA's, but another package that has this name on the index",
            _UNINSTALL,
        )
    if apex.fault is not None:
        return Finding(
            "warning",
            f"NVIDIA's apex {apex.version}, whose extension {EXTENSION} does not load: it {apex.fault}; "
            "built without APEX_CUDA_EXT=1, or for another torch (docs/install.md)",
            f"{_UNINSTALL} && {_BUILD}",
        )
    return Finding("ok", f"NVIDIA's apex {apex.version}; its extension {EXTENSION} loads")
