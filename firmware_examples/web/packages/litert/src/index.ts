export * from "./litert_network.js";
export * from "./open.js";
