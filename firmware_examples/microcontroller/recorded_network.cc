// A recorded network for the stub of tflite-micro: the golden inputs with their outputs, and nothing else.
#include "model.h"
#include "tensorflow/lite/micro/micro_interpreter.h"

const tflite::stub::Answers tflite::stub::answers = {
    &model::kGoldenInput[0][0],  &model::kGoldenOutput[0][0], model::kGoldenCount,
    model::kGoldenInputSize,     model::kGoldenOutputSize,    model::kInputScale,
    model::kInputZeroPoint,      model::kOutputScale,         model::kOutputZeroPoint,
};
