import { defineConfig } from "vitest/config"

/** `npm test` runs everything but `test/long`; `npm run test:long` runs only that (WEFT_TEST_LONG=1). */
const long = process.env["WEFT_TEST_LONG"] === "1"

export default defineConfig({
  test: {
    include: [long ? "test/long/**/*.test.ts" : "test/**/*.test.ts"],
    exclude: long ? [] : ["test/long/**"],
    pool: "forks",
    maxWorkers: 2,
    testTimeout: long ? 600_000 : 30_000,
    hookTimeout: 60_000,
    reporters: ["default"]
  }
})
