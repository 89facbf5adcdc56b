package org.edgesdk.gallery;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Optional;

/**
 * A reader of the sealed gallery, format versions 1 and 2 (docs/reference/gallery-format.md), with the platform's own cryptography.
 *
 * <pre>{@code
 * Gallery gallery = Gallery.open(bytes, secret, modelId);
 * Optional<String> subject = gallery.identify(embedding, 0.43, System.currentTimeMillis() / 1000);
 * }</pre>
 *
 * <p>Every refusal is a {@link GalleryException}: treat each as a closed door. An answer carries no score.
 */
public final class Gallery {
    /** A clock that is behind the last commit by no more than this is taken as correct, seconds. */
    private static final long CLOCK_TOLERANCE_S = 60;


    /** Larger files are refused unread. */
    public static final int MOST_BYTES = 64 << 20;

    private static final int PROBE_PEAK = 32767;

    /** Slot type of a passphrase. */
    private static final int PASSPHRASE = 3;

    private final Header header;
    private final Content content;
    private final Shp3 transform;
    /** Raises the policy's thresholds; null if they are used as they are. */
    private final OwnScores ownScores;
    private boolean anchorChecked;
    private boolean networksChecked;

    private Gallery(Header header, Content content) {
        this.header = header;
        this.content = content;
        this.anchorChecked = !content.anchored;
        this.networksChecked = content.networks == null;
        this.ownScores = OwnScores.of(content, header);
        byte[] key = content.transformKey != null
                ? content.transformKey
                : Sealing.hkdf(header.galleryId, content.rootSecret, Sealing.ascii("edge-sdk/gallery/transform@v1"));
        this.transform = header.transform == Header.TRANSFORM_SHP3 ? new Shp3(key, header.dimension) : null;
        Arrays.fill(key, (byte) 0);
    }

    /**
     * Opens a gallery and checks everything there is to check, save its age: see {@link #requireAnchor}.
     *
     * @param file the whole file
     * @param secret one of the keys that seal it
     * @param modelId id of the embedding space, 32 bytes, as {@code edge-convert inspect face.tflite --json} prints it
     *     ({@code space_id}); or the SHA-256 of the model file with which the gallery was created
     * @throws GalleryException FORMAT, SEAL or MODEL
     */
    public static Gallery open(byte[] file, SlotSecret secret, byte[] modelId) throws GalleryException {
        if (file.length > MOST_BYTES) {
            throw GalleryException.format("over " + MOST_BYTES + " bytes");
        }
        Header header = Header.parse(file);
        if (secret.slotType() == PASSPHRASE) {
            checkPassphraseWork(header);
        }
        for (int index = 0; index < header.slots.size(); index++) {
            Header.Slot slot = header.slots.get(index);
            if (slot.type != secret.slotType()) {
                continue;
            }
            byte[] slotKey = slotKey(header, slot, secret.secret(slot.parameters));
            byte[] dataKey;
            try {
                dataKey = unwrap(file, header, slot, slotKey);
            } catch (GalleryException e) {
                if (e.refusal() != GalleryException.Refusal.SEAL) {
                    throw e;
                }
                continue; // another slot of this type may be this key's
            }
            byte[] context = Sealing.join(Sealing.ascii("fg/1"), Sealing.sha512(file, header.length));
            byte[] text = Sealing.open(header.suite, dataKey, context, file, header.length, file.length);
            Arrays.fill(dataKey, (byte) 0);
            Content content = Content.parse(text, header, index, slotKey);
            boolean sameFile = content.modelFile != null && MessageDigest.isEqual(content.modelFile, modelId);
            if (!MessageDigest.isEqual(header.modelId, modelId) && !sameFile) {
                throw new GalleryException(
                        GalleryException.Refusal.MODEL, "the gallery's templates were made by another model");
            }
            return new Gallery(header, content);
        }
        throw GalleryException.seal();
    }

    /**
     * Refuses an old copy that was put back. Keep the number where the gallery's thief cannot write, and
     * replace it by {@link #generation} afterwards.
     *
     * @param anchored the generation last seen, 0 for none
     * @throws GalleryException ROLLBACK
     */
    public void requireAnchor(long anchored) throws GalleryException {
        if (header.generation != anchored && header.generation != anchored + 1) {
            throw new GalleryException(
                    GalleryException.Refusal.ROLLBACK,
                    "expected generation " + Long.toUnsignedString(anchored) + " or the next, found "
                            + Long.toUnsignedString(header.generation));
        }
        anchorChecked = true;
    }

