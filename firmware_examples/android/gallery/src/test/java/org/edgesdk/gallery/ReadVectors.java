package org.edgesdk.gallery;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;

/**
 * Reads known-answer vectors (tests/vectors/gallery) and prints one line for each: what it found.
 *
 * <p>An argument is {@code FILE} or {@code FILE=HEX}; HEX is the secret of a passphrase slot, which takes an Argon2id.
 */
public final class ReadVectors {

    private ReadVectors() {}

    public static void main(String[] arguments) throws IOException {
        for (String argument : arguments) {
            String[] parts = argument.split("=", 2);
            Path path = Paths.get(parts[0]);
            System.out.println(path.getFileName() + ": " + read(Files.readAllBytes(path), parts.length > 1 ? parts[1] : ""));
        }
    }

    private static String read(byte[] vector, String derived) {
        int split = headEnd(vector);
        Map<String, String> head = new HashMap<>();
        for (String line : new String(vector, 0, split, StandardCharsets.UTF_8).split("\n")) {
            String[] pair = line.split(": ", 2);
            head.put(pair[0], pair[1]);
        }
        byte[] file = Arrays.copyOfRange(vector, split + 2, vector.length);
        try {
            byte[] model = hex(head.getOrDefault("model", modelOf(file)));
            Gallery gallery = Gallery.open(file, secret(head, derived), model);
            if (head.containsKey("anchor")) {
                gallery.requireAnchor(Long.parseLong(head.get("anchor")));
            }
            if (head.containsKey("detector")) {
                gallery.requireNetworks(hex(head.get("detector")), Collections.emptyList(), 0);
            }
            String found = "ok generation=" + Long.toUnsignedString(gallery.generation())
                    + " subjects=" + String.join(",", gallery.subjects()) + " templates=" + gallery.templates();
            return head.containsKey("probe") ? found + " identified=" + identified(gallery, head) : found;
        } catch (GalleryException e) {
            return e.refusal().name().toLowerCase(Locale.ROOT);
        }
    }

    private static String identified(Gallery gallery, Map<String, String> head) {
        String[] numbers = head.get("probe").split(",");
        float[] probe = new float[numbers.length];
        for (int i = 0; i < probe.length; i++) {
            probe[i] = Float.parseFloat(numbers[i]);
        }
        return (head.get("threshold").equals("policy")
                        ? gallery.identify(probe, 0)
                        : gallery.identify(probe, Double.parseDouble(head.get("threshold")), 0))
                .orElse("nobody");
    }

    private static SlotSecret secret(Map<String, String> head, String derived) {
        int type = head.containsKey("passphrase") ? 3 : 8;
        byte[] bytes = hex(type == 3 ? derived : head.getOrDefault("key", ""));
        return new SlotSecret() {
            @Override
            public int slotType() {
                return type;
            }

            @Override
            public byte[] secret(byte[] parameters) {
                return bytes.clone();
            }
        };
    }

    /** Where a vector names no model, the gallery's own is taken for right. */
    private static String modelOf(byte[] file) {
        StringBuilder digits = new StringBuilder();
        for (int i = 48; i < Math.min(80, file.length); i++) {
            digits.append(String.format("%02x", file[i]));
        }
        return digits.toString();
    }

    private static int headEnd(byte[] vector) {
        for (int i = 0; ; i++) {
            if (vector[i] == '\n' && vector[i + 1] == '\n') {
                return i;
            }
        }
    }

    private static byte[] hex(String digits) {
        byte[] bytes = new byte[digits.length() / 2];
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = (byte) Integer.parseInt(digits.substring(2 * i, 2 * i + 2), 16);
        }
        return bytes;
    }
}
