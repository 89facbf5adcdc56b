package org.edgesdk.gallery;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;

/** The part of a gallery that lies in clear. Nothing of it is believed before the body has been opened. */
final class Header {

    static final int FIXED_BYTES = 88;
    static final int WRAPPED_BYTES = 104;
    static final int INT8 = 1;
    static final int TRANSFORM_SHP3 = 1;
    static final int MODEL_SPACE = 1;

    private static final byte[] MAGIC = {(byte) 0x89, 'F', 'G', 'A', '\r', '\n', 0x1a, '\n'};
    private static final int LEAST_BYTES = FIXED_BYTES + 4 + WRAPPED_BYTES;
    private static final int MOST_BYTES = 4096;
    private static final int MOST_SLOTS = 8;

    /** One key slot: how to get at the data key with a secret of this type. */
    static final class Slot {
        final int type;
        /** Type, length and parameters as they lie in the file: a part of what the wrap is bound to. */
        final byte[] prefix;
        final byte[] parameters;
        final byte[] wrapped;

        Slot(int type, byte[] prefix, byte[] parameters, byte[] wrapped) {
            this.type = type;
            this.prefix = prefix;
            this.parameters = parameters;
            this.wrapped = wrapped;
        }
    }

    final int version;
    final int length;
    final int suite;
    final byte[] galleryId;
    final long generation;
    final long keyEpoch;
    final byte[] modelId;
    /** 0: the model id is the SHA-256 of the model file; 1: it is the id of the embedding space (version 2). */
    final int modelKind;
    final int dimension;
    final int templateType;
    final int transform;
    final List<Slot> slots;

    private Header(ByteBuffer fixed, int length, List<Slot> slots) {
        this.version = Short.toUnsignedInt(fixed.getShort(8));
        this.length = length;
        this.suite = Short.toUnsignedInt(fixed.getShort(10));
        this.galleryId = take(fixed, 16, 16);
        this.generation = fixed.getLong(32);
        this.keyEpoch = fixed.getLong(40);
        this.modelId = take(fixed, 48, 32);
        this.modelKind = Byte.toUnsignedInt(fixed.get(86));
        this.dimension = Short.toUnsignedInt(fixed.getShort(80));
        this.templateType = fixed.get(82);
        this.transform = fixed.get(83);
        this.slots = Collections.unmodifiableList(slots);
    }

    static Header parse(byte[] file) throws GalleryException {
        need(file.length >= FIXED_BYTES, "cut short");
        need(Arrays.equals(Arrays.copyOf(file, MAGIC.length), MAGIC), "not a gallery");
        ByteBuffer fixed = ByteBuffer.wrap(file, 0, FIXED_BYTES).order(ByteOrder.LITTLE_ENDIAN);
        int version = Short.toUnsignedInt(fixed.getShort(8));
        need(version == 1 || version == 2, "expected version 1 or 2");
        long length = Integer.toUnsignedLong(fixed.getInt(12));
        need(length >= LEAST_BYTES && length <= MOST_BYTES && length <= file.length, "header length out of range");
        int count = Short.toUnsignedInt(fixed.getShort(84));
        need(count >= 1 && count <= MOST_SLOTS, "expected 1 to 8 key slots");
        int modelKind = Byte.toUnsignedInt(fixed.get(86));
        need(modelKind <= (version == 1 ? 0 : 1), "unknown kind of model id");
        need(fixed.get(87) == 0, "a reserved byte is not zero");
        Header header = new Header(fixed, (int) length, readSlots(file, (int) length, count));
        need(header.suite == 1 || header.suite == 2, "unknown suite");
        need(header.generation != 0, "generation zero");
        need(header.dimension > 0, "dimension zero");
        need(header.templateType == INT8 || header.templateType == 2, "unknown template type");
        need(header.transform == 0 || header.transform == TRANSFORM_SHP3, "unknown transform");
        return header;
    }

    /** Bytes of one stored template. */
    int rowBytes() {
        return dimension * templateType;
    }

    private static List<Slot> readSlots(byte[] file, int length, int count) throws GalleryException {
        ByteBuffer bytes = ByteBuffer.wrap(file).order(ByteOrder.LITTLE_ENDIAN);
        List<Slot> slots = new ArrayList<>();
        int at = FIXED_BYTES;
        for (int i = 0; i < count; i++) {
            need(at + 4 <= length, "a key slot is cut short");
            int type = Short.toUnsignedInt(bytes.getShort(at));
            int size = Short.toUnsignedInt(bytes.getShort(at + 2));
            int end = at + 4 + size;
            need(type > 0 && size >= WRAPPED_BYTES && end <= length, "a key slot is out of range");
            slots.add(new Slot(
                    type,
                    Arrays.copyOfRange(file, at, at + 4),
                    Arrays.copyOfRange(file, at + 4, end - WRAPPED_BYTES),
                    Arrays.copyOfRange(file, end - WRAPPED_BYTES, end)));
            at = end;
        }
        need(at == length, "the header has more than its key slots");
        return slots;
    }

    private static byte[] take(ByteBuffer from, int at, int count) {
        return Arrays.copyOfRange(from.array(), at, at + count);
    }

    private static void need(boolean good, String otherwise) throws GalleryException {
        if (!good) {
            throw GalleryException.format("header: " + otherwise);
        }
    }
}
