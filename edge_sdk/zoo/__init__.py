"""Third-party models: address, SHA-256, licence and input contract of each, and a cache of downloads.

    >>> from edge_sdk import zoo
    >>> zoo.entry("blazeface-short").licence
    'Apache-2.0'

The models are not part of this project. If the environment variable ``EDGE_SDK_ZOO`` names a folder (a path or a ``file://``
address), models are read from it and nothing is downloaded. Their SHA-256 identifies them, whatever their file names.
"""

from edge_sdk.zoo.cache import cache_folder, path, pull
from edge_sdk.zoo.entries import ENTRIES, ZooEntry, by_digest, entry
from edge_sdk.zoo.mirror import MIRROR

__all__ = ["ENTRIES", "MIRROR", "ZooEntry", "by_digest", "cache_folder", "entry", "path", "pull"]
