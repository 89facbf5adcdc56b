package org.edgesdk.gallery;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Raises the policy's thresholds if the gallery's own subjects are more alike than those of the model's card (record 16).
 *
 * <p>docs/reference/gallery-format.md defines the computation.
 */
final class OwnScores {

    private static final int RECORD_BYTES = 56;
    private static final int ADAPTS = 1;
    private static final int HAS_CAPTURES = 4;
    private static final int HAS_SCORES = 8;
    private static final int ALL_FLAGS = 15;
    private static final int LEAST_SUBJECTS = 10;
    private static final int MOST_SUBJECTS = 128;
    private static final int MOST_TEMPLATES = 4;
    private static final double SET_ASIDE_DEVIATIONS = 7.413;

    private final double cardMean;
    private final double cardSd;
    private final double mean;
    private final double sd;

    /** Computes mean and standard deviation of the scores of all pairs of subjects, without pairs that are far too alike. */
    private OwnScores(ByteBuffer record, List<double[]> rows, int[] counts) {
        cardMean = record.getDouble(8);
        cardSd = record.getDouble(16);
        int pairs = counts.length * (counts.length - 1) / 2;
        double[] means = new double[pairs];
        double[] squares = new double[pairs];
        int pair = 0;
        int startA = 0;
        for (int a = 0; a < counts.length; a++) {
            int startB = startA + counts[a];
            for (int b = a + 1; b < counts.length; b++) {
                for (int i = startA; i < startA + counts[a]; i++) {
                    for (int j = startB; j < startB + counts[b]; j++) {
                        double score = score(rows.get(i), rows.get(j));
                        means[pair] += score / (counts[a] * counts[b]);
                        squares[pair] += score * score / (counts[a] * counts[b]);
                    }
                }
                pair++;
                startB += counts[b];
            }
            startA += counts[a];
        }
        double middle = median(means);
        double[] distances = new double[pairs];
        for (int i = 0; i < pairs; i++) {
            distances[i] = Math.abs(means[i] - middle);
        }
        double highest = middle + SET_ASIDE_DEVIATIONS * median(distances);
        double sum = 0;
        double squareSum = 0;
        int kept = 0;
        for (int i = 0; i < pairs; i++) {
            if (means[i] <= highest) {
                sum += means[i];
                squareSum += squares[i];
                kept++;
            }
        }
        mean = sum / kept;
        sd = Math.sqrt(Math.max(0, squareSum / kept - mean * mean));
    }

    /** Returns the rule for a gallery; null if its policy does not adapt or there are too few subjects. */
    static OwnScores of(Content content, Header header) {
        if (content.evidence == null) {
            return null;
        }
        ByteBuffer record = ByteBuffer.wrap(content.evidence).order(ByteOrder.LITTLE_ENDIAN);
        int subjects = content.subjects.length;
        if ((record.getInt(52) & ADAPTS) == 0 || subjects < LEAST_SUBJECTS) {
            return null;
        }
        int sampled = Math.min(subjects, MOST_SUBJECTS);
        int[] places = new int[subjects];
        Arrays.fill(places, -1);
        for (int place = 0; place < sampled; place++) {
            places[place * subjects / sampled] = place;
        }
        List<List<double[]>> own = new ArrayList<>();
        for (int place = 0; place < sampled; place++) {
            own.add(new ArrayList<>());
        }
        for (int i = 0; i < content.owners.length; i++) {
            int place = places[content.owners[i]];
            if (place >= 0 && own.get(place).size() < MOST_TEMPLATES) {
                own.get(place).add(row(content, header, i));
            }
        }
        List<double[]> rows = new ArrayList<>();
        int[] counts = new int[sampled];
        for (int place = 0; place < sampled; place++) {
            counts[place] = own.get(place).size();
            rows.addAll(own.get(place));
        }
        return new OwnScores(record, rows, counts);
    }

    /** Returns the threshold for the gallery's own scores, never below the given one. */
    double raised(double threshold) {
        return Math.min(1, Math.max(threshold, mean + sd * ((threshold - cardMean) / cardSd)));
    }

    /** Returns true if thresholds are raised, so that a reader must know the record. */
    static boolean adapts(byte[] record) {
        return record.length == RECORD_BYTES && (record[52] & ADAPTS) != 0;
    }

    /** Checks the record of kind 16. */
    static void check(byte[] record) throws GalleryException {
        need(record.length == RECORD_BYTES, "another length");
        ByteBuffer bytes = ByteBuffer.wrap(record).order(ByteOrder.LITTLE_ENDIAN);
        int flags = bytes.getInt(52);
        need((flags & ~ALL_FLAGS) == 0, "an unknown flag");
        need((flags & ADAPTS) == 0 || (flags & HAS_SCORES) != 0, "raised thresholds without the card's scores");
        double captures = bytes.getDouble(0);
        need(isCosine(captures) && ((flags & HAS_CAPTURES) != 0 || captures == 0), "a threshold for captures out of range");
        double sd = bytes.getDouble(16);
        double fmr = bytes.getDouble(32);
        if ((flags & HAS_SCORES) == 0) {
            need(bytes.getDouble(8) == 0 && sd == 0 && bytes.getDouble(24) == 0 && fmr == 0, "scores without their flag");
            need(bytes.getLong(40) == 0 && bytes.getInt(48) == 0, "scores without their flag");
            return;
        }
        need(isCosine(bytes.getDouble(8)) && isCosine(bytes.getDouble(24)), "a mean or a threshold that is no cosine");
        need(sd > 0 && sd <= 1 && fmr > 0 && fmr < 1, "a standard deviation or an FMR out of range");
        need(bytes.getLong(40) != 0, "no comparison");
        need(Integer.compareUnsigned(bytes.getInt(48), 2) >= 0, "fewer than two subjects");
    }

    /** Returns a template, with its scale as the last number. */
    private static double[] row(Content content, Header header, int template) {
        double[] row = new double[header.dimension + 1];
        int at = template * header.rowBytes();
        for (int i = 0; i < header.dimension; i++) {
            row[i] = header.templateType == Header.INT8
                    ? content.matrix.get(at + i)
                    : Gallery.half(content.matrix.getShort(at + 2 * i));
        }
        row[header.dimension] = content.scales[template];
        return row;
    }

    private static double score(double[] a, double[] b) {
        int dimension = a.length - 1;
        double sum = 0;
        for (int i = 0; i < dimension; i++) {
            sum += a[i] * b[i];
        }
        return sum * a[dimension] * b[dimension];
    }

    private static double median(double[] values) {
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        int half = sorted.length / 2;
        return sorted.length % 2 == 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
    }

    private static boolean isCosine(double value) {
        return value >= -1 && value <= 1;
    }

    private static void need(boolean good, String otherwise) throws GalleryException {
        if (!good) {
            throw GalleryException.format("evidence of the policy: " + otherwise);
        }
    }
}
