import { ModelError, type Network, readTensors, type TensorData, type TensorInfo, typeOf } from "@edge-sdk/core";
import { type CompiledModel, loadAndCompile, Tensor } from "@litertjs/core";

/** Version of LiteRT.js that this package is tested with. */
export const RUNTIME = "litert.js 2.5.3";

/** Processor that runs a network. */
export type Accelerator = "wasm" | "webgpu";

/** Types of tensors that LiteRT.js transfers. */
const TRANSFERRED = ["float32", "int32", "uint8"];

/** Runs a network with LiteRT.js. Load the runtime once per page with `loadLiteRt` before. */
export class LiteRtNetwork implements Network {
  readonly runtime = RUNTIME;
  readonly kernels: string;

  private constructor(
    private readonly model: CompiledModel,
    private readonly accelerator: Accelerator,
    readonly inputs: readonly TensorInfo[],
    readonly outputs: readonly TensorInfo[],
    /** Position in the runtime's list of each of `outputs`. */
    private readonly positions: readonly number[],
  ) {
    this.kernels = accelerator === "wasm" ? "xnnpack" : accelerator;
  }

  /**
   * Compile a network.
   *
   * @param bytes Content of a .tflite file.
   * @throws ModelError if the file is not a .tflite, the runtime refuses it, or its tensors have a type that LiteRT.js does
   *   not transfer.
   */
  static async open(bytes: Uint8Array, accelerator: Accelerator = "wasm"): Promise<LiteRtNetwork> {
    const { inputs, outputs } = readTensors(bytes);
    for (const { name, dtype } of [...inputs, ...outputs]) {
      if (!TRANSFERRED.includes(dtype)) {
        throw new ModelError(
          `expected tensors of ${TRANSFERRED.join(", ")}, which LiteRT.js transfers, found ${dtype} for '${name}'`,
          "convert the model with --target mobile",
        );
      }
    }
    let model: CompiledModel;
    try {
      model = await loadAndCompile(bytes, { accelerator });
    } catch (error) {
      throw new ModelError(`LiteRT.js cannot run the network with ${accelerator}: ${messageOf(error)}`, "convert the model with --target mobile");
    }
    const details = model.getOutputDetails();
    // The runtime lists outputs by their name in the signature; without a signature it uses the tensors' names.
    const positions = outputs.map(({ name, signatureName }) =>
      details.findIndex((detail) => detail.name === (signatureName ?? name)),
    );
    const matches = details.length === outputs.length && new Set(positions).size === outputs.length && !positions.includes(-1);
    if (!matches || outputs.some(({ shape }, i) => shape.join() !== [...details[positions[i]!]!.shape].join())) {
      model.delete();
      throw new ModelError("the runtime's outputs differ from those in the file", "convert the model again");
    }
    return new LiteRtNetwork(model, accelerator, inputs, outputs, positions);
  }

  async run(codes: readonly TensorData[]): Promise<readonly TensorData[]> {
    const tensors: Tensor[] = [];
    try {
      for (const [i, values] of codes.entries()) tensors.push(tensorOf(values, this.inputs[i]!));
      const results = await this.model.run(tensors);
      tensors.push(...results);
      const onHost = this.accelerator === "wasm" ? results : await Promise.all(results.map((result) => result.copyTo("wasm")));
      if (onHost !== results) tensors.push(...onHost);
      // The runtime's memory is released below, so the values are copied.
      return this.positions.map((position) => onHost[position]!.toTypedArray().slice());
    } catch (error) {
      if (error instanceof ModelError) throw error;
      throw new ModelError(`LiteRT.js cannot run the network: ${messageOf(error)}`);
    } finally {
      for (const tensor of tensors) tensor.delete();
    }
  }

  close(): void {
    this.model.delete();
  }
}

function tensorOf(values: TensorData, info: TensorInfo): Tensor {
  if (typeOf(values) !== info.dtype) throw new ModelError(`expected ${info.dtype} for '${info.name}', found ${typeOf(values)}`);
  return new Tensor(values as Uint8Array<ArrayBuffer>, [...info.shape]);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
