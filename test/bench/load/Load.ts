/**
 * The bench's end of the two load processes: starts them, gives orders, hands back answers. An order that is not
 * answered in time, because a subject swallowed a connection, fails and costs the client process, not the run.
 */
import { type Child, nextMessage, startNode } from "../children.ts"
import type { Answer, Order } from "./order.ts"

type OrderOf<Tag extends Order["_tag"]> = Extract<Order, { readonly _tag: Tag }>
type AnswerOf<Tag extends Answer["_tag"]> = Extract<Answer, { readonly _tag: Tag }>

/**
 * The server process. It listens on every loopback address, and each subject gets one of its own: connections closed
 * by one leave ports in TIME_WAIT that the next would have to search past.
 */
export interface Targets extends Ports {
  readonly host: string
}

interface Ports {
  readonly echo: number
  readonly source: number
}

export class Load {
  readonly #server: Child
  readonly #ports: Ports
  #client: Child

  private constructor(server: Child, ports: Ports, client: Child) {
    this.#server = server
    this.#ports = ports
    this.#client = client
  }

  static async start(): Promise<Load> {
    const server = await startNode<Ports>(new URL("server.ts", import.meta.url))
    return new Load(server.child, server.ready, await startClient())
  }

  /** For the subject with this number, from 0. */
  targets(subject: number): Targets {
    return { host: `127.0.0.${FIRST_HOST + subject}`, ...this.#ports }
  }

  /** `onMeasuring` runs when the warm-up is over and the measured time begins. */
  async measure<Tag extends Answer["_tag"]>(
    order: OrderOf<"Stream" | "Requests" | "Connect">,
    expected: Tag,
    onMeasuring: () => void
  ): Promise<AnswerOf<Tag>> {
    await this.#ask(order, "Measuring")
    onMeasuring()
    return this.#answer(expected)
  }

  async hold(order: OrderOf<"Hold">): Promise<void> {
    await this.#ask(order, "Held")
  }

  async release(): Promise<void> {
    await this.#ask({ _tag: "Release" }, "Released")
  }

  #ask<Tag extends Answer["_tag"]>(order: Order, expected: Tag): Promise<AnswerOf<Tag>> {
    const answer = this.#answer(expected)
    this.#client.process.send(order)
    return answer
  }

  async #answer<Tag extends Answer["_tag"]>(expected: Tag): Promise<AnswerOf<Tag>> {
    const timeout = Promise.withResolvers<undefined>()
    const timer = setTimeout(timeout.resolve, ANSWER_TIMEOUT, undefined)
    const answer = await Promise.race([nextMessage<Answer>(this.#client), timeout.promise])
    clearTimeout(timer)
    const { exitCode, signalCode } = this.#server.process
    if (exitCode !== null || signalCode !== null)
      throw new Error(`the bench's server ended (${exitCode ?? signalCode}): ${this.#server.output()}`)
    if (answer?._tag === expected) {
      // the tag has just been compared
      return answer as AnswerOf<Tag>
    }
    const stuck = this.#client
    this.#client = await startClient()
    await stuck.stop()
    if (answer === undefined) throw new Error(`no ${expected} from the load generator in ${ANSWER_TIMEOUT} ms`)
    throw new Error(answer._tag === "Failed" ? answer.detail : `${answer._tag} where ${expected} was due`)
  }
}

const startClient = async (): Promise<Child> => (await startNode(new URL("client.ts", import.meta.url))).child

const FIRST_HOST = 11
const ANSWER_TIMEOUT = 20_000
