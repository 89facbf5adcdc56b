package org.edgesdk.gallery;

import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.security.spec.AlgorithmParameterSpec;
import java.util.Arrays;
import javax.crypto.AEADBadTagException;
import javax.crypto.Cipher;
import javax.crypto.Mac;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.IvParameterSpec;
import javax.crypto.spec.SecretKeySpec;

/** HKDF-SHA-256 (RFC 5869) and the sealed bytes of docs/reference/gallery-format.md; the platform's own cryptography. */
final class Sealing {

    static final int KEY_BYTES = 32;
    private static final int SALT_BYTES = 24;
    private static final int COMMITMENT_BYTES = 32;
    private static final int TAG_BYTES = 16;
    private static final int CHUNK_BYTES = 16384 + TAG_BYTES;
    private static final int SUITE_AES_256_GCM = 1;

    private Sealing() {}

    static byte[] hmac(byte[] key, byte[]... parts) {
        try {
            Mac mac = Mac.getInstance("HmacSHA256");
            mac.init(new SecretKeySpec(key, "HmacSHA256"));
            for (byte[] part : parts) {
                mac.update(part);
            }
            return mac.doFinal();
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException("this platform has no HMAC-SHA-256", e);
        }
    }

    static byte[] hkdf(byte[] salt, byte[] secret, byte[] info) {
        byte[] pseudorandom = hmac(salt, secret);
        try {
            return expand(pseudorandom, info, KEY_BYTES);
        } finally {
            Arrays.fill(pseudorandom, (byte) 0);
        }
    }

    static byte[] sha512(byte[] bytes, int length) {
        try {
            MessageDigest digest = MessageDigest.getInstance("SHA-512");
            digest.update(bytes, 0, length);
            return digest.digest();
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("this platform has no SHA-512", e);
        }
    }

    /**
     * Opens sealed bytes: key commitment first, then every chunk; no text is given before all have opened.
     *
     * @param context what the bytes are bound to
     * @param from where they begin in {@code file}; they go on to {@code end}
     * @throws GalleryException FORMAT when cut short, SEAL when the key is wrong or a bit differs
     */
    static byte[] open(int suite, byte[] key, byte[] context, byte[] file, int from, int end) throws GalleryException {
        int chunksAt = from + SALT_BYTES + COMMITMENT_BYTES;
        if (end - chunksAt < TAG_BYTES) {
            throw GalleryException.format("the sealed part is cut short");
        }
        byte[] salt = Arrays.copyOfRange(file, from, from + SALT_BYTES);
        byte[] commitment = Arrays.copyOfRange(file, from + SALT_BYTES, chunksAt);
        String name = suite == SUITE_AES_256_GCM ? "AEAD_AES_256_GCM" : "AEAD_CHACHA20_POLY1305";
        byte[] label = ascii("edge-sdk/gallery/stream@v1+" + name + "\0");
        byte[] keys = expand(key, join(label, salt, context), KEY_BYTES + COMMITMENT_BYTES);
        byte[] streamKey = Arrays.copyOf(keys, KEY_BYTES);
        try {
            if (!MessageDigest.isEqual(commitment, Arrays.copyOfRange(keys, KEY_BYTES, keys.length))) {
                throw GalleryException.seal();
            }
            return openChunks(suite, streamKey, file, chunksAt, end);
        } finally {
            Arrays.fill(keys, (byte) 0);
            Arrays.fill(streamKey, (byte) 0);
        }
    }

    private static byte[] openChunks(int suite, byte[] key, byte[] file, int from, int end) throws GalleryException {
        int last = (end - from) / CHUNK_BYTES;
        // The last chunk is always shorter than the others, so that none can be cut off unnoticed.
        int lastBytes = (end - from) % CHUNK_BYTES;
        if (lastBytes < TAG_BYTES) {
            throw GalleryException.seal();
        }
        byte[] text = new byte[end - from - (last + 1) * TAG_BYTES];
        int written = 0;
        try {
            for (int i = 0; i <= last; i++) {
                byte[] nonce = new byte[12];
                for (int k = 0; k < 4; k++) {
                    nonce[10 - k] = (byte) (i >>> 8 * k);
                }
                nonce[11] = (byte) (i == last ? 1 : 0);
                Cipher cipher = cipher(suite, key, nonce);
                written += cipher.doFinal(
                        file, from + i * CHUNK_BYTES, i == last ? lastBytes : CHUNK_BYTES, text, written);
            }
        } catch (AEADBadTagException e) {
            Arrays.fill(text, (byte) 0);
            throw GalleryException.seal();
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException("this platform cannot open a gallery's chunk", e);
        }
        return text;
    }

    private static Cipher cipher(int suite, byte[] key, byte[] nonce) throws GeneralSecurityException {
        if (suite == SUITE_AES_256_GCM) {
            return decrypting("AES/GCM/NoPadding", "AES", key, new GCMParameterSpec(8 * TAG_BYTES, nonce));
        }
        try {
            return decrypting("ChaCha20-Poly1305", "ChaCha20", key, new IvParameterSpec(nonce));
        } catch (NoSuchAlgorithmException e) {
            // Android's provider has its own name for the same (RFC 8439).
            return decrypting("ChaCha20/Poly1305/NoPadding", "ChaCha20", key, new IvParameterSpec(nonce));
        }
    }

    private static Cipher decrypting(String name, String keyName, byte[] key, AlgorithmParameterSpec nonce)
            throws GeneralSecurityException {
        Cipher cipher = Cipher.getInstance(name);
        cipher.init(Cipher.DECRYPT_MODE, new SecretKeySpec(key, keyName), nonce);
        return cipher;
    }

    private static byte[] expand(byte[] pseudorandom, byte[] info, int length) {
        byte[] out = new byte[length];
        byte[] block = new byte[0];
        for (int written = 0, i = 1; written < length; i++) {
            block = hmac(pseudorandom, block, info, new byte[] {(byte) i});
            int count = Math.min(block.length, length - written);
            System.arraycopy(block, 0, out, written, count);
            written += count;
        }
        return out;
    }

    static byte[] ascii(String text) {
        return text.getBytes(StandardCharsets.US_ASCII);
    }

    static byte[] join(byte[]... parts) {
        int length = 0;
        for (byte[] part : parts) {
            length += part.length;
        }
        byte[] out = new byte[length];
        int at = 0;
        for (byte[] part : parts) {
            System.arraycopy(part, 0, out, at, part.length);
            at += part.length;
        }
        return out;
    }
}
