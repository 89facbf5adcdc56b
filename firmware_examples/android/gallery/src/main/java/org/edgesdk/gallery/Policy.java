package org.edgesdk.gallery;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;

/** What the gallery's owner told it about deciding: evidence and a wished FPIR, a margin, thresholds of single subjects. */
final class Policy {

    private static final int HEAD_BYTES = 32;
    private static final int POINT_BYTES = 40;
    private static final int OWN_BYTES = 24;
    private static final int MOST_POINTS = 64;
    private static final double LEAST_FMR = 1e-15;

    /** How far the best subject must be ahead of the next; 0 where there is no policy. */
    final double margin;

    private final double fpir;
    private final double[] thresholds;
    private final double[] fmrs;
    private final Map<ByteBuffer, Double> own;

    /**
     * @param decision the record of kind 3, or null
     * @param subjects the record of kind 5, or null
     */
    Policy(byte[] decision, byte[] subjects) throws GalleryException {
        ByteBuffer bytes = little(decision == null ? new byte[HEAD_BYTES] : decision);
        need(bytes.capacity() >= HEAD_BYTES, "the decision policy is cut short");
        fpir = bytes.getDouble(0);
        margin = bytes.getDouble(8);
        double band = bytes.getDouble(16);
        long count = Integer.toUnsignedLong(bytes.getInt(24));
        need(count <= MOST_POINTS && bytes.capacity() == HEAD_BYTES + POINT_BYTES * count, "points of another length");
        if (decision != null) {
            need(count >= 1 && bytes.getInt(28) == 0 && fpir > 0 && fpir < 1, "a decision policy out of range");
            need(margin >= 0 && margin <= 1 && band >= 0 && band <= 1, "margin or retry band out of range");
        }
        thresholds = new double[(int) count];
        fmrs = new double[(int) count];
        for (int i = 0; i < count; i++) {
            int at = HEAD_BYTES + POINT_BYTES * i;
            thresholds[i] = bytes.getDouble(at);
            fmrs[i] = bytes.getDouble(at + 8);
            double fnmr = bytes.getDouble(at + 16);
            need(isCosine(thresholds[i]) && fnmr >= 0 && fnmr <= 1, "an operating point out of range");
            need(fmrs[i] >= LEAST_FMR && fmrs[i] <= 1, "an FMR out of range");
            need(unsigned(bytes.getLong(at + 32)) >= 3 / fmrs[i], "too few non-mated comparisons");
        }
        own = ownThresholds(subjects == null ? new byte[0] : subjects);
    }

    /** True if the gallery holds a decision policy. */
    boolean exists() {
        return fmrs.length > 0;
    }

    /**
     * The threshold for a search.
     *
     * @param templates how many are searched
     * @throws IllegalStateException there is no policy, or its evidence does not reach so many templates
     */
    double threshold(int templates) {
        if (fmrs.length == 0) {
            throw new IllegalStateException("the gallery holds no decision policy: bring a threshold");
        }
        double wanted = -Math.expm1(Math.log1p(-fpir) / Math.max(1, templates));
        int best = -1;
        for (int i = 0; i < fmrs.length; i++) {
            boolean better = best < 0
                    || fmrs[i] > fmrs[best]
                    || fmrs[i] == fmrs[best] && thresholds[i] < thresholds[best];
            if (fmrs[i] <= wanted && better) {
                best = i;
            }
        }
        if (best < 0) {
            throw new IllegalStateException("the evidence does not reach " + templates + " templates");
        }
        return thresholds[best];
    }

    /** What a subject must reach: its own threshold where that is higher. */
    double needed(byte[] subjectId, double threshold) {
        return Math.max(threshold, own.getOrDefault(ByteBuffer.wrap(subjectId), -1.0));
    }

    private static Map<ByteBuffer, Double> ownThresholds(byte[] record) throws GalleryException {
        need(record.length % OWN_BYTES == 0, "subjects' thresholds are cut short");
        Map<ByteBuffer, Double> own = new HashMap<>();
        byte[] before = null;
        for (int at = 0; at < record.length; at += OWN_BYTES) {
            byte[] id = Arrays.copyOfRange(record, at, at + OWN_BYTES - 8);
            double threshold = little(record).getDouble(at + OWN_BYTES - 8);
            need(before == null || Content.compareUnsigned(before, id) < 0, "subjects' thresholds out of order");
            need(isCosine(threshold), "a subject's threshold is no cosine");
            own.put(ByteBuffer.wrap(id), threshold);
            before = id;
        }
        return own;
    }

    private static boolean isCosine(double value) {
        return value >= -1 && value <= 1;
    }

    private static double unsigned(long value) {
        return value >= 0 ? value : 2.0 * (value >>> 1);
    }

    private static ByteBuffer little(byte[] bytes) {
        return ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    }

    private static void need(boolean good, String otherwise) throws GalleryException {
        if (!good) {
            throw GalleryException.format("policy: " + otherwise);
        }
    }
}
