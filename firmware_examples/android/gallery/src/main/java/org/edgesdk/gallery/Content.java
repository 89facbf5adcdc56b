package org.edgesdk.gallery;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;

/** What a gallery holds, once opened. Every count is held against its cap and the text's length before it is used. */
final class Content {

    private static final int COUNTS_BYTES = 64;
    private static final int SUBJECT_BYTES = 64;
    private static final int TEMPLATE_BYTES = 8;
    private static final int SOURCE_BYTES = 40;
    private static final int AUDIT_BYTES = 80;
    private static final int MOST_SUBJECTS = 20_000;
    private static final int MOST_TEMPLATES = 100_000;
    private static final int MOST_POLICY_BYTES = 1 << 20;
    private static final int MOST_SOURCES = 256;
    private static final int MOST_NAME_BYTES = 64;
    private static final int REVOKED = 1;
    private static final int CRITICAL = 1;
    private static final int RECORD_SLOT_KEYS = 1;
    private static final int RECORD_TRANSFORM_KEY = 2;
    private static final int RECORD_DECISION_POLICY = 3;
    private static final int RECORD_OWN_THRESHOLDS = 5;
    private static final int RECORD_AUDIT_SEGMENTS = 7;
    private static final int RECORD_ANCHOR = 8;
    private static final int RECORD_NETWORKS = 9;
    private static final int RECORD_COMMAND_HISTORY = 10;
    private static final int RECORD_CALLER_THRESHOLDS = 11;
    private static final int RECORD_EVIDENCE = 12;
    private static final int RECORD_KEY_NAMES = 13;
    private static final int RECORD_CAPTURES = 14;
    private static final int RECORD_MODEL_FILE = 15;
    private static final int RECORD_POLICY_EVIDENCE = 16;
    private static final int RECORD_LOOKS = 17;
    private static final int RECORD_KEPT_GENERATION = 18;
    private static final int LAST_RECORD_OF_VERSION_2 = 18;
    private static final int CAPTURES_BYTES = 40;
    private static final int PART_BYTES = 68;
    private static final int MOST_PARTS = 10_000;
    private static final int MOST_PARTS_OF_SUBJECT = 16;
    private static final int MOST_CAPTURES = 32;
    private static final long LAST_SECOND = 253_402_300_799L;
    private static final int KEPT_BYTES = 80;
    private static final int MOST_LEFT_OUT = 20_000;
    private static final int MOST_KEY_ROLES = 4;
    private static final int LOOK_BYTES = 37;
    private static final int MOST_LOOKS = 16;
    // Kind 4 limits failed attempts. This reader does not count attempts, so it refuses such a gallery.
    private static final Set<Integer> KNOWN = new HashSet<>(Arrays.asList(
            RECORD_SLOT_KEYS,
            RECORD_TRANSFORM_KEY,
            RECORD_DECISION_POLICY,
            RECORD_OWN_THRESHOLDS,
            RECORD_ANCHOR,
            RECORD_NETWORKS,
            RECORD_CALLER_THRESHOLDS,
            RECORD_POLICY_EVIDENCE));

    static final class Subject {
        final byte[] id;
        final String name;
        final String label;
        final boolean revoked;
        private final long validFrom;
        private final long validUntil;

        Subject(byte[] id, String name, String label, boolean revoked, long validFrom, long validUntil) {
            this.id = id;
            this.name = name;
            this.label = label;
            this.revoked = revoked;
            this.validFrom = validFrom;
            this.validUntil = validUntil;
        }

        boolean takesPart(long unixSeconds, boolean endsKnown) {
            return !revoked
                    && Long.compareUnsigned(validFrom, unixSeconds) <= 0
                    && (validUntil == 0 || endsKnown && Long.compareUnsigned(unixSeconds, validUntil) < 0);
        }
    }

    final byte[] rootSecret;
    /** The renewed transform key; null where it derives from the root secret. */
    final byte[] transformKey;
    /** SHA-256 of the model file, if the header holds the id of the embedding space; otherwise null. */
    final byte[] modelFile;
    /** True if the gallery was created with an anchor. */
    final boolean anchored;
    /** The pinned networks as they are in the record; null if none are pinned. */
    final byte[] networks;
    /** The evidence of the policy as it is in the record; null if there is none. */
    final byte[] evidence;

    final Policy policy;
    final long committedAt;
    final Subject[] subjects;
    /** For each template the index of its subject. */
    final int[] owners;
    /** For each template one over the length of its row. */
    final float[] scales;
    /** All templates, row by row, as they lie in the text. */
    final ByteBuffer matrix;

