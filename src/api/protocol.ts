/**
 * What the command line and other clients say to the daemon over control.sock.
 *
 * HTTP/1.1 on a Unix socket in the runtime directory, which only its user can enter; JSON bodies; every
 * path begins with /v1. Fields may be added; a client ignores those that it does not know.
 *
 *   GET  /v1/status        -> Status
 *   GET  /v1/containers    -> ContainerList: running accelerated containers, and recent incidents
 *   GET  /v1/sockets       [?container=ID] -> SocketList: switched sockets that are open
 *   GET  /v1/tunnels       [?container=ID] -> TunnelList: tunnels of containers that have some, and their peers
 *   GET  /v1/events        -> EventList: what happened lately, oldest first
 *   GET  /v1/events/follow -> one JournalEvent a line as it happens (application/x-ndjson), until one side hangs up
 *   POST /v1/explain       ExplainRequest -> Explanation: what a connect would do now, without doing it, and which
 *                          way a tunnel's packets to there take
 *   POST /v1/keeper/stop   {} -> 204: the keeper ends once it holds no listener any more
 *   POST /v1/stop          {} -> 204: the daemon ends; containers keep running, the keeper stays
 *
 * An error has status 4xx or 5xx and the body ApiError; match `code`, not the message:
 * `bad-request` (400), `not-found` (404: no such container or path), `ambiguous` (409: the id prefix fits
 * several), `gone` (409: the container has just ended), `internal` (500).
 */
import { isIP } from 'node:net';
import { z } from 'zod';

const kind = z.enum(['switched', 'fallback', 'passed']);

export const statusSchema = z.object({
  pid: z.int(),
  version: z.string(),
  /** ISO 8601. */
  startedAt: z.string(),
  uptimeSeconds: z.number(),
  kernel: z.object({
    release: z.string(),
    syncWakeUp: z.boolean(),
    waitKillable: z.boolean(),
    pidfdThread: z.boolean(),
    /** kcmp(2) is permitted; where it is not, more is asked of the kernel in its place. */
    kcmp: z.boolean().default(true),
    /** Host sockets are guarded (docs/threat-model.md). */
    socketGuard: z.boolean(),
  }),
  /** Why nothing is accelerated; absent where it can be. */
  unaccelerated: z.string().optional(),
  /** Why services see the host's address for clients inside and for neighbours; absent where they see the true one. */
  hostNames: z.string().optional(),
  /** Why services on published ports do not follow the host's network to another device; absent where they do. */
  staysPinned: z.string().optional(),
  /** Whether rewritten specs ask for WAIT_KILLABLE_RECV. */
  waitKillable: z.boolean(),
  keeper: z.object({ connected: z.boolean(), socket: z.string() }),
  /** The configuration file, and whether there is one. */
  config: z.object({ path: z.string(), present: z.boolean() }),
  podmanNetworks: z.array(z.string()),
  containers: z.int(),
  listeners: z.int(),
});
export type Status = z.infer<typeof statusSchema>;

const reasonSchema = z.object({
  outcome: z.string(),
  kind,
  /** One sentence. */
  text: z.string(),
  count: z.int(),
});
export type Reason = z.infer<typeof reasonSchema>;

const nestedSchema = z.object({
  /** Namespaces, since the start of the container or, if later, of the daemon, with those that are gone; 1000: or more. */
  networks: z.int(),
  /** Those of their connects that were left alone as `nested-netns`, since the start of the container. */
  connects: z.int(),
});
export type Nested = z.infer<typeof nestedSchema>;

