/* A delegate for the tests, against TensorFlow Lite's external delegate interface and its C structures
 * (tensorflow/lite/core/c/common.h), written down here as far as they are used.
 *
 * It takes the whole network and answers every byte of the output with 7: what a broken accelerator looks like.
 * -DTAKE_NOTHING leaves everything to the CPU, -DNO_HARDWARE finds no device, -DREFUSE fails on the network,
 * -DCRASH ends the process that runs it. -DCOMPUTE computes the tests' network (mean over 12x12 blocks, one dense
 * layer) as an accelerator of its own would: it rounds down, or to nearest with the option rounding=nearest. */
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, ERROR = 1, BUILTIN_DELEGATE = 51 };

typedef struct { int size; int data[]; } IntArray;
typedef struct Context Context;
typedef struct Delegate Delegate;

typedef struct { IntArray *inputs, *outputs; } Node; /* its first fields */

typedef struct {
  void *(*init)(Context *, const char *, size_t);
  void (*free)(Context *, void *);
  int (*prepare)(Context *, Node *);
  int (*invoke)(Context *, Node *);
  const char *(*profiling_string)(const Context *, const Node *);
  int32_t builtin_code;
  const char *custom_name;
  int version;
  void *external;
  void *async_kernel;
  uint64_t inplace_operator;
} Registration;

typedef struct {
  int type;
  void *data;
  IntArray *dims;
  struct { float scale; int32_t zero_point; } params;
  int allocation_type;
  size_t bytes;
  const void *allocation;
  const char *name;
  Delegate *delegate;
  int buffer_handle;
  bool data_is_stale, is_variable;
  struct { int type; void *params; } quantization;
  void *sparsity;
  const IntArray *dims_signature;
} Tensor;

struct Context { /* its first fields */
  size_t tensors_size;
  int (*get_execution_plan)(Context *, IntArray **);
  Tensor *tensors;
  void *impl;
  void *resize_tensor, *report_error, *add_tensors, *get_node_and_registration;
  int (*replace_nodes)(Context *, Registration, const IntArray *, Delegate *);
};

struct Delegate {
  void *data;
  int (*prepare)(Context *, Delegate *);
  void *copy_from_buffer, *copy_to_buffer, *free_buffer;
  int64_t flags;
  void *opaque_builder;
};

static int prepare_node(Context *context, Node *node) {
  (void)context, (void)node;
  return OK;
}

#ifdef COMPUTE
enum { INT32 = 2, BLOCK = 12, MAX_FEATURES = 4096 };
static bool to_nearest;

static int rounded(double value) {
  double whole = to_nearest ? floor(value + 0.5) : floor(value);
  return whole < -128 ? -128 : whole > 127 ? 127 : (int)whole;
}

static int answer(Context *context, Node *node) {
  Tensor *image = NULL, *weights = NULL, *bias = NULL;
  for (int i = 0; i < node->inputs->size; ++i) {
    Tensor *tensor = &context->tensors[node->inputs->data[i]];
    if (tensor->dims->size == 4) image = tensor;
    if (tensor->dims->size == 2) weights = tensor;
    if (tensor->type == INT32) bias = tensor;
  }
  Tensor *output = &context->tensors[node->outputs->data[0]];
  int height = image->dims->data[1], width = image->dims->data[2], channels = image->dims->data[3];
  const int8_t *pixels = image->data, *weight = weights->data;
  int pooled[MAX_FEATURES], features = 0;
  for (int y = 0; y < height; y += BLOCK)
    for (int x = 0; x < width; x += BLOCK)
      for (int c = 0; c < channels; ++c) {
        int sum = 0;
        for (int j = 0; j < BLOCK; ++j)
          for (int i = 0; i < BLOCK; ++i) sum += pixels[((y + j) * width + x + i) * channels + c];
        pooled[features++] = rounded((double)sum / (BLOCK * BLOCK));
      }
  double scale = (double)image->params.scale * weights->params.scale / output->params.scale;
  for (int d = 0; d < weights->dims->data[0]; ++d) {
    int sum = ((const int32_t *)bias->data)[d];
    for (int k = 0; k < features; ++k) sum += pooled[k] * weight[d * features + k];
    ((int8_t *)output->data)[d] = (int8_t)rounded(sum * scale + output->params.zero_point);
  }
  return OK;
}
#else
static int answer(Context *context, Node *node) {
#ifdef CRASH
  abort();
#endif
  Tensor *output = &context->tensors[node->outputs->data[0]];
  memset(output->data, 7, output->bytes);
  return OK;
}
#endif

static int prepare(Context *context, Delegate *delegate) {
#if defined(REFUSE)
  (void)context, (void)delegate, (void)prepare_node, (void)answer;
  return ERROR;
#elif defined(TAKE_NOTHING)
  (void)context, (void)delegate, (void)prepare_node, (void)answer;
  return OK;
#else
  Registration kernel = {.prepare = prepare_node,
                         .invoke = answer,
                         .builtin_code = BUILTIN_DELEGATE,
                         .custom_name = "Trial",
                         .version = 1};
  IntArray *plan;
  if (context->get_execution_plan(context, &plan) != OK) return ERROR;
  size_t bytes = sizeof *plan + sizeof(int) * plan->size;
  IntArray *all = malloc(bytes); /* the plan itself changes while its nodes are replaced */
  memcpy(all, plan, bytes);
  int status = context->replace_nodes(context, kernel, all, delegate);
  free(all);
  return status;
#endif
}

Delegate *tflite_plugin_create_delegate(char **keys, char **values, size_t count, void (*report)(const char *)) {
  (void)keys, (void)values, (void)count, (void)report;
#ifdef COMPUTE
  to_nearest = false;
  for (size_t i = 0; i < count; ++i) {
    if (strcmp(keys[i], "rounding") != 0) {
      report("unknown option");
      return NULL;
    }
    to_nearest = strcmp(values[i], "nearest") == 0;
  }
#endif
#ifdef NO_HARDWARE
  return NULL;
#endif
  Delegate *delegate = calloc(1, sizeof *delegate);
  delegate->prepare = prepare;
  return delegate;
}

void tflite_plugin_destroy_delegate(Delegate *delegate) { free(delegate); }
