"""How long OpenMP's threads on a CPU keep a core while they wait for each other."""

import os

_TURNS = "10000"
"""GNU's OpenMP takes 300 000 by itself."""


def spin_briefly() -> None:
    """Has threads that wait at an operator's end sleep soon, unless the user's environment says otherwise.

    By default they wait for milliseconds on a core that the awaited thread may want: docs/performance.md has
    what became of two trainings on two cores. OpenMP reads this when torch is imported, so call it before.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _TURNS)
