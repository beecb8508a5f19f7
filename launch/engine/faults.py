"""What ends a run through no mistake of the user's. No torch."""


class Fault(Exception):
    """The run cannot go on; the message says why and what to type."""


class Superseded(Fault):
    """Another process has taken the run over: nothing more may be written into its folder."""


def gist(error: BaseException) -> str:
    """Returns an error's kind and its first line."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:300]}"
