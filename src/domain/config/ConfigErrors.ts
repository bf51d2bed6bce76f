/** What is wrong with a configuration: every wrong setting at once, each by its name. */
import * as Data from "effect/Data"

/** `problem` is a sentence that says what would be right. `given` is left out where nothing was given. */
export interface ConfigIssue {
  readonly name: string
  readonly given: string | undefined
  readonly problem: string
}

/** The configuration cannot be used. The message has one line per issue. */
export class ConfigErrors extends Data.TaggedError("ConfigErrors")<{ readonly issues: ReadonlyArray<ConfigIssue> }> {
  override get message() {
    return this.issues.map(formatIssue).join("\n")
  }
}

const formatIssue = ({ given, name, problem }: ConfigIssue): string =>
  given === undefined ? `${name}: ${problem}` : `${name}=${shown(given)}: ${problem}`

/** As it would be typed; quoted where its ends would not be seen, shortened where it is a whole document. */
const shown = (given: string): string => {
  const short = given.length > MAX_SHOWN ? `${given.slice(0, MAX_SHOWN)}…` : given
  return /^[\w./:%+*-]+$/.test(short) ? short : JSON.stringify(short)
}

const MAX_SHOWN = 80
