/* From pixels to a network's input, and from its output to a decision; plain C99, no heap, no floating point needed.
 *
 * Every function that can fail says so, and a caller that goes on regardless gets a reject: what is left undecided,
 * out of range or not initialized never opens anything.
 */
#ifndef EDGE_EMBEDDING_H_
#define EDGE_EMBEDDING_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Sums of products of this many values stay in 32 bits. */
#define EDGE_MAX_DIMENSION 1024U

/* Two patterns far apart, so that no flipped bit and no forgotten zero turns one into the other. */
typedef enum {
  EDGE_REJECT = 0x0F5A3C96,
  EDGE_ACCEPT = 0x70A5C369
} edge_decision;

/* Stored embeddings: rows of int8 in -127..127, one after the other, each with one over its length. */
typedef struct {
  const int8_t *rows;   /* count x dimension */
  const float *scales;  /* count; NULL where only the integer functions are used */
  size_t count;
  size_t dimension;
} edge_gallery;

/* The reference most alike to a probe. */
typedef struct {
  bool found;
  size_t index;
  float score; /* cosine, -1..1 */
} edge_match;

/* Write the network's input: each pixel's code, by channel, from the generated table.
 *
 * pixels: count x channels, red first, 0..255. codes: as many, in the network's channel order.
 * table: channels x 256, one row after the other (kPixelCodes). blue_first: kBlueFirst.
 */
void edge_encode(const uint8_t *pixels, size_t count, size_t channels, const int8_t *table, bool blue_first,
                 int8_t *codes);

/* The output tensor without its zero point: value = code - zero_point, -255..255. The scale cancels.
 *
 * False where the dimension is 0 or too large, the zero point is no int8, or all values are zero: such an
 * embedding has no direction.
 */
bool edge_centre(const int8_t *codes, int zero_point, size_t dimension, int16_t *values);

/* The unit embedding, L2 norm 1 within 1e-6. False where it has no direction. */
bool edge_unit(const int16_t *values, size_t dimension, float *embedding);

/* A template to store: round(value * 127 / peak), half to even, and one over its length.
 *
 * row: dimension numbers in -127..127. scale: may be NULL. False where there is no direction.
 */
bool edge_enrol(const int16_t *values, size_t dimension, int8_t *row, float *scale);

/* Sum of products of a probe and a stored row; exact. */
int32_t edge_dot(const int16_t *values, const int8_t *row, size_t dimension);

/* The reference most alike to a probe, the first of equals. Not found where the gallery is empty or not whole. */
edge_match edge_best(const int16_t *values, const edge_gallery *gallery);

/* Accept a match at or above a threshold in (0, 1]; reject everything else, NaN with it. */
edge_decision edge_decide(const edge_match *match, float threshold);

/* The same without floating point, exactly: accept where any row's cosine is at least threshold_q31 / 2^31.
 *
 * threshold_q31: kThresholdQ31, 1..2^31; with 0 nothing is accepted. index: of the first such row, may be NULL.
 */
edge_decision edge_decide_integer(const int16_t *values, const edge_gallery *gallery, uint32_t threshold_q31,
                                  size_t *index);

#ifdef __cplusplus
}
#endif

#endif /* EDGE_EMBEDDING_H_ */
