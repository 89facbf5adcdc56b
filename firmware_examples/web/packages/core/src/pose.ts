/** Estimation of head pose from five landmarks. */

import { ARCFACE_112, type Point } from "./contract.js";

// Heights above the plane of the pupils, in eye distances: the tip of the nose is about 35 mm in front of it, the
// corners of the mouth about 6 mm, with 63 mm between the eyes (Farkas 1994, Anthropometry of the Head and Face).
const NOSE = 0.55;
const MOUTH = 0.1;

/** Orientation of a head in degrees; zero looks into the camera. */
export interface Pose {
  /** Positive if the nose points to the right of the image. */
  readonly yawDeg: number;
  /** Positive if it points up; the least certain of the three angles. */
  readonly pitchDeg: number;
  /** Positive if the head is turned clockwise in the image. */
  readonly rollDeg: number;
}

type Vector = readonly [number, number, number];

/** Add depth to the ArcFace template: 5 points, centred, in eye distances, y down, z towards the camera. */
function meanFace(): Vector[] {
  const eyes = ARCFACE_112[1]![0] - ARCFACE_112[0]![0];
  const flat = ARCFACE_112.map(([x, y]) => [x / eyes, y / eyes] as const);
  const [leftEye, rightEye, nose, leftMouth, rightMouth] = flat as [Point, Point, Point, Point, Point];
  // The asymmetry of the template comes from the faces that it was made from, not from a pose.
  const middle = (leftEye[0] + rightEye[0] + leftMouth[0] + rightMouth[0]) / 4;
  const halfEyes = (rightEye[0] - leftEye[0]) / 2;
  const halfMouth = (rightMouth[0] - leftMouth[0]) / 2;
  const eyesY = (leftEye[1] + rightEye[1]) / 2;
  const mouthY = (leftMouth[1] + rightMouth[1]) / 2;
  const points: Vector[] = [
    [middle - halfEyes, eyesY, 0],
    [middle + halfEyes, eyesY, 0],
    [middle, nose[1], NOSE],
    [middle - halfMouth, mouthY, MOUTH],
    [middle + halfMouth, mouthY, MOUTH],
  ];
  const centre = [0, 1, 2].map((axis) => points.reduce((sum, point) => sum + point[axis]!, 0) / 5);
  return points.map(([x, y, z]): Vector => [x - centre[0]!, y - centre[1]!, z - centre[2]!]);
}

const cross = (a: Vector, b: Vector): Vector => [
  a[1] * b[2] - a[2] * b[1],
  a[2] * b[0] - a[0] * b[2],
  a[0] * b[1] - a[1] * b[0],
];
const dot = (a: Vector, b: Vector): number => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];

/** Compute the pseudoinverse of the mean face, (A^T A)^-1 A^T: 3 rows of 5 numbers. */
function pseudoinverse(points: readonly Vector[]): number[][] {
  const gram = [0, 1, 2].map((i) => [0, 1, 2].map((j) => points.reduce((sum, p) => sum + p[i]! * p[j]!, 0)));
  const [r0, r1, r2] = gram as unknown as [Vector, Vector, Vector];
  const determinant = dot(r0, cross(r1, r2));
  // The matrix is symmetric, so its inverse has the cross products of its rows as rows.
  const inverse = [cross(r1, r2), cross(r2, r0), cross(r0, r1)];
  return inverse.map((row) => points.map((point) => dot(row, point) / determinant));
}

const SOLVE = pseudoinverse(meanFace());

/**
 * Estimate head pose under scaled orthographic projection of a mean face (after DeMenthon and Davis 1995). The error is
 * a few degrees for frontal faces. Beyond 60 degrees of yaw the landmarks, and so the pose, are not reliable.
 *
 * @param landmarks Five points in pixels.
 */
export function poseOf(landmarks: readonly Point[]): Pose {
  // The landmarks need no centring, because the columns of SOLVE sum to zero.
  const solve = (axis: 0 | 1) => SOLVE.map((row) => row.reduce((sum, s, i) => sum + s * landmarks[i]![axis], 0));
  const a = solve(0) as unknown as Vector;
  const b = solve(1) as unknown as Vector;
  // Two rows of a scaled rotation; the third is perpendicular to both.
  const third = cross(a, b);
  const area = Math.sqrt(dot(third, third));
  // All landmarks are on one line, as in a profile view.
  if (!(area > 0)) return { yawDeg: 90, pitchDeg: 0, rollDeg: 0 };
  const degrees = 180 / Math.PI;
  // The nearest rotation to two rows A is (A A^T)^(-1/2) A, whose square root has a closed form for 2x2 matrices.
  const [aa, bb, ab] = [dot(a, a), dot(b, b), dot(a, b)];
  return {
    yawDeg: Math.atan2(-third[0], third[2]) * degrees,
    pitchDeg: Math.asin(Math.min(1, Math.max(-1, third[1] / area))) * degrees,
    rollDeg: Math.atan2(ab * b[1] - (bb + area) * a[1], (aa + area) * b[1] - ab * a[1]) * degrees,
  };
}
