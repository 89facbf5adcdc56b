package org.edgesdk.gallery;

import java.nio.ByteBuffer;
import java.util.Arrays;

/** The keyed rotation of embeddings: three rounds of signs, Walsh-Hadamard and permutation; cosines are kept. */
final class Shp3 {

    private static final int ROUNDS = 3;

    private final double[][] signs;
    private final int[][] orders;

    /**
     * @param key the transform key, 32 bytes
     * @param dimension D, 1..65535
     */
    Shp3(byte[] key, int dimension) {
        signs = new double[ROUNDS][dimension];
        orders = new int[ROUNDS][];
        int signBytes = (dimension + 7) / 8;
        for (int round = 0; round < ROUNDS; round++) {
            byte[] stream = stream(key, round, signBytes + 8 * dimension);
            for (int i = 0; i < dimension; i++) {
                signs[round][i] = (stream[i / 8] >> i % 8 & 1) == 1 ? -1 : 1;
            }
            orders[round] = order(ByteBuffer.wrap(stream, signBytes, 8 * dimension), dimension);
        }
    }

    double[] apply(double[] vector) {
        double[] x = vector.clone();
        for (int round = 0; round < ROUNDS; round++) {
            for (int i = 0; i < x.length; i++) {
                x[i] *= signs[round][i];
            }
            hadamardBlocks(x);
            double[] permuted = new double[x.length];
            for (int i = 0; i < x.length; i++) {
                permuted[i] = x[orders[round][i]];
            }
            x = permuted;
        }
        return x;
    }

    /** HMAC in counter mode. */
    private static byte[] stream(byte[] key, int round, int length) {
        byte[] out = new byte[(length + 31) / 32 * 32];
        for (int counter = 0; 32 * counter < out.length; counter++) {
            byte[] number = ByteBuffer.allocate(4).putInt(counter).array();
            System.arraycopy(Sealing.hmac(key, new byte[] {(byte) round}, number), 0, out, 32 * counter, 32);
        }
        return Arrays.copyOf(out, length);
    }

    /** The indices 0..dimension-1 sorted by their u64 values; equal values keep their order. */
    private static int[] order(ByteBuffer bytes, int dimension) {
        long[] values = new long[dimension];
        bytes.order(java.nio.ByteOrder.LITTLE_ENDIAN).asLongBuffer().get(values);
        Integer[] indices = new Integer[dimension];
        Arrays.setAll(indices, i -> i);
        Arrays.sort(indices, (a, b) -> Long.compareUnsigned(values[a], values[b]));
        return Arrays.stream(indices).mapToInt(Integer::intValue).toArray();
    }

    /** Blocks by the binary digits of the dimension, largest first, each with its own orthonormal transform. */
    private static void hadamardBlocks(double[] x) {
        int start = 0;
        for (int size = Integer.highestOneBit(x.length); size > 0; size /= 2) {
            if ((x.length & size) != 0) {
                hadamard(x, start, size);
                start += size;
            }
        }
    }

    private static void hadamard(double[] x, int start, int size) {
        for (int half = 1; half < size; half *= 2) {
            for (int block = start; block < start + size; block += 2 * half) {
                for (int i = block; i < block + half; i++) {
                    double low = x[i];
                    double high = x[i + half];
                    x[i] = low + high;
                    x[i + half] = low - high;
                }
            }
        }
        double norm = Math.sqrt(size);
        for (int i = start; i < start + size; i++) {
            x[i] /= norm;
        }
    }
}
