"""Third-party models: address, SHA-256, licence and input contract of each, and a cache of downloads.

    >>> from edge_sdk import zoo
    >>> zoo.entry("blazeface-short").licence
    'Apache-2.0'

The models are not part of this project. If the environment variable ``EDGE_SDK_ZOO`` names a folder, models are
read from it and nothing is downloaded.
"""

from edge_sdk.zoo.cache import MIRROR, cache_folder, path, pull
from edge_sdk.zoo.entries import ENTRIES, ZooEntry, by_digest, entry

__all__ = ["ENTRIES", "MIRROR", "ZooEntry", "by_digest", "cache_folder", "entry", "path", "pull"]
