"""Models of others: where they are, what their bytes must be, what their makers allow, what they want to see.

    >>> from edge_sdk import zoo
    >>> zoo.entry("blazeface-short").licence
    'Apache-2.0'

None is part of this project. A mirror folder named by the environment variable ``EDGE_SDK_ZOO`` stands in
for the network.
"""

from edge_sdk.zoo.cache import MIRROR, cache_folder, path, pull
from edge_sdk.zoo.entries import ENTRIES, ZooEntry, by_digest, entry

__all__ = ["ENTRIES", "MIRROR", "ZooEntry", "by_digest", "cache_folder", "entry", "path", "pull"]
