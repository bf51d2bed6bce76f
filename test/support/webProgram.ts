/** A web server for `node test/support/webProgram.ts HOST PORT…`: says who asked and where. */
import * as Http from "node:http"

const [host, ...ports] = process.argv.slice(2)
let listening = 0
for (const port of ports) {
  Http.createServer(({ socket }, response) =>
    response.end(`${socket.remoteAddress} asked port ${socket.localPort}\n`)
  ).listen(Number(port), host, () => {
    listening += 1
    if (listening === ports.length) process.stdout.write("listening\n")
  })
}
