// A stub of tflite-micro's header of this name, for compiling on a workstation: the declarations that generated
// sources and the example use, and operators that do nothing. The real one is tflite-micro's.
#ifndef EDGE_STUB_MICRO_MUTABLE_OP_RESOLVER_H_
#define EDGE_STUB_MICRO_MUTABLE_OP_RESOLVER_H_

enum TfLiteStatus { kTfLiteOk = 0, kTfLiteError = 1 };

namespace tflite {

class MicroOpResolver {};

template <unsigned int tOpCount>
class MicroMutableOpResolver : public MicroOpResolver {
 public:
  TfLiteStatus AddAbs() { return Add(); }
  TfLiteStatus AddAdd() { return Add(); }
  TfLiteStatus AddAddN() { return Add(); }
  TfLiteStatus AddArgMax() { return Add(); }
  TfLiteStatus AddArgMin() { return Add(); }
  TfLiteStatus AddAveragePool2D() { return Add(); }
  TfLiteStatus AddBatchMatMul() { return Add(); }
  TfLiteStatus AddBatchToSpaceNd() { return Add(); }
  TfLiteStatus AddBroadcastArgs() { return Add(); }
  TfLiteStatus AddBroadcastTo() { return Add(); }
  TfLiteStatus AddCast() { return Add(); }
  TfLiteStatus AddCeil() { return Add(); }
  TfLiteStatus AddConcatenation() { return Add(); }
  TfLiteStatus AddConv2D() { return Add(); }
  TfLiteStatus AddCos() { return Add(); }
  TfLiteStatus AddCumSum() { return Add(); }
  TfLiteStatus AddDepthToSpace() { return Add(); }
  TfLiteStatus AddDepthwiseConv2D() { return Add(); }
  TfLiteStatus AddDequantize() { return Add(); }
  TfLiteStatus AddDiv() { return Add(); }
  TfLiteStatus AddElu() { return Add(); }
  TfLiteStatus AddEqual() { return Add(); }
  TfLiteStatus AddEthosU() { return Add(); }
  TfLiteStatus AddExp() { return Add(); }
  TfLiteStatus AddExpandDims() { return Add(); }
  TfLiteStatus AddFill() { return Add(); }
  TfLiteStatus AddFloor() { return Add(); }
  TfLiteStatus AddFloorDiv() { return Add(); }
  TfLiteStatus AddFloorMod() { return Add(); }
  TfLiteStatus AddFullyConnected() { return Add(); }
  TfLiteStatus AddGather() { return Add(); }
  TfLiteStatus AddGatherNd() { return Add(); }
  TfLiteStatus AddGreater() { return Add(); }
  TfLiteStatus AddGreaterEqual() { return Add(); }
  TfLiteStatus AddHardSwish() { return Add(); }
  TfLiteStatus AddL2Normalization() { return Add(); }
  TfLiteStatus AddL2Pool2D() { return Add(); }
  TfLiteStatus AddLeakyRelu() { return Add(); }
  TfLiteStatus AddLess() { return Add(); }
  TfLiteStatus AddLessEqual() { return Add(); }
  TfLiteStatus AddLog() { return Add(); }
  TfLiteStatus AddLogSoftmax() { return Add(); }
  TfLiteStatus AddLogicalAnd() { return Add(); }
  TfLiteStatus AddLogicalNot() { return Add(); }
  TfLiteStatus AddLogicalOr() { return Add(); }
  TfLiteStatus AddLogistic() { return Add(); }
  TfLiteStatus AddMaxPool2D() { return Add(); }
  TfLiteStatus AddMaximum() { return Add(); }
  TfLiteStatus AddMean() { return Add(); }
  TfLiteStatus AddMinimum() { return Add(); }
  TfLiteStatus AddMirrorPad() { return Add(); }
  TfLiteStatus AddMul() { return Add(); }
  TfLiteStatus AddNeg() { return Add(); }
  TfLiteStatus AddNotEqual() { return Add(); }
  TfLiteStatus AddPack() { return Add(); }
  TfLiteStatus AddPad() { return Add(); }
  TfLiteStatus AddPadV2() { return Add(); }
  TfLiteStatus AddPrelu() { return Add(); }
  TfLiteStatus AddQuantize() { return Add(); }
  TfLiteStatus AddReduceMax() { return Add(); }
  TfLiteStatus AddReduceMin() { return Add(); }
  TfLiteStatus AddRelu() { return Add(); }
  TfLiteStatus AddRelu6() { return Add(); }
  TfLiteStatus AddReshape() { return Add(); }
  TfLiteStatus AddResizeBilinear() { return Add(); }
  TfLiteStatus AddResizeNearestNeighbor() { return Add(); }
  TfLiteStatus AddReverseV2() { return Add(); }
  TfLiteStatus AddRound() { return Add(); }
  TfLiteStatus AddRsqrt() { return Add(); }
  TfLiteStatus AddSelectV2() { return Add(); }
  TfLiteStatus AddShape() { return Add(); }
  TfLiteStatus AddSin() { return Add(); }
  TfLiteStatus AddSlice() { return Add(); }
  TfLiteStatus AddSoftmax() { return Add(); }
  TfLiteStatus AddSpaceToBatchNd() { return Add(); }
  TfLiteStatus AddSpaceToDepth() { return Add(); }
  TfLiteStatus AddSplit() { return Add(); }
  TfLiteStatus AddSplitV() { return Add(); }
  TfLiteStatus AddSqrt() { return Add(); }
  TfLiteStatus AddSquare() { return Add(); }
  TfLiteStatus AddSquaredDifference() { return Add(); }
  TfLiteStatus AddSqueeze() { return Add(); }
  TfLiteStatus AddStridedSlice() { return Add(); }
  TfLiteStatus AddSub() { return Add(); }
  TfLiteStatus AddSum() { return Add(); }
  TfLiteStatus AddSvdf() { return Add(); }
  TfLiteStatus AddTanh() { return Add(); }
  TfLiteStatus AddTranspose() { return Add(); }
  TfLiteStatus AddTransposeConv() { return Add(); }
  TfLiteStatus AddUnpack() { return Add(); }
  TfLiteStatus AddZerosLike() { return Add(); }

 private:
  // As the real one: no more operators than there is room for.
  TfLiteStatus Add() { return count_++ < tOpCount ? kTfLiteOk : kTfLiteError; }

  unsigned int count_ = 0;
};

}  // namespace tflite

#endif  // EDGE_STUB_MICRO_MUTABLE_OP_RESOLVER_H_
