"""Several ways to do the same, timed in turns, so that what changes on a shared machine meets all alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

Figures = Mapping[str, float]
"""What one turn measured, by name with its unit: images/s, data wait %, ms, MiB ..."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """Several measurements of one figure."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return median(self.values)

    def __str__(self) -> str:
        middle, low, high = self.median, min(self.values), max(self.values)
        return f"{_short(middle)}" if low == high else f"{_short(middle)} ({_short(low)} to {_short(high)})"


Measured = dict[str, dict[str, Spread]]
"""By way and figure."""


def take_turns(
    ways: Mapping[str, Callable[[], Figures]],
    *,
    rounds: int,
    say: Callable[[str], None],
    warmup: bool = True,
) -> Measured:
    """Times every way once a round, every second round backwards, and says what each turn measured.

    Args:
        ways: by name, what does a turn's work and returns its figures.
        warmup: begin with a round that does not count; turns that are programs of their own, and leave out
            their first steps, need none.
    """
    turns: dict[str, list[Figures]] = {name: [] for name in ways}
    names = list(ways)
    for number in range(0 if warmup else 1, rounds + 1):
        place = f"round {number} of {rounds}" if number else "warm-up"
        for name in names[:: -1 if number % 2 else 1]:
            figures = ways[name]()
            say(f"{place}  {name}: " + "  ".join(f"{_short(v)} {key}" for key, v in figures.items()))
            if number:
                turns[name].append(figures)
    return {
        name: {key: Spread(values=tuple(turn[key] for turn in done)) for key in done[0]}
        for name, done in turns.items()
    }


def ratios(measured: Measured, figure: str, *, of: str, to: str) -> Spread:
    """Returns how often one way's figure is another's, round by round: pairs that met the same machine."""
    pairs = zip(measured[of][figure].values, measured[to][figure].values, strict=True)
    return Spread(values=tuple(one / other for one, other in pairs))


def table(measured: Measured) -> str:
    """Returns the ways as a Markdown table: medians, and least and most over the rounds.

    The last column is images/s as a multiple of the first way's, by pairs, where there are several.
    """
    names = list(dict.fromkeys(key for figures in measured.values() for key in figures))
    first, *others = measured
    compare = bool(others) and all("images/s" in figures for figures in measured.values())
    last = [f"times {first}"] if compare else []
    rows = [["", *names, *last], ["---"] * (len(names) + 1 + len(last))]
    for way, figures in measured.items():
        cells = [str(figures[name]) if name in figures else "-" for name in names]
        if compare:
            cells.append("1" if way == first else str(ratios(measured, "images/s", of=way, to=first)))
        rows.append([way, *cells])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def plain(measured: Measured) -> dict[str, dict[str, dict[str, float | Sequence[float]]]]:
    """Returns the same as values that JSON knows."""
    return {
        way: {
            name: {"median": spread.median, "rounds": list(spread.values)} for name, spread in figures.items()
        }
        for way, figures in measured.items()
    }


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
