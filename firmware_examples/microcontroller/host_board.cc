// A board for a workstation and for an emulated microcontroller: frames come from standard input, each after a letter,
// e (enrol) or v (verify); answers go to standard output, one line for each frame.
#include <cstdio>

#include "board.h"

Task BoardCapture(std::uint8_t* pixels, std::size_t size) {
  const int letter = std::getchar();
  if ((letter != 'e' && letter != 'v') || std::fread(pixels, 1, size, stdin) != size) return Task::kStop;
  return letter == 'e' ? Task::kEnrol : Task::kVerify;
}

void BoardDecide(edge_decision decision, const edge_match& match) {
  std::printf("%s %d %.6f\n", decision == EDGE_ACCEPT ? "accept" : "reject",
              match.found ? static_cast<int>(match.index) : -1, static_cast<double>(match.score));
}

void BoardEnrolled(std::size_t index) { std::printf("enrolled %u\n", static_cast<unsigned>(index)); }

void BoardFault(const char* what) { std::printf("fault: %s\n", what); }
