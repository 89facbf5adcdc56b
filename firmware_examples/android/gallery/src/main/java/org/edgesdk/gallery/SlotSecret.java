package org.edgesdk.gallery;

/**
 * Where the key comes from. A key file's first 32 bytes are the secret itself (type 1); for a passphrase (type 3) the
 * parameters hold Argon2id's memory in KiB, passes and lanes (u32 each, little-endian) and 16 bytes of salt, and
 * the app brings an Argon2id it trusts: neither the JDK nor Android has one.
 */
public interface SlotSecret {

    /** Which type of key slot this opens. */
    int slotType();

    /** The secret for a slot with these parameters. */
    byte[] secret(byte[] parameters);
}
