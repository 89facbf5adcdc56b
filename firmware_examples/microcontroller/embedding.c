#include "embedding.h"

#include <math.h>

#define ROW_MAX 127

typedef struct {
  uint64_t high;
  uint64_t low;
} wide;

static uint32_t squares(const int16_t *values, size_t dimension) {
  uint32_t sum = 0;
  for (size_t i = 0; i < dimension; ++i) {
    const int32_t value = values[i];
    sum += (uint32_t)(value * value);
  }
  return sum;
}

static uint32_t row_squares(const int8_t *row, size_t dimension) {
  uint32_t sum = 0;
  for (size_t i = 0; i < dimension; ++i) {
    const int32_t value = row[i];
    sum += (uint32_t)(value * value);
  }
  return sum;
}

static bool whole(const edge_gallery *gallery) {
  return gallery != NULL && gallery->rows != NULL && gallery->count > 0 && gallery->dimension > 0 &&
         gallery->dimension <= EDGE_MAX_DIMENSION;
}

void edge_encode(const uint8_t *pixels, size_t count, size_t channels, const int8_t *table, bool blue_first,
                 int8_t *codes) {
  for (size_t i = 0; i < count; ++i) {
    for (size_t c = 0; c < channels; ++c) {
      const size_t source = blue_first ? channels - 1 - c : c;
      codes[i * channels + c] = table[c * 256 + pixels[i * channels + source]];
    }
  }
}

bool edge_centre(const int8_t *codes, int zero_point, size_t dimension, int16_t *values) {
  if (codes == NULL || values == NULL || dimension == 0 || dimension > EDGE_MAX_DIMENSION ||
      zero_point < INT8_MIN || zero_point > INT8_MAX) {
    return false;
  }
  bool direction = false;
  for (size_t i = 0; i < dimension; ++i) {
    values[i] = (int16_t)(codes[i] - zero_point);
    direction = direction || values[i] != 0;
  }
  return direction;
}

bool edge_unit(const int16_t *values, size_t dimension, float *embedding) {
  if (values == NULL || embedding == NULL || dimension == 0 || dimension > EDGE_MAX_DIMENSION) {
    return false;
  }
  const uint32_t square = squares(values, dimension);
  if (square == 0) {
    return false;
  }
  const float norm = sqrtf((float)square);
  for (size_t i = 0; i < dimension; ++i) {
    embedding[i] = (float)values[i] / norm;
  }
  return true;
}

/* numerator / denominator rounded to the nearest, half to even; both positive. */
static int32_t divide_half_to_even(int32_t numerator, int32_t denominator) {
  const int32_t quotient = numerator / denominator;
  const int32_t twice = 2 * (numerator % denominator);
  const bool up = twice > denominator || (twice == denominator && (quotient & 1) != 0);
  return quotient + (up ? 1 : 0);
}

bool edge_enrol(const int16_t *values, size_t dimension, int8_t *row, float *scale) {
  if (values == NULL || row == NULL || dimension == 0 || dimension > EDGE_MAX_DIMENSION) {
    return false;
  }
  int32_t peak = 0;
  for (size_t i = 0; i < dimension; ++i) {
    const int32_t size = values[i] < 0 ? -values[i] : values[i];
    peak = size > peak ? size : peak;
  }
  if (peak == 0) {
    return false;
  }
  for (size_t i = 0; i < dimension; ++i) {
    const int32_t size = values[i] < 0 ? -values[i] : values[i];
    const int32_t rounded = divide_half_to_even(size * ROW_MAX, peak);
    row[i] = (int8_t)(values[i] < 0 ? -rounded : rounded);
  }
  if (scale != NULL) {
    *scale = 1.0F / sqrtf((float)row_squares(row, dimension));
  }
  return true;
}

int32_t edge_dot(const int16_t *values, const int8_t *row, size_t dimension) {
  int32_t sum = 0;
  for (size_t i = 0; i < dimension; ++i) {
    sum += (int32_t)values[i] * row[i];
  }
  return sum;
}

edge_match edge_best(const int16_t *values, const edge_gallery *gallery) {
  edge_match best = {false, 0, -1.0F};
  if (values == NULL || !whole(gallery) || gallery->scales == NULL) {
    return best;
  }
  const uint32_t square = squares(values, gallery->dimension);
  if (square == 0) {
    return best;
  }
  const float over_norm = 1.0F / sqrtf((float)square);
  for (size_t i = 0; i < gallery->count; ++i) {
    const int8_t *row = gallery->rows + i * gallery->dimension;
    float score = (float)edge_dot(values, row, gallery->dimension) * gallery->scales[i] * over_norm;
    score = score > 1.0F ? 1.0F : score;
    /* A comparison with NaN is false: a scale that is no number never wins. */
    if (score >= -1.0F && (!best.found || score > best.score)) {
      best.found = true;
      best.index = i;
      best.score = score;
    }
  }
  return best;
}

edge_decision edge_decide(const edge_match *match, float threshold) {
  if (match != NULL && match->found && threshold > 0.0F && threshold <= 1.0F && match->score >= threshold) {
    return EDGE_ACCEPT;
  }
  return EDGE_REJECT;
}

static wide multiply(uint64_t a, uint64_t b) {
  const uint64_t low = UINT32_MAX;
  const uint64_t bottom = (a & low) * (b & low);
  const uint64_t middle = (a >> 32) * (b & low) + (bottom >> 32);
  const uint64_t other = (a & low) * (b >> 32) + (middle & low);
  const wide product = {(a >> 32) * (b >> 32) + (middle >> 32) + (other >> 32), (other << 32) | (bottom & low)};
  return product;
}

/* dot / sqrt(a b) >= q / 2^31, as dot^2 2^62 >= q^2 a b: all of it in integers. */
static bool reaches(int32_t dot, uint32_t a, uint32_t b, uint32_t q) {
  if (dot <= 0 || a == 0 || b == 0) {
    return false;
  }
  const uint64_t square = (uint64_t)((int64_t)dot * dot);
  const wide left = {square >> 2, square << 62};
  const wide right = multiply((uint64_t)q * q, (uint64_t)a * b);
  return left.high != right.high ? left.high > right.high : left.low >= right.low;
}

edge_decision edge_decide_integer(const int16_t *values, const edge_gallery *gallery, uint32_t threshold_q31,
                                  size_t *index) {
  if (values == NULL || !whole(gallery) || threshold_q31 == 0 || threshold_q31 > UINT32_C(0x80000000)) {
    return EDGE_REJECT;
  }
  const uint32_t square = squares(values, gallery->dimension);
  for (size_t i = 0; i < gallery->count; ++i) {
    const int8_t *row = gallery->rows + i * gallery->dimension;
    if (reaches(edge_dot(values, row, gallery->dimension), square, row_squares(row, gallery->dimension),
                threshold_q31)) {
      if (index != NULL) {
        *index = i;
      }
      return EDGE_ACCEPT;
    }
  }
  return EDGE_REJECT;
}
