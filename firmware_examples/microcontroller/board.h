// What the example asks of a board. host_board.cc is one that reads frames from a pipe.
#ifndef EDGE_BOARD_H_
#define EDGE_BOARD_H_

#include <cstddef>
#include <cstdint>

extern "C" {
#include "embedding.h"
}

// What is to be done with the next frame.
enum class Task { kStop, kEnrol, kVerify };

// Wait for the next frame: an aligned crop of kHeight x kWidth x kChannels bytes, red first.
Task BoardCapture(std::uint8_t* pixels, std::size_t size);

// Open only on EDGE_ACCEPT. Called once for every frame, with EDGE_REJECT for whatever went wrong.
void BoardDecide(edge_decision decision, const edge_match& match);

// Say that the device cannot be trusted and stays shut.
void BoardFault(const char* what);

#endif  // EDGE_BOARD_H_