const containerSchema = z.object({
  id: z.string(),
  startedAt: z.string(),
  /** Process id of its init on the host; 0 when not known. */
  pid: z.int(),
  /** Process trees that are being served: the container's own and one for each `podman exec`. */
  listeners: z.int(),
  status: z.enum(['running', 'not-understood']),
  annotations: z.record(z.string(), z.string()),
  /** As its annotations say, where containerd or CRI-O wrote them; without `container` it is the pod's sandbox. */
  kubernetes: z
    .object({ namespace: z.string(), pod: z.string(), container: z.string().optional() })
    .optional(),
  /** What the container and the configuration keep on the fallback network. */
  ignore: z.array(z.string()),
  /** Its published ports, such as "8080:80/tcp". */
  publish: z.array(z.string()),
  /**
   * Datagrams from and to clients that its published UDP ports have lost, as far as the relay learns of it, since the
   * port was reserved or, if later, the start of the daemon; absent: it publishes no UDP port.
   */
  lostDatagrams: z.int().optional(),
  /** Connections and other calls by kind, since the start of the container or, if later, of the daemon. */
  counts: z.record(kind, z.int()),
  /** Most frequent first; without `passed`. */
  reasons: z.array(reasonSchema),
  /** Why nothing is switched in it, as far as that is known; absent: nothing stands against it. */
  obstacle: z.string().optional(),
  /** What came from nested network namespaces in it (the pods of a node); absent: nothing did. */
  nested: nestedSchema.optional(),
  /** One of a node's private service addresses that are on no ignore list; absent: there is none. */
  unlistedService: z.string().optional(),
  /** What its tunnels amount to; absent: it has none. GET /v1/tunnels lists them. */
  tunnels: z
    .object({
      /** Peers whose packets are carried. */
      up: z.int(),
      /** Peers whose packets go over the fallback network. */
      fallback: z.int(),
      /** Why, each reason once; those of a peer begin with its address. */
      reasons: z.array(z.string()),
      /** Payload of the tunnels' packets that was carried; falls when a peer goes, and when one connects anew. */
      sentBytes: z.int(),
      receivedBytes: z.int(),
    })
    .optional(),
});
export type ContainerRow = z.infer<typeof containerSchema>;
export type TunnelSummary = NonNullable<ContainerRow['tunnels']>;

const incidentSchema = z.object({
  /** ISO 8601. */
  time: z.string(),
  /** `rejected`: the start was refused; `unaccelerated`: started on its fallback network only;
   *  `listener`: something came to the listener socket that is not served. */
  kind: z.enum(['rejected', 'unaccelerated', 'listener']),
  /** Container id where it is known. */
  container: z.string().optional(),
  message: z.string(),
});
export type Incident = z.infer<typeof incidentSchema>;

export const containerListSchema = z.object({
  containers: z.array(containerSchema),
  /** Oldest first, at most 50. */
  incidents: z.array(incidentSchema),
});
export type ContainerList = z.infer<typeof containerListSchema>;

const socketSchema = z.object({
  container: z.string(),
  /** As the host numbers it. */
  pid: z.int(),
  fd: z.int(),
  /** "ESTABLISHED", "SYN-SENT", ... */
  state: z.string(),
  /** "10.0.0.1:80", "[fd00::1]:80". */
  local: z.string(),
  remote: z.string(),
  /** Payload, acknowledged. */
  bytesSent: z.int(),
  bytesReceived: z.int(),
  roundTripMicroseconds: z.int(),
});
export type SocketRow = z.infer<typeof socketSchema>;

export const socketListSchema = z.object({ sockets: z.array(socketSchema) });
export type SocketList = z.infer<typeof socketListSchema>;

const tunnelSchema = z.object({
  container: z.string(),
  /** UDP ports of its tunnel devices. */
  ports: z.array(z.int()),
  /** Why nothing is carried, or not all; "" where there is no problem. */
  reason: z.string(),
  /** The interface in the container; absent where nothing is carried. */
  tap: z.string().optional(),
  /** Whether the kernel hands over one packet in the place of many (Linux 6.17). */
  segments: z.boolean().optional(),
  devices: z.array(z.object({ name: z.string(), kind: z.string(), port: z.int() })),
  /** Where peers are accepted, and why not. */
  listening: z.array(
    z.object({
      hostAddress: z.string().optional(),
      hostPort: z.int(),
      containerPort: z.int(),
      problem: z.string(),
    }),
  ),
  /** Whom its tunnels send to. */
  peers: z.array(
    z.object({
      address: z.string(),
      port: z.int(),
      /** `up`, `fallback`, or a step between. */
      state: z.string(),
      reason: z.string(),
      /** ISO 8601. */
      since: z.string(),
      sentBytes: z.int(),
      sentPayloads: z.int(),
      dropped: z.int(),
      roundTripMicroseconds: z.int(),
    }),
  ),
  /** Who sends to its tunnels. */
  sources: z.array(
    z.object({
      address: z.string(),
      port: z.int(),
      since: z.string(),
      receivedBytes: z.int(),
      receivedPayloads: z.int(),
      dropped: z.int(),
    }),
  ),
  /** Packets that were led here and were for no peer. */
  unsent: z.int(),
});
export type TunnelRow = z.infer<typeof tunnelSchema>;

