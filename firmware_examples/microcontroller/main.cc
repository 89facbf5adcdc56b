// A lock on a microcontroller: enrol at the press of a button, open for whoever is enrolled, stay shut otherwise.
#include "board.h"
#include "embedder.h"

// A threshold that was measured after the sources were written; the card's own where none is said.
#ifndef EDGE_THRESHOLD
#define EDGE_THRESHOLD model::kThreshold
#endif

namespace {

constexpr std::size_t kReferences = 16;
constexpr std::size_t kDimension = static_cast<std::size_t>(model::kDimension);

std::uint8_t pixels[static_cast<std::size_t>(model::kHeight) * model::kWidth * model::kChannels];
std::int16_t values[kDimension];
// In RAM here. To keep it over a power cut, store it with model::kModelId, encrypted and authenticated, and use
// it only with the model that made it.
std::int8_t rows[kReferences * kDimension];
float scales[kReferences];
edge_gallery gallery = {rows, scales, 0, kDimension};

bool Enrol() {
  if (gallery.count == kReferences) return false;
  if (!edge_enrol(values, kDimension, rows + gallery.count * kDimension, scales + gallery.count)) return false;
  ++gallery.count;
  return true;
}

}  // namespace

int main() {
  static Embedder embedder;
  if (!embedder.Begin()) {
    BoardFault("the network does not run");
    return 1;
  }
  if (!embedder.SelfTest()) {
    BoardFault("a golden vector has another answer");
    return 1;
  }
  for (Task task = BoardCapture(pixels, sizeof(pixels)); task != Task::kStop;
       task = BoardCapture(pixels, sizeof(pixels))) {
    const bool embedded = embedder.Embed(pixels, values);
    if (task == Task::kEnrol) {
      if (embedded && Enrol()) {
        BoardEnrolled(gallery.count - 1);
      } else {
        BoardFault("not enrolled");
      }
      continue;
    }
    edge_match match = {false, 0, -1.0F};
    edge_decision decision = EDGE_REJECT;
    if (embedded) {
      match = edge_best(values, &gallery);
      // On a core without a floating point unit: edge_decide_integer(values, &gallery, model::kThresholdQ31, ...).
      decision = edge_decide(&match, EDGE_THRESHOLD);
    }
    BoardDecide(decision, match);
  }
  return 0;
}
