"""The input contract of a user's network: the file that the user names, or the file beside the network."""

from __future__ import annotations

import json
from pathlib import Path

from edge_sdk.model.card import InputContract
from edge_train.errors import TrainingError


def contract_path(network: Path) -> Path:
    """Return the path of the contract beside a network, such as ``mine.contract.json`` for ``mine.keras``."""
    return network.with_name(f"{network.stem}.contract.json")


def read_contract_of(network: Path, file: Path | None = None) -> InputContract:
    """Read the input contract of a network.

    Args:
        network: The network's file.
        file: A JSON file with the contract; None for the file beside the network.

    Raises:
        TrainingError: There is no such file, it is not JSON, or the network takes images in BGR order.
        ModelCardError: A field is missing, malformed or contradicts another field.
    """
    chosen = contract_path(network) if file is None else file
    try:
        value = json.loads(chosen.read_bytes())
    except FileNotFoundError as error:
        raise TrainingError(
            f"{network}: expected its input contract in {chosen}, found no such file",
            hint='write it, such as {"size": [96, 96], "color": "rgb", "mean": 127.5, "scale": 128}: size, colour and'
            " normalization are part of a network and are never guessed",
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise TrainingError(f"{chosen}: expected a contract in JSON, found an error: {error}") from error
    return InputContract.from_json(value)
