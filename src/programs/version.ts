/** What this program is, as `weft version` prints it and the log begins with. */
import Package from "../../package.json" with { type: "json" }

export const RELEASE: string = Package.version

export const VERSION = `weft ${RELEASE} (node ${process.versions.node}, openssl ${process.versions.openssl})`
