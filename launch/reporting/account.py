"""The W&B account that a workspace is saved with."""

from collections.abc import Callable


def sign_in(*, entity: str, reachable: Callable[[str], bool]) -> str:
    """Returns `entity`, or the user or team that the key in use belongs to when that is empty. Never asks.

    Args:
        reachable: whether the server of an address answers.

    Raises:
        ValueError: no key is set, or it cannot be one.
        RuntimeError: the server does not answer, or refuses the key.
    """
    import wandb
    from wandb.errors import Error

    wandb.setup(wandb.Settings(silent=True))
    try:
        has_key = wandb.login(prompt=False, verify=False)
    except Error as error:
        raise ValueError(f"the W&B key cannot be used: {error}") from None
    if not has_key:
        raise ValueError(
            "no W&B key is set; type `wandb login` once, or set WANDB_API_KEY; `--dry-run` needs neither"
        )
    server = wandb.setup().settings.base_url
    if not reachable(server):
        raise RuntimeError(f"{server} cannot be reached; set WANDB_BASE_URL to another one, or use --dry-run")
    try:
        found = entity or wandb.Api(timeout=20).default_entity
    except Exception as error:  # wandb's client passes on those of its HTTP library
        raise RuntimeError(f"{server} refuses the key: {error}") from None
    if not found:
        raise ValueError("the W&B key names no user or team; add --entity YOUR-TEAM")
    return found
