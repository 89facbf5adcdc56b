export * from "./contract.js";
export * from "./encode.js";
export * from "./errors.js";
export * from "./image.js";
export * from "./network.js";
