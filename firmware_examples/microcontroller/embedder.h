// A network in tflite-micro: pixels in, an embedding out. model.h is written by make.
#ifndef EDGE_EMBEDDER_H_
#define EDGE_EMBEDDER_H_

#include <cstdint>

#include "model.h"
#include "tensorflow/lite/micro/micro_interpreter.h"

class Embedder {
 public:
  Embedder();

  // Load the network and hold it against what this program was compiled for; false where they differ.
  bool Begin();

  // Ask the golden vectors; false where an answer is not the workstation's, code by code.
  bool SelfTest();

  // Write kDimension values of one frame; false where there is no embedding.
  bool Embed(const std::uint8_t* pixels, std::int16_t* values);

 private:
  model::Resolver resolver_;
  tflite::MicroInterpreter interpreter_;
  TfLiteTensor* input_ = nullptr;
  TfLiteTensor* output_ = nullptr;
};

#endif  // EDGE_EMBEDDER_H_