    /**
     * Checks the files of the networks before the embedding against the pinned ones. Call it before {@link #identify} if
     * {@link #pinsNetworks}.
     *
     * @param detector SHA-256 of the face detector's file, 32 bytes; null if the app uses none
     * @param liveness SHA-256 of the files of the liveness networks, in any order
     * @param livenessThreshold threshold of the liveness networks, 0..1; not below the pinned one
     * @throws GalleryException MODEL
     */
    public void requireNetworks(byte[] detector, List<byte[]> liveness, double livenessThreshold)
            throws GalleryException {
        if (content.networks != null) {
            ByteBuffer pinned = ByteBuffer.wrap(content.networks).order(ByteOrder.LITTLE_ENDIAN);
            int at = 16;
            boolean same = livenessThreshold >= pinned.getDouble(0);
            if (pinned.getInt(8) == 1) {
                same &= detector != null && MessageDigest.isEqual(detector, Arrays.copyOfRange(content.networks, at, at + 32));
                at += 32;
            }
            if (pinned.getInt(12) > 0) {
                List<byte[]> sorted = new ArrayList<>(liveness);
                Collections.sort(sorted, Content::compareUnsigned);
                byte[] digests = Sealing.join(sorted.toArray(new byte[0][]));
                same &= MessageDigest.isEqual(digests, Arrays.copyOfRange(content.networks, at, content.networks.length));
            }
            if (!same) {
                throw new GalleryException(
                        GalleryException.Refusal.MODEL, "the detector or the liveness networks are not the pinned ones");
            }
        }
        networksChecked = true;
    }

    /** Returns whether the gallery pins a face detector or liveness networks. */
    public boolean pinsNetworks() {
        return content.networks != null;
    }

    /**
     * Asks who a probe is (1:N).
     *
     * @param embedding as the network gives it, of any length
     * @param threshold the cosine to reach, from the model card's operating points; not below that of the gallery's
     *     decision policy, because this reader writes no audit log
     * @param unixSeconds the device's time, for validity; the last commit's time counts if it is later, and if it is more
     *     than a minute later the clock is wrong and no subject with an end of validity takes part
     * @return the one subject whose best template reaches the threshold, and its own where it has a higher one; empty
     *     where nobody does, two tie, or the next is closer than the gallery's margin
     * @throws IllegalArgumentException another dimension, a number that is not finite, or a threshold below the policy's
     * @throws IllegalStateException the evidence of the gallery's policy does not reach so many templates; or the gallery
     *     has an anchor or pinned networks, and {@link #requireAnchor} or {@link #requireNetworks} was not called
     */
    public Optional<String> identify(float[] embedding, double threshold, long unixSeconds) {
        if (!anchorChecked || !networksChecked) {
            throw new IllegalStateException(
                    "expected a call of " + (anchorChecked ? "requireNetworks" : "requireAnchor") + " before this one");
        }
        if (!(threshold >= -1 && threshold <= 1)) {
            throw new IllegalArgumentException("expected a cosine threshold in -1..1, found " + threshold);
        }
        if (content.policy.exists() && threshold < policyThreshold()) {
            throw new IllegalArgumentException(
                    "expected a threshold that the decision policy requires or a higher one, found " + threshold);
        }
        int[] probe = probe(embedding);
        double length = 0;
        for (int value : probe) {
            length += (double) value * value;
        }
        length = Math.sqrt(length);
        boolean behind = Long.compareUnsigned(unixSeconds, content.committedAt) < 0;
        long now = behind ? content.committedAt : unixSeconds;
        boolean endsKnown = !behind || Long.compareUnsigned(content.committedAt - unixSeconds, CLOCK_TOLERANCE_S) <= 0;
        double[] best = new double[content.subjects.length];
        Arrays.fill(best, Double.NEGATIVE_INFINITY);
        for (int i = 0; i < content.owners.length; i++) {
            int owner = content.owners[i];
            if (content.subjects[owner].takesPart(now, endsKnown)) {
                best[owner] = Math.max(best[owner], product(probe, i) * content.scales[i] / length);
            }
        }
        int first = -1;
        double next = Double.NEGATIVE_INFINITY;
        for (int owner = 0; owner < best.length; owner++) {
            if (first < 0 || best[owner] > best[first]) {
                next = first < 0 ? next : best[first];
                first = owner;
            } else {
                next = Math.max(next, best[owner]);
            }
        }
        if (first < 0) {
            return Optional.empty();
        }
        Content.Subject subject = content.subjects[first];
        double ahead = best[first] - next;
        boolean reached = best[first] >= content.policy.needed(subject.id, threshold);
        return reached && ahead > 0 && ahead >= content.policy.margin ? Optional.of(subject.name) : Optional.empty();
    }

    /**
     * As the other, at the threshold that the gallery's decision policy asks for with so many templates, raised for the
     * gallery's own subjects if the policy adapts.
     *
     * @throws IllegalStateException the gallery has no policy, or its evidence does not reach so many templates
     */
    public Optional<String> identify(float[] embedding, long unixSeconds) {
        return identify(embedding, policyThreshold(), unixSeconds);
    }

