"""Reads a command line into a dataclass; mistakes become one sentence. No torch."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Sequence
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any, TypeVar

import tyro

_NOISE = "For full helptext"
_ECHO = "Argument helptext"  # after the complaint: what --help says of the argument

Kind = TypeVar("Kind")


class UsageError(ValueError):
    """The command line cannot be understood; the message is for the user."""


def read_arguments(
    kind: type[Kind], arguments: Sequence[str], *, program: str, default: Kind | None = None
) -> Kind | None:
    """Returns `arguments` as a `kind`, or None after `--help`. Of many ranks, only rank 0 prints.

    Flags are named as the fields are, also those of nested dataclasses.

    Raises:
        UsageError: an argument is misspelt or has no meaning.
    """
    complaint = io.StringIO()
    known: dict[str, Any] = {} if default is None else {"default": default}
    try:
        with redirect_stderr(complaint):
            return tyro.cli(
                kind,
                args=[_at_home(argument) for argument in arguments],
                prog=program,
                config=(tyro.conf.OmitArgPrefixes,),
                console_outputs=first_rank(),
                **known,
            )
    except SystemExit as end:
        if not end.code:
            return None
        raise UsageError(_sentence(complaint.getvalue(), program=program)) from None


def first_rank() -> bool:
    """Whether this process is the one of a launcher's that speaks."""
    return os.environ.get("RANK", "0") == "0"


def out_of(arguments: Sequence[str]) -> Path | None:
    """Returns the --out of arguments that could not be understood otherwise."""
    out = value_of("--out", arguments)
    return None if out is None else Path(_at_home(out))


def value_of(flag: str, arguments: Sequence[str]) -> str | None:
    """Returns what a flag of arguments that were not read says, as it would be read: the last one counts."""
    value = None
    for i, argument in enumerate(arguments):
        if argument == flag and i + 1 < len(arguments):
            value = arguments[i + 1]
        elif argument.startswith(f"{flag}="):
            value = argument.removeprefix(f"{flag}=")
    return value


def _at_home(argument: str) -> str:
    """Returns an argument with ~ as the home folder: shells leave that of --out=~/runs and "~/runs"."""
    flag, equals, value = argument.partition("=") if argument.startswith("--") else ("", "", argument)
    return f"{flag}{equals}{os.path.expanduser(value)}" if value.startswith("~/") else argument  # noqa: PTH111


def _sentence(text: str, *, program: str) -> str:
    """Returns tyro's boxed message without frame and headline."""
    lines = (line.strip("╭╮╰╯─│ \n") for line in text.partition(_ECHO)[0].splitlines())
    kept = [line for line in lines if line and not line.startswith(_NOISE)]
    message = " ".join(kept[1:] if len(kept) > 1 else kept)
    return (
        re.sub(r"Error parsing (?!-)\S+: ", "", message)
        or f"the arguments have no meaning; see {program} --help"
    )
