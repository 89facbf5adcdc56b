// A stub of the header of this name: enough to look at a network's version.
#ifndef EDGE_STUB_SCHEMA_GENERATED_H_
#define EDGE_STUB_SCHEMA_GENERATED_H_

#include <cstdint>

#define TFLITE_SCHEMA_VERSION (3)

namespace tflite {

class Model {
 public:
  std::uint32_t version() const { return TFLITE_SCHEMA_VERSION; }
};

inline const Model* GetModel(const void* data) { return static_cast<const Model*>(data); }

}  // namespace tflite

#endif  // EDGE_STUB_SCHEMA_GENERATED_H_