    private double policyThreshold() {
        double threshold = content.policy.threshold(templates());
        return ownScores == null ? threshold : ownScores.raised(threshold);
    }

    /** Everyone enrolled, in order of enrolment, revoked or not. */
    public List<String> subjects() {
        List<String> names = new ArrayList<>();
        for (Content.Subject subject : content.subjects) {
            names.add(subject.name);
        }
        return Collections.unmodifiableList(names);
    }

    /** How many templates there are. */
    public int templates() {
        return content.owners.length;
    }

    /** Which commit this is; for the anchor. */
    public long generation() {
        return header.generation;
    }

    /** Refuses costs of Argon2id beyond the limits: anyone can write a header, and it is not authenticated yet. */
    private static void checkPassphraseWork(Header header) throws GalleryException {
        long work = 0;
        for (Header.Slot slot : header.slots) {
            if (slot.type != PASSPHRASE) {
                continue;
            }
            if (slot.parameters.length != 28) {
                throw GalleryException.format("a passphrase slot with parameters of another length");
            }
            ByteBuffer costs = ByteBuffer.wrap(slot.parameters).order(ByteOrder.LITTLE_ENDIAN);
            long memory = Integer.toUnsignedLong(costs.getInt(0));
            long passes = Integer.toUnsignedLong(costs.getInt(4));
            long lanes = Integer.toUnsignedLong(costs.getInt(8));
            if (lanes < 1 || lanes > 16 || passes < 1 || passes > 16 || memory < 8 * lanes || memory > 262_144) {
                throw GalleryException.format("a passphrase slot with costs out of range");
            }
            work += memory * passes;
        }
        if (work > 4_194_304) {
            throw GalleryException.format("passphrase slots that together cost too much");
        }
    }

    private static byte[] slotKey(Header header, Header.Slot slot, byte[] secret) {
        ByteBuffer numbers = ByteBuffer.allocate(10).order(ByteOrder.LITTLE_ENDIAN);
        numbers.putLong(header.keyEpoch).putShort((short) slot.type);
        byte[] info = Sealing.join(Sealing.ascii("edge-sdk/gallery/kek@v1"), numbers.array());
        return Sealing.hkdf(header.galleryId, secret, info);
    }

    private static byte[] unwrap(byte[] file, Header header, Header.Slot slot, byte[] slotKey)
            throws GalleryException {
        byte[] context = Sealing.join(
                Sealing.ascii("fg/1/slot"), Arrays.copyOf(file, Header.FIXED_BYTES), slot.prefix, slot.parameters);
        return Sealing.open(header.suite, slotKey, context, slot.wrapped, 0, slot.wrapped.length);
    }

    /** Length 1, transformed, then 16-bit integers, so that the products with templates are exact. */
    private int[] probe(float[] embedding) {
        if (embedding.length != header.dimension) {
            throw new IllegalArgumentException(
                    "expected an embedding of dimension " + header.dimension + ", found " + embedding.length);
        }
        double squares = 0;
        for (float value : embedding) {
            squares += (double) value * value;
        }
        if (!(squares > 0) || Double.isInfinite(squares)) {
            throw new IllegalArgumentException("an embedding that is not finite, or all zeros, has no direction");
        }
        double[] x = new double[embedding.length];
        for (int i = 0; i < x.length; i++) {
            x[i] = embedding[i] / Math.sqrt(squares);
        }
        x = transform == null ? x : transform.apply(x);
        double peak = 0;
        for (double value : x) {
            peak = Math.max(peak, Math.abs(value));
        }
        int[] probe = new int[x.length];
        for (int i = 0; i < x.length; i++) {
            probe[i] = (int) Math.rint(x[i] * (PROBE_PEAK / peak));
        }
        return probe;
    }

    private double product(int[] probe, int template) {
        int at = template * header.rowBytes();
        if (header.templateType == Header.INT8) {
            long sum = 0;
            for (int i = 0; i < probe.length; i++) {
                sum += probe[i] * content.matrix.get(at + i);
            }
            return sum;
        }
        double sum = 0;
        for (int i = 0; i < probe.length; i++) {
            sum += probe[i] * half(content.matrix.getShort(at + 2 * i));
        }
        return sum;
    }

    /** A number of IEEE 754 binary16. */
    static double half(short bits) {
        int exponent = bits >> 10 & 0x1f;
        int mantissa = bits & 0x3ff;
        double size = exponent == 0 ? Math.scalb((double) mantissa, -24) : Math.scalb(1024.0 + mantissa, exponent - 25);
        if (exponent == 0x1f) {
            size = Double.NaN; // no template holds one; it matches nobody
        }
        return bits < 0 ? -size : size;
    }
}
