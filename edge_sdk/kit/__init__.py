"""Kits: one file with all networks of a device, their licences, and the digest of each."""

from edge_sdk.kit.bundle import KitFile, write_kit
from edge_sdk.kit.manifest import KIT_SUFFIX, KitManifest, KitMember, Role

__all__ = ["KIT_SUFFIX", "KitFile", "KitManifest", "KitMember", "Role", "write_kit"]
