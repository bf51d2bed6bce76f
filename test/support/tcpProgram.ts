/**
 * Both ends of a TCP connection, for places where a test cannot be itself (a network namespace):
 * `node test/support/tcpProgram.ts echo HOST PORT` says "listening" and sends everything back;
 * `node test/support/tcpProgram.ts hold HOST PORT` joins a connection to its standard input and output, and says "reset" or
 * "ended" on standard error when the other side does so.
 */
import * as Net from "node:net"

const [mode, host = "", port = ""] = process.argv.slice(2)

if (mode === "echo") {
  const server = Net.createServer((socket) => {
    socket.on("error", () => {})
    socket.pipe(socket)
  })
  server.listen(Number(port), host, () => process.stdout.write("listening\n"))
} else {
  const socket = Net.connect({ host, port: Number(port), allowHalfOpen: true })
  socket.on("error", () => process.stderr.write("reset\n"))
  socket.on("end", () => process.stderr.write("ended\n"))
  socket.pipe(process.stdout)
  process.stdin.pipe(socket)
}
