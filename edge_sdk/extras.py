"""The name under which pip knows this SDK, and the command that installs what one of its extras needs.

The import name is `edge_sdk` and the commands are `edge-sdk` and `edge-convert`. The distribution has another name,
because another project owns `edge-sdk` on the public package index.
"""

from __future__ import annotations

DISTRIBUTION = "edge-embedding-sdk"


def install_command(*extras: str) -> str:
    """Return the pip command that installs the packages of one or more extras.

    pip does not download an installed distribution again: the command adds the extras' packages to it.

    Args:
        extras: Names of extras in `setup.cfg`, such as "litert".
    """
    return f"pip install '{DISTRIBUTION}[{','.join(extras)}]'"