    private Content(
            byte[] rootSecret,
            byte[] transformKey,
            byte[] modelFile,
            boolean anchored,
            byte[] networks,
            byte[] evidence,
            Policy policy,
            long committedAt,
            Subject[] subjects,
            int[] owners,
            float[] scales,
            ByteBuffer matrix) {
        this.rootSecret = rootSecret;
        this.transformKey = transformKey;
        this.modelFile = modelFile;
        this.anchored = anchored;
        this.networks = networks;
        this.evidence = evidence;
        this.policy = policy;
        this.committedAt = committedAt;
        this.subjects = subjects;
        this.owners = owners;
        this.scales = scales;
        this.matrix = matrix;
    }

    /**
     * @param slotIndex which key slot opened the gallery
     * @param slotKey its key; the content must know the same
     */
    static Content parse(byte[] text, Header header, int slotIndex, byte[] slotKey) throws GalleryException {
        need(text.length >= COUNTS_BYTES, "cut short");
        ByteBuffer bytes = ByteBuffer.wrap(text).order(ByteOrder.LITTLE_ENDIAN);
        long subjects = Integer.toUnsignedLong(bytes.getInt(0));
        long templates = Integer.toUnsignedLong(bytes.getInt(4));
        long labelBytes = Integer.toUnsignedLong(bytes.getInt(8));
        long policyBytes = Integer.toUnsignedLong(bytes.getInt(12));
        long sources = Integer.toUnsignedLong(bytes.getInt(16));
        need(subjects <= MOST_SUBJECTS && templates <= MOST_TEMPLATES, "more subjects or templates than allowed");
        need(labelBytes <= 2 * MOST_NAME_BYTES * subjects && policyBytes <= MOST_POLICY_BYTES, "a section too long");
        need(sources <= MOST_SOURCES && bytes.getInt(20) == 0, "sources or reserved bytes out of range");
        long tableAt = COUNTS_BYTES + SUBJECT_BYTES * subjects;
        long labelsAt = tableAt + TEMPLATE_BYTES * templates;
        long policyAt = labelsAt + labelBytes;
        long front = policyAt + policyBytes + SOURCE_BYTES * sources + AUDIT_BYTES;
        long matrixAt = (front + 63) / 64 * 64;
        need(text.length == matrixAt + templates * header.rowBytes(), "another length than its counts say");
        for (int i = (int) front; i < matrixAt; i++) {
            need(text[i] == 0, "padding is not zero");
        }
        int[] owners = new int[(int) templates];
        float[] scales = new float[(int) templates];
        readTable(bytes, (int) tableAt, (int) subjects, owners, scales);
        checkSources(bytes, (int) (policyAt + policyBytes), (int) sources);
        Map<Integer, byte[]> records =
                readRecords(bytes, (int) policyAt, (int) (policyAt + policyBytes), header, slotIndex, slotKey);
        Subject[] read = readSubjects(bytes, (int) subjects, (int) labelsAt, (int) policyAt);
        ByteBuffer matrix = ByteBuffer.wrap(text, (int) matrixAt, text.length - (int) matrixAt).slice();
        return new Content(
                Arrays.copyOfRange(text, 24, 56),
                records.get(RECORD_TRANSFORM_KEY),
                header.modelKind == Header.MODEL_SPACE ? records.get(RECORD_MODEL_FILE) : null,
                records.containsKey(RECORD_ANCHOR),
                records.get(RECORD_NETWORKS),
                records.get(RECORD_POLICY_EVIDENCE),
                new Policy(records.get(RECORD_DECISION_POLICY), records.get(RECORD_OWN_THRESHOLDS)),
                bytes.getLong(56),
                read,
                owners,
                scales,
                matrix.order(ByteOrder.LITTLE_ENDIAN));
    }

    private static void readTable(ByteBuffer bytes, int at, int subjects, int[] owners, float[] scales)
            throws GalleryException {
        boolean[] has = new boolean[subjects];
        for (int i = 0; i < owners.length; i++) {
            owners[i] = bytes.getInt(at + TEMPLATE_BYTES * i);
            scales[i] = bytes.getFloat(at + TEMPLATE_BYTES * i + 4);
            need(owners[i] >= 0 && owners[i] < subjects, "a template of nobody");
            need(scales[i] > 0 && !Float.isInfinite(scales[i]), "a template's scale is no positive number");
            has[owners[i]] = true;
        }
        for (boolean one : has) {
            need(one, "a subject without a template");
        }
    }

