import { defineConfig } from "vitest/config";

export default defineConfig({
  // The runtime's Emscripten script runs in the global scope of the process, so each file gets a process of its own.
  test: { include: ["test/**/*.test.ts"], testTimeout: 60_000, pool: "forks" },
});
