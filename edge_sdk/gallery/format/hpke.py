"""The HPKE suite of exports and captures (RFC 9180): DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM, base mode."""

from __future__ import annotations

from typing import Any

from edge_sdk.errors import GalleryError

KEY_BYTES = 32
ENCAPSULATED_BYTES = 32
TAG_BYTES = 16


def hpke_suite() -> Any:
    """Return the suite of `cryptography`.

    Raises:
        GalleryError: this version of `cryptography` lacks HPKE.
    """
    try:
        from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
    except ImportError as error:
        raise GalleryError(
            "exports and captures need HPKE, which this version of cryptography lacks",
            hint="pip install 'cryptography>=47'",
        ) from error
    return Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