export const tunnelListSchema = z.object({ tunnels: z.array(tunnelSchema) });
export type TunnelList = z.infer<typeof tunnelListSchema>;

export const eventSchema = z.object({
  /** ISO 8601. */
  time: z.string(),
  /**
   * `container-started`, `container-taken-over` (by a new daemon), `container-stopped`; `rejected`,
   * `unaccelerated`, `listener`: as for incidents; `first-fallback`: of one outcome in one
   * container; `keeper-lost`, `keeper-back`; `configuration-read`, `configuration-refused`;
   * `unguarded`; `unlisted-service`: of a node, once; `tunnel-found`, `tunnel-up`, `tunnel-down`, `tunnel-failed`;
   * `pin-kept`: a published service's socket was not moved with the host's network.
   */
  type: z.string(),
  container: z.string().optional(),
  message: z.string(),
});
export type JournalEvent = z.infer<typeof eventSchema>;

export const eventListSchema = z.object({ events: z.array(eventSchema) });
export type EventList = z.infer<typeof eventListSchema>;

export const explainRequestSchema = z.strictObject({
  /** The container's id or the beginning of it. */
  container: z.string().min(1).max(1024),
  /** Numeric, IPv4 or IPv6. */
  address: z.string().refine((text) => isIP(text) !== 0 && !text.includes('%'), {
    message: 'must be a numeric IPv4 or IPv6 address',
  }),
  port: z.int().min(0).max(65535),
  protocol: z.enum(['tcp', 'udp']).default('tcp'),
  /** PID, on the host, of a process of the pod that connects; left out: the container itself does. */
  pod: z.int().min(1).max(4194304).optional(),
});
/** As it is written, and as it is read. */
export type ExplainQuery = z.input<typeof explainRequestSchema>;
export type ExplainRequest = z.infer<typeof explainRequestSchema>;

export const explanationSchema = z.object({
  container: z.string(),
  address: z.string(),
  port: z.int(),
  protocol: z.enum(['tcp', 'udp']).default('tcp'),
  kind,
  outcome: z.string(),
  /** The outcome in a sentence. */
  text: z.string(),
  /** The rule: a matching prefix, a route, a device. */
  detail: z.string(),
  device: z.string().optional(),
  /** As a container's: the answer is not for these. */
  nested: nestedSchema.optional(),
  /** As a container's. */
  unlistedService: z.string().optional(),
  /** Where the container has a tunnel with this UDP port: which way its packets to there take. */
  tunnel: z
    .object({
      /** Those with this port that are up: "flannel.1 (vxlan)". */
      devices: z.array(z.string()),
      /** As a peer's; `fallback` also where it is no peer. */
      state: z.string(),
      /** Why not `up`; "" where nothing has failed. */
      reason: z.string(),
      /** Of the state, ISO 8601; absent where it is no peer. */
      since: z.string().optional(),
    })
    .optional(),
});
export type Explanation = z.infer<typeof explanationSchema>;
export type TunnelExplanation = NonNullable<Explanation['tunnel']>;

export const apiErrorSchema = z.object({
  error: z.object({
    code: z.enum(['bad-request', 'not-found', 'ambiguous', 'gone', 'internal']),
    message: z.string(),
  }),
});
export type ApiErrorBody = z.infer<typeof apiErrorSchema>;
export type ApiErrorCode = ApiErrorBody['error']['code'];

export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly code: ApiErrorCode;

  constructor(code: ApiErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
