/** The bench's command line. */
import { parseArgs } from "node:util"

export interface Arguments {
  readonly rounds: number
  readonly only: string | undefined
  readonly json: string | undefined
}

/** The arguments, or the text to print instead of running: help, or what is wrong with them. */
export const readArguments = (
  argv: ReadonlyArray<string>,
  cases: ReadonlyArray<{ readonly name: string; readonly about: string }>
): Arguments | { readonly text: string; readonly exitCode: number } => {
  try {
    const { values } = parseArgs({ args: [...argv], options: OPTIONS })
    if (values.help === true) return { text: help(cases), exitCode: 0 }
    const rounds = Number(values.rounds ?? DEFAULT_ROUNDS)
    if (!Number.isInteger(rounds) || rounds < 1)
      throw new Error(`--rounds takes a whole number from 1 up, not ${JSON.stringify(values.rounds)}`)
    if (values.only !== undefined && !cases.some(({ name }) => name === values.only))
      throw new Error(
        `--only takes one of ${cases.map(({ name }) => name).join(", ")}, not ${JSON.stringify(values.only)}`
      )
    return { rounds, only: values.only, json: values.json }
  } catch (cause) {
    return {
      text: `${cause instanceof Error ? cause.message : String(cause)}\nSee npm run bench -- --help\n`,
      exitCode: 1
    }
  }
}

const help = (
  cases: ReadonlyArray<{ readonly name: string; readonly about: string }>
) => `Measures weft beside other ways to carry TCP, on this machine, in one run.

  npm run bench -- [--rounds N] [--only CASE] [--json FILE]

  --rounds N    how often each case is measured on each subject (${DEFAULT_ROUNDS}); the table shows the median
  --only CASE   one of the cases below
  --json FILE   also write the rows, as [{ case, subject, unit, median, min, max }]
  --help        this text

Cases:
${cases.map(({ about, name }) => `  ${name.padEnd(14)}${about}`).join("\n")}

Example:
  npm run bench -- --rounds 3 --only throughput --json throughput.json
`

const OPTIONS = {
  rounds: { type: "string" },
  only: { type: "string" },
  json: { type: "string" },
  help: { type: "boolean", short: "h" }
} as const

const DEFAULT_ROUNDS = 5