    private static Subject[] readSubjects(ByteBuffer bytes, int count, int labelsAt, int labelsEnd)
            throws GalleryException {
        Subject[] subjects = new Subject[count];
        Set<ByteBuffer> ids = new HashSet<>();
        Set<String> names = new HashSet<>();
        int textAt = labelsAt;
        for (int i = 0; i < count; i++) {
            int at = COUNTS_BYTES + SUBJECT_BYTES * i;
            byte[] id = Arrays.copyOfRange(bytes.array(), at, at + 16);
            need(ids.add(ByteBuffer.wrap(id)), "two subjects of one id");
            long from = bytes.getLong(at + 32);
            long until = bytes.getLong(at + 40);
            int flags = bytes.getInt(at + 56);
            int nameBytes = Short.toUnsignedInt(bytes.getShort(at + 60));
            int labelBytes = Short.toUnsignedInt(bytes.getShort(at + 62));
            need(until == 0 || Long.compareUnsigned(until, from) >= 0, "valid until before valid from");
            // A flag that this reader does not know may be a restriction: to pass over it would open a door.
            need((flags & ~REVOKED) == 0, "an unknown flag of a subject");
            need(nameBytes >= 1 && nameBytes <= MOST_NAME_BYTES && labelBytes <= MOST_NAME_BYTES, "a name too long");
            need(textAt + nameBytes + labelBytes <= labelsEnd, "names longer than their section");
            String name = words(bytes.array(), textAt, nameBytes);
            String label = words(bytes.array(), textAt + nameBytes, labelBytes);
            textAt += nameBytes + labelBytes;
            need(names.add(name), "two subjects of one name");
            subjects[i] = new Subject(id, name, label, flags == REVOKED, from, until);
        }
        need(textAt == labelsEnd, "more text than names");
        return subjects;
    }

