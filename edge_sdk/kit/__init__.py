"""Kits: one file with all networks of a device, their licences, and the digest of each."""

from edge_sdk.kit.manifest import KIT_SUFFIX, KitManifest, KitMember, Role

__all__ = ["KIT_SUFFIX", "KitManifest", "KitMember", "Role"]
