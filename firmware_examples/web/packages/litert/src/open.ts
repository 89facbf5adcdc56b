import {
  type Card,
  checkGolden,
  Detector,
  detectorCard,
  Embedder,
  embedderCard,
  type GoldenCheck,
  ModelContractError,
  ModelError,
  type Network,
  openModelFile,
} from "@edge-sdk/core";

import { type Accelerator, LiteRtNetwork } from "./litert_network.js";

/** Options for opening a model file. */
export interface OpenOptions {
  /** Processors in order of preference; by default `["wasm"]`. The last one must give the right answers. */
  readonly accelerators?: readonly Accelerator[];
  /** Expected SHA-256 of the file, hex. */
  readonly sha256?: string;
  /** Compiles a network; by default with LiteRT.js. */
  readonly compile?: (bytes: Uint8Array, accelerator: Accelerator) => Promise<Network>;
}

/** A network whose outputs match its card's golden vectors. */
export interface OpenNetwork<Kind extends Card = Card> {
  readonly network: Network;
  readonly card: Kind;
  /** Processor that runs it. */
  readonly accelerator: Accelerator;
  /** Results of the golden vectors, one per output; empty if the card has none. */
  readonly golden: readonly GoldenCheck[];
  /** Processors that were tried before and refused, with the reason. */
  readonly refused: ReadonlyMap<Accelerator, string>;
}

/**
 * Open a model file and check its golden vectors. A processor that cannot run the network, or that gives wrong outputs, is
 * replaced by the next one of `accelerators`. Only wasm runs a network whose card has no golden vectors.
 *
 * @param bytes Content of a .tflite file from edge-convert.
 * @throws ModelError if the file is damaged, or no processor gives the right outputs.
 * @throws ModelCardError if it has no card.
 * @throws ModelContractError if the network contradicts its card.
 */
export function openNetwork(bytes: Uint8Array, options: OpenOptions = {}): Promise<OpenNetwork> {
  return openAs(bytes, options, (card) => card);
}

/** Open a model file as `openNetwork` does; `ofKind` refuses a card of another kind before anything is compiled. */
async function openAs<Kind extends Card>(
  bytes: Uint8Array,
  options: OpenOptions,
  ofKind: (card: Card) => Kind,
): Promise<OpenNetwork<Kind>> {
  const { accelerators = ["wasm"], sha256, compile = LiteRtNetwork.open } = options;
  const card = ofKind(openModelFile(bytes, sha256).card);
  const refused = new Map<Accelerator, string>();
  for (const accelerator of accelerators) {
    let network: Network | undefined;
    try {
      network = await compile(bytes, accelerator);
      checkTensor(network, card);
      const golden = await checkAll(network, card);
      const wrong = golden.find(({ verdict }) => verdict !== "right");
      // Graphics processors compute differently from device to device, so their answers must be checked.
      const unchecked = accelerator !== "wasm" && golden.length === 0;
      if (!wrong && !unchecked) return { network, card, accelerator, golden, refused };
      refused.set(accelerator, wrong?.message ?? "the card has no golden vectors to check its answers");
    } catch (error) {
      if (!(error instanceof ModelError) || error instanceof ModelContractError) {
        network?.close();
        throw error;
      }
      refused.set(accelerator, error.message);
    }
    network?.close();
  }
  const reasons = [...refused].map(([name, reason]) => `${name}: ${reason}`).join("; ");
  throw new ModelError(`no processor gives the card's answers: ${reasons || "none was named"}`, "convert the model with --target mobile");
}

/** Check the input tensor against the one that the card states, if it does. */
function checkTensor(network: Network, { tensor }: Card): void {
  const [input] = network.inputs;
  if (!tensor || !input) return;
  // The file stores float32; the card's number has been rounded from it.
  const sameScale = Math.fround(tensor.scale) === Math.fround(input.scale);
  if (tensor.dtype !== input.dtype || !sameScale || tensor.zeroPoint !== input.zeroPoint) {
    throw new ModelContractError(
      `expected the input tensor that the card states (${tensor.dtype}, ${tensor.scale}, ${tensor.zeroPoint}), found ${input.dtype}, ${input.scale}, ${input.zeroPoint}`,
    );
  }
}

async function checkAll(network: Network, card: Card): Promise<GoldenCheck[]> {
  if (card.kind === "embedder") return card.golden ? [await checkGolden(network, card.input, card.golden)] : [];
  const checks: GoldenCheck[] = [];
  for (const [position, name] of card.outputs.entries()) {
    const golden = card.golden.get(name);
    if (golden) checks.push(await checkGolden(network, card.input, golden, position));
  }
  return checks;
}

/** Open an embedder; errors as `openNetwork`. */
export async function openEmbedder(bytes: Uint8Array, options: OpenOptions = {}): Promise<Embedder> {
  const { network, card } = await openAs(bytes, options, embedderCard);
  return new Embedder(network, card);
}

/** Open a face detector; errors as `openNetwork`, and InputError if `minScore` is outside its range. */
export async function openDetector(
  bytes: Uint8Array,
  options: OpenOptions & { readonly minScore?: number } = {},
): Promise<Detector> {
  const { network, card } = await openAs(bytes, options, detectorCard);
  return new Detector(network, card, options.minScore === undefined ? {} : { minScore: options.minScore });
}
