// A stub of the header of this name. It runs no network: Invoke answers the inputs that it was given answers for,
// byte by byte, and fails on any other. What the example does before and after can be tested with it, no kernel.
#ifndef EDGE_STUB_MICRO_INTERPRETER_H_
#define EDGE_STUB_MICRO_INTERPRETER_H_

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"

enum TfLiteType { kTfLiteNoType = 0, kTfLiteInt8 = 9 };

struct TfLiteQuantizationParams {
  float scale;
  std::int32_t zero_point;
};

union TfLitePtrUnion {
  std::int8_t* int8;
};

struct TfLiteTensor {
  TfLiteType type;
  TfLitePtrUnion data;
  TfLiteQuantizationParams params;
  std::size_t bytes;
};

namespace tflite {

namespace stub {

// What the program that links the stub tells it of its network.
struct Answers {
  const std::int8_t* inputs;
  const std::int8_t* outputs;
  int count;
  std::size_t input_size;
  std::size_t output_size;
  float input_scale;
  int input_zero_point;
  float output_scale;
  int output_zero_point;
};
extern const Answers answers;

}  // namespace stub

class MicroInterpreter {
 public:
  MicroInterpreter(const Model*, const MicroOpResolver&, std::uint8_t* arena, std::size_t size)
      : arena_(arena), size_(size) {}

  TfLiteStatus AllocateTensors() {
    const stub::Answers& known = stub::answers;
    if (size_ < known.input_size + known.output_size) return kTfLiteError;
    std::int8_t* memory = reinterpret_cast<std::int8_t*>(arena_);
    input_ = {kTfLiteInt8, {memory}, {known.input_scale, known.input_zero_point}, known.input_size};
    output_ = {kTfLiteInt8, {memory + known.input_size}, {known.output_scale, known.output_zero_point},
               known.output_size};
    return kTfLiteOk;
  }

  TfLiteStatus Invoke() {
    const stub::Answers& known = stub::answers;
    for (int i = 0; i < known.count; ++i) {
      const std::size_t place = static_cast<std::size_t>(i);
      if (std::memcmp(input_.data.int8, known.inputs + place * known.input_size, known.input_size) == 0) {
        std::memcpy(output_.data.int8, known.outputs + place * known.output_size, known.output_size);
        return kTfLiteOk;
      }
    }
    return kTfLiteError;
  }

  TfLiteTensor* input(std::size_t) { return &input_; }
  TfLiteTensor* output(std::size_t) { return &output_; }

 private:
  std::uint8_t* arena_;
  std::size_t size_;
  TfLiteTensor input_ = {kTfLiteNoType, {nullptr}, {0.0F, 0}, 0};
  TfLiteTensor output_ = {kTfLiteNoType, {nullptr}, {0.0F, 0}, 0};
};

}  // namespace tflite

#endif  // EDGE_STUB_MICRO_INTERPRETER_H_
