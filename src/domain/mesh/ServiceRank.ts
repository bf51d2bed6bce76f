/** Which of several services that share an address or a hostname a client means (reference state §3.6, §3.7). */
import type { Service } from "./Service.ts"

/** Without a client namespace everything is visible. */
export const isVisible = ({ namespace, visibility }: Service, clientNamespace: string | undefined): boolean =>
  visibility === "Public" || clientNamespace === undefined || namespace === clientNamespace

/** The client's own namespace, else the last canonical one, else the first; only visible ones count. */
export const preferred = (
  services: ReadonlyArray<Service>,
  clientNamespace: string | undefined
): Service | undefined => {
  const visible = services.filter((service) => isVisible(service, clientNamespace))
  return (
    visible.find(({ namespace }) => namespace === clientNamespace) ??
    visible.findLast(({ canonical }) => canonical) ??
    visible[0]
  )
}
