"""docs/evidence.md, made of what was recorded and nothing else."""

from pathlib import Path
from typing import Any

from tests.evidence.paired import difference, spread
from tests.evidence.rows import CHOICE_HOLD_OUT, CHOICES, CONTROL, ROWS, SEEDS

_TEMPLATE = Path(__file__).with_name("template.md")
_WANTED = 3.0  # points, of ours over plain

Values = dict[int, float]


def page(rates: dict[str, Any], results: dict[str, Any]) -> str:
    """Returns the page as Markdown."""
    scores = {name: _scores(results, name) for name in (*(row.name for row in ROWS), CONTROL.name)}
    parts = [_setting(rates, results), _choices(results), _table(scores, results)]
    found = "\n".join([*parts, _verdict(scores), _control(scores)])
    return _TEMPLATE.read_text().replace("{found}", found)


def _scores(results: dict[str, Any], name: str) -> Values:
    runs = results.get("runs", {}).get(name, {})
    return {int(seed): result["acc1"] for seed, result in runs.items()}


def _setting(rates: dict[str, Any], results: dict[str, Any]) -> str:
    if not rates or not results:
        return "Not yet run.\n"
    return (
        f"Each run has {results['core_s'] / 60:g} minutes of one core: its epochs "
        f"follow from what an image of its recipe costs there, measured beforehand by turns, "
        f"{rates['rounds']} rounds, medians; start-up and evaluation are not counted. {rates['machine']}, "
        f"torch {rates['versions']['torch']}, DALI {rates['versions']['nvidia-dali-cuda120']}.\n"
    )


def _choices(results: dict[str, Any]) -> str:
    lines = [
        f"Chosen first, by {CHOICE_HOLD_OUT:.0%} of the training images held out, in one run each with "
        "half that time and a seed of its own. Acc@1 of the held-out images in percent:\n",
        "| Setting | Of | Tried | Taken |",
        "| --- | --- | --- | --- |",
    ]
    for choice in CHOICES:
        found = {
            float(value): acc1 for value, acc1 in results.get("choices", {}).get(choice.name, {}).items()
        }
        tried = ", ".join(
            f"{v:g}: {found[v]:.2f}" if v in found else f"{v:g}: not yet run" for v in choice.values
        )
        taken = f"{max(found, key=lambda v: found[v]):g}" if len(found) == len(choice.values) else "-"
        lines.append(f"| `--{choice.name}` | {choice.recipe.recipe} | {tried} | {taken} |")
    return "\n".join([*lines, ""]).replace("10%", "10 %")


def _table(scores: dict[str, Values], results: dict[str, Any]) -> str:
    lines = [
        "Acc@1 in percent over the 10000 validation images, of the last weights (of `cifar10`, their "
        "average); differences in points with their 95 % interval, paired by seed (Student's t):\n",
        f"| Recipe | What it adds | Epochs | {' | '.join(f'Seed {seed}' for seed in SEEDS)} | Mean "
        "| Over the row above | Over plain |",
        "| --- " * (6 + len(SEEDS)) + "|",
    ]
    above: Values | None = None
    plain = scores[ROWS[0].name]
    for row in (*ROWS, CONTROL):
        own = scores[row.name]
        cells = [f"{own[seed]:.2f}" if seed in own else "not yet run" for seed in SEEDS]
        mean = f"{sum(own.values()) / len(own):.2f}" if own else "-"
        epochs = results.get("epochs", {}).get(row.name)
        over = "-" if above is None or row is CONTROL else _told(own, above)
        lines.append(
            f"| {row.recipe.recipe} | {row.title} | {'-' if epochs is None else f'{epochs:g}'} | "
            f"{' | '.join(cells)} | {mean} | {over} | {'-' if row is ROWS[0] else _told(own, plain)} |"
        )
        above = own
    return "\n".join([*lines, ""])


def _told(ours: Values, theirs: Values) -> str:
    found = difference(ours, theirs)
    return "-" if found is None else str(found)


def _verdict(scores: dict[str, Values]) -> str:
    ours, plain = scores[ROWS[-1].name], scores[ROWS[0].name]
    found = difference(ours, plain)
    if found is None:
        return "Whether `cifar10` beats `cifar10-plain`: not yet run.\n"
    widest = max(spread(values) for values in (ours, plain))
    holds = found.mean >= _WANTED and found.mean > 2 * widest
    return (
        f"`cifar10` is {found.mean:.2f} points above `cifar10-plain` in {found.seeds} pairs; wanted: at "
        f"least {_WANTED:g}, and more than twice the seeds' spread, which is {widest:.2f} (largest minus "
        f"smallest, the wider of the two). It {'holds' if holds else 'does not hold'}.\n"
    )


def _control(scores: dict[str, Values]) -> str:
    crops, ours = scores[CONTROL.name], scores[ROWS[-1].name]
    found, alone = difference(ours, crops), difference(crops, scores[ROWS[0].name])
    if found is None or alone is None:
        return "The control: not yet run.\n"
    return (
        "The known recipe's crops may be as small as 8 % of an image, which suits 90 epochs and not these "
        f"few. With milder crops alone it is {alone} points better, and `cifar10` is {found} above that.\n"
    )
