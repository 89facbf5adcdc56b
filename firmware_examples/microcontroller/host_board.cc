// A board for a workstation, with the stub of tflite-micro: frames come from standard input, each after one letter,
// e (enrol) or v (verify); decisions go to standard output, one line for each frame.
#include <cstdio>

#include "board.h"
#include "model.h"
#include "tensorflow/lite/micro/micro_interpreter.h"

// The stub knows the golden vectors' answers and no others.
const tflite::stub::Answers tflite::stub::answers = {
    &model::kGoldenInput[0][0],  &model::kGoldenOutput[0][0], model::kGoldenCount,
    model::kGoldenInputSize,     model::kGoldenOutputSize,    model::kInputScale,
    model::kInputZeroPoint,      model::kOutputScale,         model::kOutputZeroPoint,
};

Task BoardCapture(std::uint8_t* pixels, std::size_t size) {
  const int letter = std::getchar();
  if ((letter != 'e' && letter != 'v') || std::fread(pixels, 1, size, stdin) != size) return Task::kStop;
  return letter == 'e' ? Task::kEnrol : Task::kVerify;
}

void BoardDecide(edge_decision decision, const edge_match& match) {
  std::printf("%s %d %.6f\n", decision == EDGE_ACCEPT ? "accept" : "reject",
              match.found ? static_cast<int>(match.index) : -1, static_cast<double>(match.score));
}

void BoardFault(const char* what) { std::printf("fault: %s\n", what); }
