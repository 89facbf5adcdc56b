/** Time of each stage of a frame, for the benchmarks of Node.js and browsers. */

import { Aligner, arcface, assess, Detector, detectorCard, embedderCard, Encoder, image, largest, unitEmbedding } from "@edge-sdk/core";

/** Stages in the order in which a frame passes them. */
export const STAGES = ["prepare", "detect network", "faces", "align", "encode", "embed network", "decode", "quality"];
const FRAMES = 100;
const WARM_UP = 30;

/**
 * Run frames and return the median time of each stage of `STAGES` and of the "frame" without quality, in ms.
 *
 * @param embedding, detection Results of `openNetwork`.
 * @param frame RGB image. If no face is detected, the middle of the frame is aligned.
 */
export async function measure(embedding, detection, frame) {
  const card = embedderCard(embedding.card);
  const detector = new Detector(detection.network, detectorCard(detection.card));
  const aligner = new Aligner(card.input);
  const encoder = new Encoder(card.input, embedding.network.inputs[0]);
  const crop = image(card.input.height, card.input.width);
  const middle = arcface(224, 224).map(([x, y]) => [x + (frame.width - 224) / 2, y + (frame.height - 224) / 2]);
  const standIn = { box: [0, 0, 224, 224], landmarks: middle, score: 1 };
  const times = new Map([...STAGES, "frame"].map((stage) => [stage, []]));
  for (let i = 0; i < WARM_UP + FRAMES; i++) {
    const marks = [performance.now()];
    const mark = () => marks.push(performance.now());
    const codes = detector.prepare(frame);
    mark();
    const outputs = await detection.network.run([codes]);
    mark();
    const face = largest(detector.decode(outputs, frame.height, frame.width)) ?? standIn;
    mark();
    aligner.align(frame, face.landmarks, crop);
    mark();
    const input = encoder.encode(crop);
    mark();
    const [output] = await embedding.network.run([input]);
    mark();
    unitEmbedding(output, embedding.network.outputs[0].zeroPoint);
    mark();
    assess(frame, face);
    mark();
    if (i < WARM_UP) continue;
    STAGES.forEach((stage, k) => times.get(stage).push(marks[k + 1] - marks[k]));
    times.get("frame").push(marks.at(-2) - marks[0]);
  }
  return new Map([...times].map(([stage, values]) => [stage, values.sort((a, b) => a - b)[values.length >> 1]]));
}
