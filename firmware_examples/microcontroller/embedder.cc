#include "embedder.h"

#include <cstring>

extern "C" {
#include "embedding.h"
}
#include "tensorflow/lite/schema/schema_generated.h"

// Kernels other than the reference ones (CMSIS-NN, a vendor's) ask for scratch memory beside the tensors.
#ifndef EDGE_ARENA_EXTRA_BYTES
#define EDGE_ARENA_EXTRA_BYTES 0
#endif

namespace {

constexpr std::size_t kInputSize = static_cast<std::size_t>(model::kHeight) * model::kWidth * model::kChannels;
constexpr std::size_t kOutputSize = static_cast<std::size_t>(model::kDimension);

static_assert(kOutputSize <= EDGE_MAX_DIMENSION, "the embedding is longer than embedding.c takes");
static_assert(model::kGoldenInputSize == kInputSize && model::kGoldenOutputSize == kOutputSize,
              "the golden vectors are another model's");

alignas(16) std::uint8_t arena[model::kArenaBytes + EDGE_ARENA_EXTRA_BYTES];

bool Fits(const TfLiteTensor* tensor, std::size_t size, float scale, int zero_point) {
  return tensor != nullptr && tensor->type == kTfLiteInt8 && tensor->bytes == size &&
         !(tensor->params.scale < scale) && !(tensor->params.scale > scale) &&
         tensor->params.zero_point == zero_point;
}

}  // namespace

Embedder::Embedder()
    : resolver_(), interpreter_(tflite::GetModel(model::kModelData), resolver_, arena, sizeof(arena)) {}

bool Embedder::Begin() {
  if (tflite::GetModel(model::kModelData)->version() != TFLITE_SCHEMA_VERSION ||
      model::AddOperators(resolver_) != kTfLiteOk || interpreter_.AllocateTensors() != kTfLiteOk) {
    return false;
  }
  input_ = interpreter_.input(0);
  output_ = interpreter_.output(0);
  return Fits(input_, kInputSize, model::kInputScale, model::kInputZeroPoint) &&
         Fits(output_, kOutputSize, model::kOutputScale, model::kOutputZeroPoint);
}

bool Embedder::SelfTest() {
  for (int i = 0; i < model::kGoldenCount; ++i) {
    std::memcpy(input_->data.int8, model::kGoldenInput[i], kInputSize);
    if (interpreter_.Invoke() != kTfLiteOk ||
        std::memcmp(output_->data.int8, model::kGoldenOutput[i], kOutputSize) != 0) {
      return false;
    }
  }
  return model::kGoldenCount > 0;
}

bool Embedder::Embed(const std::uint8_t* pixels, std::int16_t* values) {
  edge_encode(pixels, kInputSize / model::kChannels, model::kChannels, &model::kPixelCodes[0][0],
              model::kBlueFirst, input_->data.int8);
  return interpreter_.Invoke() == kTfLiteOk &&
         edge_centre(output_->data.int8, model::kOutputZeroPoint, kOutputSize, values);
}