    private static String words(byte[] bytes, int at, int count) throws GalleryException {
        CharBuffer text;
        try {
            text = StandardCharsets.UTF_8
                    .newDecoder()
                    .onMalformedInput(CodingErrorAction.REPORT)
                    .onUnmappableCharacter(CodingErrorAction.REPORT)
                    .decode(ByteBuffer.wrap(bytes, at, count));
        } catch (CharacterCodingException e) {
            throw GalleryException.format("content: a name is not UTF-8");
        }
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            boolean steers = Character.isISOControl(c)
                    || c == 0x2028
                    || c == 0x2029
                    || c >= 0x202a && c <= 0x202e
                    || c >= 0x2066 && c <= 0x2069;
            need(!steers, "a control character in a name");
        }
        return text.toString();
    }

    private static void checkSources(ByteBuffer bytes, int at, int count) throws GalleryException {
        for (int i = 1; i < count; i++) {
            byte[] before = Arrays.copyOfRange(bytes.array(), at + SOURCE_BYTES * (i - 1), at + SOURCE_BYTES * i - 8);
            byte[] now = Arrays.copyOfRange(bytes.array(), at + SOURCE_BYTES * i, at + SOURCE_BYTES * (i + 1) - 8);
            need(compareUnsigned(before, now) < 0, "command sources out of order");
        }
    }

    /** The policy records by kind, checked: slot keys there and right, nothing critical that is not known. */
    private static Map<Integer, byte[]> readRecords(
            ByteBuffer bytes, int from, int end, Header header, int slotIndex, byte[] slotKey) throws GalleryException {
        Map<Integer, byte[]> records = new HashMap<>();
        int before = 0;
        for (int at = from; at < end; ) {
            need(at + 8 <= end, "a policy record is cut short");
            int kind = Short.toUnsignedInt(bytes.getShort(at));
            int flags = Short.toUnsignedInt(bytes.getShort(at + 2));
            long length = Integer.toUnsignedLong(bytes.getInt(at + 4));
            need(kind > before && (flags & ~CRITICAL) == 0 && at + 8 + length <= end, "a policy record is malformed");
            need(KNOWN.contains(kind) || flags != CRITICAL, "a critical record of a kind that this reader does not support");
            byte[] value = Arrays.copyOfRange(bytes.array(), at + 8, at + 8 + (int) length);
            if (kind >= RECORD_AUDIT_SEGMENTS && kind <= LAST_RECORD_OF_VERSION_2) {
                need(header.version >= 2, "a record that version 1 does not have");
                checkRecord(kind, flags == CRITICAL, value);
                need(kind != RECORD_KEY_NAMES || keyNames(value) == header.slots.size(), "names of other keys");
            }
            records.put(kind, value);
            before = kind;
            at += 8 + (int) length;
        }
        byte[] keys = records.getOrDefault(RECORD_SLOT_KEYS, new byte[0]);
        need(keys.length == Sealing.KEY_BYTES * header.slots.size(), "slot keys are missing");
        int at = Sealing.KEY_BYTES * slotIndex;
        need(MessageDigest.isEqual(Arrays.copyOfRange(keys, at, at + Sealing.KEY_BYTES), slotKey), "another slot key");
        byte[] transformKey = records.get(RECORD_TRANSFORM_KEY);
        need(transformKey == null || transformKey.length == Sealing.KEY_BYTES, "a transform key of another length");
        return records;
    }

    /** Checks the flag and the value of a record that version 2 added. */
    private static void checkRecord(int kind, boolean critical, byte[] value) throws GalleryException {
        boolean restricts = kind == RECORD_ANCHOR || kind == RECORD_NETWORKS || kind == RECORD_CALLER_THRESHOLDS;
        restricts |= kind == RECORD_POLICY_EVIDENCE && OwnScores.adapts(value);
        need(critical == restricts, "a policy record with the wrong critical flag");
        if (kind == RECORD_AUDIT_SEGMENTS || kind == RECORD_ANCHOR) {
            need(value.length > 0, "an empty policy record");
        } else if (kind == RECORD_COMMAND_HISTORY) {
            checkHistory(ByteBuffer.wrap(value).order(ByteOrder.LITTLE_ENDIAN));
        } else if (kind == RECORD_NETWORKS) {
            checkNetworks(value);
        } else if (kind == RECORD_CALLER_THRESHOLDS) {
            need(value.length == 1 && value[0] == 1, "a permission for thresholds other than 01");
        } else if (kind == RECORD_EVIDENCE || kind == RECORD_MODEL_FILE) {
            need(value.length == 32, "a digest of another length");
        } else if (kind == RECORD_POLICY_EVIDENCE) {
            OwnScores.check(value);
        } else if (kind == RECORD_LOOKS) {
            checkLooks(ByteBuffer.wrap(value).order(ByteOrder.LITTLE_ENDIAN));
        } else if (kind == RECORD_CAPTURES) {
            checkCaptures(ByteBuffer.wrap(value).order(ByteOrder.LITTLE_ENDIAN));
        } else if (kind == RECORD_KEPT_GENERATION) {
            checkKeptGeneration(ByteBuffer.wrap(value).order(ByteOrder.LITTLE_ENDIAN));
        }
    }

    /** Checks the record of stored captures, which this reader does not open. */
    private static void checkCaptures(ByteBuffer value) throws GalleryException {
        need(value.capacity() >= CAPTURES_BYTES, "the record of captures is cut short");
        long parts = Integer.toUnsignedLong(value.getInt(32));
        need(parts <= MOST_PARTS && value.getInt(36) == 0, "a number of captures out of range");
        need(value.capacity() == CAPTURES_BYTES + PART_BYTES * parts, "a record of captures of another length");
        byte[] subject = null;
        int ofSubject = 0;
        for (int at = CAPTURES_BYTES; at < value.capacity(); at += PART_BYTES) {
            byte[] now = Arrays.copyOfRange(value.array(), at, at + 16);
            int order = subject == null ? -1 : compareUnsigned(subject, now);
            need(order <= 0, "captures out of order");
            ofSubject = order < 0 ? 1 : ofSubject + 1;
            subject = now;
            long second = value.getLong(at + 56);
            int captures = value.getInt(at + 64);
            need(ofSubject <= MOST_PARTS_OF_SUBJECT, "more captures of a subject than allowed");
            need(captures >= 1 && captures <= MOST_CAPTURES, "a number of captures out of range");
            need(second >= 0 && second <= LAST_SECOND, "a time of captures out of range");
        }
    }

    /** Checks the record of a kept generation, which this reader does not open. */
    private static void checkKeptGeneration(ByteBuffer value) throws GalleryException {
        need(value.capacity() >= KEPT_BYTES, "the record of a kept generation is cut short");
        int kind = Byte.toUnsignedInt(value.get(72));
        int method = Byte.toUnsignedInt(value.get(73));
        long leftOut = Integer.toUnsignedLong(value.getInt(76));
        need(value.getLong(0) > 0 && kind <= 1, "a kept generation out of range");
        need(method >= 1 && method <= 2 && value.getShort(74) == 0, "a change of the model by another method");
        need(leftOut <= MOST_LEFT_OUT, "more subjects left out than a gallery has");
        need(value.capacity() == KEPT_BYTES + 16 * leftOut, "a kept generation of another length");
    }

    /** Checks the names and roles of keys, which this reader does not show, and returns their number. */
    private static int keyNames(byte[] value) throws GalleryException {
        Set<String> names = new HashSet<>();
        int count = 0;
        for (int at = 0; at < value.length; count++) {
            need(at + 2 <= value.length, "the name of a key is cut short");
            int role = Byte.toUnsignedInt(value[at]);
            int length = Byte.toUnsignedInt(value[at + 1]);
            need(role < MOST_KEY_ROLES && length <= MOST_NAME_BYTES, "a role or a name of a key out of range");
            need(at + 2 + length <= value.length, "the name of a key is cut short");
            need(length == 0 || names.add(words(value, at + 2, length)), "two keys of one name");
            at += 2 + length;
        }
        return count;
    }

    /** Checks the looks, which this reader does not use: their templates are compared like all others. */
    private static void checkLooks(ByteBuffer value) throws GalleryException {
        byte[] subject = null;
        Set<String> names = new HashSet<>();
        for (int at = 0; at < value.capacity(); ) {
            need(at + LOOK_BYTES <= value.capacity(), "a look is cut short");
            byte[] now = Arrays.copyOfRange(value.array(), at, at + 16);
            int order = subject == null ? -1 : compareUnsigned(subject, now);
            need(order <= 0, "looks out of order");
            if (order < 0) {
                subject = now;
                names.clear();
            }
            int length = Byte.toUnsignedInt(value.get(at + 36));
            need(value.getInt(at + 32) != 0, "a look without templates");
            need(length >= 1 && length <= MOST_NAME_BYTES, "the name of a look out of range");
            need(at + LOOK_BYTES + length <= value.capacity(), "the name of a look is cut short");
            need(names.add(words(value.array(), at + LOOK_BYTES, length)), "two looks of one name");
            need(names.size() <= MOST_LOOKS, "more looks than allowed");
            at += LOOK_BYTES + length;
        }
    }

    /** Checks the command history, which this reader does not use, because it executes no commands. */
    private static void checkHistory(ByteBuffer value) throws GalleryException {
        need(value.capacity() >= 16, "a command history without counts");
        long first = value.getLong(0);
        long states = Integer.toUnsignedLong(value.getInt(8));
        long changes = Integer.toUnsignedLong(value.getInt(12));
        need(first > 0 && states <= 512 && changes <= 512, "a command history out of range");
        need(value.capacity() == 16 + 16 * states + 56 * changes, "a command history of another length");
        long before = first;
        for (int at = (int) (16 + 16 * states); at < value.capacity(); at += 56) {
            long generation = value.getLong(at + 48) & Long.MAX_VALUE;
            need(generation >= before, "changes in the command history that are not in order");
            before = generation;
        }
    }

    /** Checks the digests of the detector and the liveness networks; this reader opens no networks. */
    private static void checkNetworks(byte[] value) throws GalleryException {
        need(value.length >= 16, "pinned networks are cut short");
        ByteBuffer bytes = ByteBuffer.wrap(value).order(ByteOrder.LITTLE_ENDIAN);
        double threshold = bytes.getDouble(0);
        long detectors = Integer.toUnsignedLong(bytes.getInt(8));
        long liveness = Integer.toUnsignedLong(bytes.getInt(12));
        need(detectors <= 1 && liveness <= 16 && detectors + liveness > 0, "a number of pinned networks out of range");
        need(value.length == 16 + 32 * (detectors + liveness), "pinned networks of another length");
        need(liveness > 0 ? threshold > 0 && threshold <= 1 : threshold == 0, "a liveness threshold out of range");
        for (int at = (int) (16 + 32 * (detectors + 1)); at < value.length; at += 32) {
            byte[] before = Arrays.copyOfRange(value, at - 32, at);
            need(compareUnsigned(before, Arrays.copyOfRange(value, at, at + 32)) <= 0, "pinned networks out of order");
        }
    }

    /** Compares bytes as unsigned numbers, first byte first; Arrays.compareUnsigned needs Android API level 33. */
    static int compareUnsigned(byte[] a, byte[] b) {
        for (int i = 0; i < Math.min(a.length, b.length); i++) {
            if (a[i] != b[i]) {
                return Byte.toUnsignedInt(a[i]) - Byte.toUnsignedInt(b[i]);
            }
        }
        return a.length - b.length;
    }

    private static void need(boolean good, String otherwise) throws GalleryException {
        if (!good) {
            throw GalleryException.format("content: " + otherwise);
        }
    }
}
