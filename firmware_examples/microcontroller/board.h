// Functions that a board provides. host_board.cc implements them with standard input and output.
#ifndef EDGE_BOARD_H_
#define EDGE_BOARD_H_

#include <cstddef>
#include <cstdint>

extern "C" {
#include "embedding.h"
}

// Task of the next frame.
enum class Task { kStop, kEnrol, kVerify };

// Wait for the next frame: an aligned crop of kHeight x kWidth x kChannels bytes, red first.
Task BoardCapture(std::uint8_t* pixels, std::size_t size);

// Open only on EDGE_ACCEPT. Called once for every frame to verify, with EDGE_REJECT for whatever went wrong.
void BoardDecide(edge_decision decision, const edge_match& match);

// Show that a template was stored in this row of the gallery. Called once for every successful enrolment.
void BoardEnrolled(std::size_t index);

// Show a fault: an enrolment that failed, or a device that cannot be trusted. The door stays shut.
void BoardFault(const char* what);

#endif  // EDGE_BOARD_H_
