import { expect } from "vitest";

import {
  align,
  assess,
  decoderOf,
  digest,
  Encoder,
  ENROLMENT_LIMITS,
  type Face,
  facesOf,
  fit,
  type InputContract,
  Output,
  type Point,
  RECOGNITION_LIMITS,
  refusals,
  resizeBilinear,
  resizeFast,
  similarity,
  smoothField,
  type TensorData,
  type TensorType,
  unitEmbedding,
  canvasSize,
  type Color,
} from "../src/index.js";
import { array, type Coded, expectClose, imageOf, pointsOf, suite } from "./vectors.js";

interface EncodeInput {
  readonly mean: number[];
  readonly scale: number[];
  readonly color: Color;
  readonly tensor: { readonly dtype: TensorType; readonly scale: number; readonly zero_point: number };
  readonly pixels: Coded;
}

suite<EncodeInput, { codes: Coded | TensorData }>(
  "encode",
  ({ mean, scale, color, tensor, pixels }) => {
    const image = imageOf(pixels);
    const contract: InputContract = { height: image.height, width: image.width, color, mean, scale };
    const { dtype, scale: step, zero_point: zeroPoint } = tensor;
    return { codes: new Encoder(contract, { dtype, scale: step, zeroPoint }).encode(image) };
  },
  (actual, expected) => expectClose(actual.codes as TensorData, array(expected.codes as Coded)),
);

interface ResizeInput {
  readonly pixels: Coded;
  readonly height: number;
  readonly width: number;
  readonly method: "fit" | "fast" | "bilinear";
}

suite<ResizeInput, { pixels: Coded | Uint8Array }>(
  "resize",
  ({ pixels, height, width, method }) => {
    const resize = { fit, fast: resizeFast, bilinear: resizeBilinear }[method];
    return { pixels: resize(imageOf(pixels), height, width).data };
  },
  (actual, expected, { pixels }) => expectClose(actual.pixels as Uint8Array, array(expected.pixels as Coded), pixels),
);

interface AlignInput {
  readonly pixels: Coded;
  readonly landmarks: Coded;
  readonly points: Coded;
  readonly height: number;
  readonly width: number;
}

suite<AlignInput, { matrix: Coded | readonly number[]; pixels: Coded | Uint8Array }>(
  "align",
  ({ pixels, landmarks, points, height, width }) => {
    const template = pointsOf(points);
    const contract: InputContract = { height, width, color: "rgb", mean: [0, 0, 0], scale: [1, 1, 1], alignment: template };
    return {
      matrix: similarity(pointsOf(landmarks), template),
      pixels: align(imageOf(pixels), pointsOf(landmarks), contract).data,
    };
  },
  (actual, expected, tolerance) => {
    expectClose(actual.matrix as number[], array(expected.matrix as Coded), tolerance.matrix);
    expectClose(actual.pixels as Uint8Array, array(expected.pixels as Coded), tolerance.pixels);
  },
);

interface DetectInput {
  readonly method: string;
  readonly min_score?: number;
  readonly height: number;
  readonly width: number;
  readonly frame_height: number;
  readonly frame_width: number;
  readonly outputs: Record<string, Coded & { readonly scale?: number; readonly zero_point?: number }>;
}

suite<DetectInput, { faces: Face[] }>(
  "detect",
  (input) => {
    const { method, height, width, frame_height: rows, frame_width: columns } = input;
    const entries = Object.entries(input.outputs);
    const decoder = decoderOf(method, height, width, new Map(entries.map(([name, coded]) => [name, coded.shape])));
    const outputs = new Map(
      entries.map(([name, coded]) => {
        const info = { scale: coded.scale ?? 0, zeroPoint: coded.zero_point ?? 0 };
        return [name, new Output(array(coded) as TensorData, info)];
      }),
    );
    const [usedRows, usedColumns] = canvasSize(rows, columns, height, width);
    return { faces: facesOf(decoder, outputs, input.min_score ?? decoder.score, columns / usedColumns, rows / usedRows) };
  },
  (actual, expected, tolerance) => {
    const flat = (faces: readonly Face[]) => faces.flatMap((face) => [...face.box, face.score, ...face.landmarks.flat()]);
    expectClose(flat(actual.faces!), flat(expected.faces), tolerance.faces);
  },
);

interface QualityInput {
  readonly pixels: Coded;
  readonly face: { readonly box: Face["box"]; readonly landmarks: readonly Point[]; readonly score: number };
  readonly limits: "recognition" | "enrolment";
}

suite<QualityInput, { measures: Record<string, number>; reasons: string[] }>(
  "quality",
  ({ pixels, face, limits }) => {
    const quality = assess(imageOf(pixels), face, { detail: true });
    const { pose, detail } = quality;
    return {
      measures: {
        eye_distance_px: quality.eyeDistancePx,
        sharpness: quality.sharpness,
        brightness: quality.brightness,
        contrast: quality.contrast,
        exposed_wrongly: quality.exposedWrongly,
        yaw_deg: pose.yawDeg,
        pitch_deg: pose.pitchDeg,
        roll_deg: pose.rollDeg,
        landmark_misfit: quality.landmarkMisfit,
        eye_contrast: quality.eyeContrast,
        detection: quality.detection,
        rival: quality.rival,
        eyes: detail!.eyes,
        mouth: detail!.mouth,
        detail_sharpness: detail!.sharpness,
        side_light: detail!.sideLight,
      },
      reasons: refusals(quality, limits === "enrolment" ? ENROLMENT_LIMITS : RECOGNITION_LIMITS).map(({ reason }) => reason),
    };
  },
  (actual, expected, tolerance) => {
    expect(actual.reasons).toEqual(expected.reasons);
    const names = Object.keys(expected.measures);
    expectClose(names.map((name) => actual.measures![name] ?? NaN), Object.values(expected.measures), tolerance.measures);
  },
);

suite<{ codes: Coded; zero_point: number }, { embedding: Coded | Float32Array }>(
  "embed",
  ({ codes, zero_point: zeroPoint }) => ({ embedding: unitEmbedding(array(codes) as TensorData, zeroPoint) }),
  (actual, expected, { embedding }) =>
    expectClose(actual.embedding as Float32Array, array(expected.embedding as Coded), embedding),
);

suite<{ seed: number; shape: [number, number, number] }, { pixels_sha256: string }>(
  "golden",
  ({ seed, shape: [height, width, channels] }) => ({
    pixels_sha256: digest(smoothField(height, width, channels, seed).data),
  }),
  (actual, expected) => expect(actual).toEqual(expected),
);
