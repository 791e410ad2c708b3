/**
 * The boundary to the C++ data plane: what `build/Release/sockswitch.node` exports, typed.
 *
 * The data plane handles every notification on threads of its own; what crosses this boundary is
 * control (listeners and policies in) and observation (counters and rare events out).
 * Errors thrown by the addon are `AddonError`s: `code` ("EPERM"), `errno` (positive), `syscall`.
 */
import { createRequire } from 'node:module';
import { codeOf, messageOf, UserError } from '../base/errors.js';
import { shorten } from '../base/text.js';

/** Why a call was not switched, or that it was; `addon.outcomes` lists them with a sentence each. */
export type Outcome = string;

export interface OutcomeInfo {
  readonly name: Outcome;
  /** `switched`: accelerated; `fallback`: goes on over the fallback network;
   *  `passed`: not a matter for switching (AF_UNIX, the container's loopback, ...), never logged. */
  readonly kind: 'switched' | 'fallback' | 'passed';
  /** One sentence for `explain`, `ps` and the log. */
  readonly text: string;
}

/** Tables that policy compiles to, a container each. Prefixes are "ADDRESS/LENGTH", IPv4 or IPv6. */
export interface Policy {
  /** Destinations the user keeps on the fallback network (annotation and configuration). */
  readonly ignore: readonly string[];
  /** Subnets of Podman's own networks: always on the fallback network. */
  readonly podmanNetworks: readonly string[];
  /** Numbers of the container's reserved ports; one that is released meanwhile does not count. */
  readonly publish: readonly number[];
  /** The container's profile is another tool's, which does not report listen(2). */
  readonly listenUnseen: boolean;
  /** Services see what the kernel calls their clients (sockswitch/names=host). */
  readonly hostNames: boolean;
  /** It may change its routes and rules itself, so none of them is a limit that it has to keep. */
  readonly networkAdmin: boolean;
  /** Packet filters of its own network namespace are waived. */
  readonly ignoreFirewall: boolean;
  /** Connections of nested network namespaces to public addresses are switched, too. */
  readonly podsEgress: boolean;
  /** ... and to these, IPv4. */
  readonly podsNetworks: readonly string[];
  /** Not all socket options that are set are known to be the usual ones: all are read before a socket is switched. */
  readonly optionsUnseen: boolean;
  /** SELinux context of the sockets that the container gets; empty: the daemon's. */
  readonly socketLabel: string;
}

/** A published port: which port of the host leads to which port of a container. */
export interface Mapping {
  readonly protocol: 'tcp' | 'udp';
  /** Canonical; undefined: all addresses of the host, IPv4 and IPv6. */
  readonly hostAddress?: string;
  readonly hostPort: number;
  readonly containerPort: number;
}

/** A port of the host that is held for a container. */
export interface ReservedPort {
  readonly number: number;
  /** The data plane's own: for the keeper to duplicate. */
  readonly fd: number;
}

/** What the data plane tells about one destination, without touching it (but for neighbours' published ports: it tries the way). */
export interface Verdict {
  readonly outcome: Outcome;
  /** The rule's detail: the matching prefix, the container's or the host's route, a device's name. */
  readonly detail: string;
  /** Egress device on the host, where the outcome is `switched`. */
  readonly device?: string;
}

/**
 * First occurrence of a kind of fallback or refusal in one listener; never once a connection.
 * `listener-failed`: the listener is served, but can only let every call go on.
 * `sockets-unlabelled`: its sockets do not get the container's SELinux context; `detail` says why.
 * `tunnel-found`: a tunnel device with another UDP port is in the listener's namespace; `tunnel-up`, `tunnel-down`: a
 * peer is reached, or no longer; `tunnel-failed`: nothing is carried.
 * `pin-kept`, of no listener: a published service's socket should be on another device and was not moved; `detail` says why.
 */
export interface DataPlaneEvent {
  readonly type:
    | 'first-outcome'
    | 'listener-closed'
    | 'listener-failed'
    | 'sockets-unlabelled'
    | 'tunnel-found'
    | 'tunnel-up'
    | 'tunnel-down'
    | 'tunnel-failed'
    | 'pin-kept';
  readonly listener: number;
  readonly outcome?: Outcome;
  /** For example the destination "10.0.0.1:443", or the failed system call. */
  readonly detail: string;
  /** UDP port of the device, where the type is `tunnel-found`. */
  readonly port?: number;
}

/** What is carried of a container's tunnels. */
export interface TunnelOptions {
  /** UDP ports whose tunnels are carried; left out: all. */
  readonly ports?: readonly number[];
  /** Published UDP ports: on their numbers of the host, peers' TCP connections are accepted. */
  readonly published: readonly Mapping[];
}

export interface TunnelDevice {
  readonly name: string;
  readonly kind: 'vxlan' | 'geneve' | 'wireguard';
  readonly port: number;
}

export interface TunnelPeer {
  readonly address: string;
  readonly port: number;
  /** `up`, or how far it has come: `fallback`, `connecting`, `greeting`, `proving`. */
  readonly state: string;
  /** Why not `up`; "" where nothing has failed. */
  readonly reason: string;
  /** Of the state, in milliseconds of Unix time. */
  readonly since: number;
  readonly sentBytes: number;
  /** One may stand for many packets. */
  readonly sentPayloads: number;
  readonly dropped: number;
  readonly roundTripMicroseconds: number;
}

/** A proved connection from a peer. */
export interface TunnelSource {
  readonly address: string;
  /** Of the container. */
  readonly port: number;
  readonly since: number;
  readonly receivedBytes: number;
  readonly receivedPayloads: number;
  readonly dropped: number;
}

export interface TunnelStatus {
  /** The interface in the container. */
  readonly tap: string;
  /** Whether the kernel hands over one packet in the place of many. */
  readonly segments: boolean;
  readonly devices: readonly TunnelDevice[];
  readonly listening: readonly {
    readonly hostAddress?: string;
    readonly hostPort: number;
    readonly containerPort: number;
    /** Why nobody is accepted there; "" where it works. */
    readonly problem: string;
  }[];
  readonly peers: readonly TunnelPeer[];
  readonly sources: readonly TunnelSource[];
  /** Packets that were on the tap and for no peer. */
  readonly unsent: number;
  /** Why nothing is carried, or not all; "" where there is no problem. */
  readonly problem: string;
}

export interface ListenerOptions {
  /** The seccomp notification descriptor; ownership passes to the data plane, except on error. */
  readonly fd: number;
  /** The listener's record (native/kernel/listener_record.h); likewise. */
  readonly record: number;
  /** Process id of the container's init (0: not known, taken from the first notification). */
  readonly pid: number;
  /** Identity of the container's network namespace ("DEVICE:INODE") where its spec told; undefined: that of `pid`. */
  readonly netns?: string | undefined;
  /** Listeners of one container share this key: its first network namespace is remembered by it. */
  readonly container: string;
  readonly policy: Policy;
}

/** A histogram: how many took at most `bounds[i]` seconds and more than the one before. */
export interface Latency {
  readonly bounds: readonly number[];
  /** One more than `bounds`: the last is for what took longer. Not cumulative. */
  readonly counts: readonly number[];
  /** Seconds, of all together. */
  readonly sum: number;
}

/** Where sockswitch-guard is to be had; the first that may load programs is used. */
export interface GuardPaths {
  readonly guardProgram: string;
  readonly guardSocket: string;
}

/** Where sockswitch-names is to be had; the first that works is used. */
export interface NamesPaths {
  readonly namesProgram: string;
  readonly namesSocket: string;
}

/** Why services see the host's address for clients inside and neighbours (native/protocol/names_protocol.h). */
export interface NamesProblem {
  /** How far it came. */
  readonly stage: 'answer' | 'cgroup' | 'delegated' | 'load' | 'attach' | 'tried';
  /** An errno's name. */
  readonly error: string;
}

/** Where sockswitch-repin is to be had; the first that has its capability is used. */
export interface RepinPaths {
  readonly repinProgram: string;
  readonly repinSocket: string;
}

export interface Engine {
  /** The kernel keeps host sockets to their job (native/switch/socket_guard.h). */
  readonly guardsSockets: boolean;
  /** Why it does not: as `Addon.guardObstacle`. */
  readonly guardObstacle: string;
  /** Undefined where services see the true addresses of clients inside and of neighbours. */
  readonly namesProblem: NamesProblem | undefined;
  /** What makes them see these: descriptors of the data plane, for the keeper to duplicate. The names last as long as one is open. */
  readonly nameLinks: readonly number[];
  /** Starts a listener thread; returns the listener's number, never reused. Throws where there is no room (EAGAIN: threads, EMFILE). */
  attach(options: ListenerOptions): number;
  setPolicy(listener: number, policy: Policy): void;
  /** Counts by outcome since the listener began. Also for a closed listener until `forget`. */
  counters(listener: number): Record<Outcome, number>;
  /** How long its connects took to be answered; otherwise as `counters`. */
  latency(listener: number): Latency;
  /**
   * Nested network namespaces that connects of the listener's container came from, since its first listener or the start of
   * the daemon; those that are gone are among them. 1000: so many or more.
   */
  nestedNetworks(listener: number): number;
  /** Its notification descriptor and its record, which stay the data plane's. */
  descriptors(listener: number): { readonly fd: number; readonly record: number };
  /**
   * What would happen now to a connect to this destination. `address` numeric, v4 or v6; `pod`: the PID of a process of
   * the pod that connects, 0 for the container itself.
   */
  explain(
    listener: number,
    address: string,
    port: number,
    protocol: Mapping['protocol'],
    pod: number,
  ): Verdict;
  /** Why nothing is switched in the listener's container, in words; empty: nothing stands against it, as far as is known. */
  obstacle(listener: number): string;
  /**
   * One of the private service addresses (ClusterIPs) that kube-proxy's rules in the listener's container name and that its
   * policy does not keep there; empty: there is none.
   */
  unlistedService(listener: number): string;
  /** Whether the network namespace at a path has any device except the loopback. Takes some milliseconds. Throws AddonError. */
  isConnected(netns: string): boolean;
  /** Throws AddonError: `EADDRINUSE`, `EACCES` (a privileged port), `EADDRNOTAVAIL` (no such address). */
  reserve(mapping: Mapping): ReservedPort;
  /** What an earlier daemon reserved; ownership of `fd` passes to the data plane. */
  adopt(mapping: Mapping, fd: number): ReservedPort;
  release(reservation: number): void;
  /** Datagrams of a UDP reservation that were lost, as far as the relay learns of it; 0 for any other. */
  lostDatagrams(reservation: number): number;
  /** Looks for tunnel devices in the listener's network namespace from now on: `tunnel-found`. `pid`: a process in it. */
  watchTunnels(listener: number, pid: number): void;
  /** Carries the tunnels of a watched listener's namespace, or carries them by other options from now on. */
  openTunnels(listener: number, options: TunnelOptions): void;
  closeTunnels(listener: number): void;
  /** Undefined where none are carried (yet). */
  tunnels(listener: number): TunnelStatus | undefined;
  /** Drops what is kept of a closed listener. */
  forget(listener: number): void;
  /** Stops all threads without answering what is pending: the keeper's duplicates stay open. */
  stop(): void;
}

/** Ways to end a keeper, as native/protocol/keeper_protocol.h numbers them. */
export const KEEPER_SHUTDOWN = { whenIdle: 0, atOnce: 1, replaced: 2 } as const;
export type KeeperShutdown = (typeof KEEPER_SHUTDOWN)[keyof typeof KEEPER_SHUTDOWN];

/** The daemon's end of the keeper's socket. See native/protocol/keeper_protocol.h for the protocol. */
export interface KeeperLink {
  /** Of the keeper's protocol, and whether that is ours. */
  readonly version: number;
  readonly sameVersion: boolean;
  /** A duplicate of the socket that runtimes connect to, for another keeper. The receiver's to close. */
  readonly listening: number;
  // To a keeper that has gone all of these say nothing; onClose follows.
  shutdown(how: KeeperShutdown): void;
  /** Gives a keeper a listener that it has not got. False: it takes nothing now, try again. */
  hold(id: number, fd: number, record: number): boolean;
  /** Gives it a duplicate of `fd` to keep for the next daemon; `id` is ours, an existing one is replaced. */
  keep(id: number, fd: number, text: string): void;
  drop(id: number): void;
  /** After onShortage: takes what comes again. False: there is no room yet. */
  resume(): boolean;
  close(): void;
}

/** What the keeper hands over. Both descriptors are the receiver's. */
export interface KeptListener {
  /** Unique among all keepers since the machine started. */
  readonly id: number;
  readonly fd: number;
  readonly record: number;
  /** The OCI ContainerProcessState, as text. */
  readonly state: string;
}

export interface KeeperHandlers {
  /** A container process tree (or one `podman exec`) came; perhaps one that is known already. */
  onListener(listener: KeptListener): void;
  /** What a daemon gave it to keep; comes before any listener. `fd` is the handler's. */
  onKept(kept: { id: number; fd: number; text: string }): void;
  /** Something was sent to the listener socket that the keeper refused, and why. */
  onRefused(reason: string): void;
  /** All listeners that the keeper held when the link began have been handed over. */
  onReady(): void;
  /**
   * This process can open hardly any more files, so nothing is taken from the keeper until resume() says that it
   * is: what a message brings would be lost.
   */
  onShortage(): void;
  onClose(reason: string): void;
}

export interface TcpSocket {
  readonly inode: number;
  /** As netinet/tcp.h numbers them: 1 is ESTABLISHED. */
  readonly state: number;
  /** "10.0.0.1:80", "[fd00::1]:80". */
  readonly local: string;
  readonly remote: string;
  /** Payload, acknowledged. */
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly roundTripMicroseconds: number;
}

/** What tun devices can do for tunnels. */
export interface TunSupport {
  /** The kernel hands over one packet in the place of many (Linux 6.17). */
  readonly segments: boolean;
  /** Why that could not be tried, such as "unshare: Operation not permitted"; "" otherwise. */
  readonly problem: string;
}

export interface Addon {
  readonly outcomes: readonly OutcomeInfo[];
  /** Probes the running kernel; never throws. */
  kernelFeatures(): {
    readonly userNotif: boolean;
    readonly addfd: boolean;
    readonly syncWakeUp: boolean;
    readonly waitKillable: boolean;
    readonly pidfdThread: boolean;
    readonly netnsCookie: boolean;
    /** kcmp(2) is permitted. */
    readonly kcmp: boolean;
    /** This process runs under a seccomp filter with a listener, beside which the kernel takes no other. */
    readonly listenerInUse: boolean;
    /** A socket pinned to a device cannot reach loopback; "" or the reason why that is not so. */
    readonly pinningProblem: string;
  };
  /** Tries it in a child process, with namespaces of its own; never throws. */
  tunSupport(): TunSupport;
  /**
   * Removes the rules of tunnels that a killed daemon has left in the network namespace of a process. `netnsProgram`: as for an engine.
   * Throws where the namespace cannot be entered.
   */
  removeTunnelRules(pid: number, netnsProgram: string): void;
  /**
   * Why host sockets cannot be guarded here (native/switch/socket_guard.h); "" where they can. An errno's name:
   * `EPROTONOSUPPORT` another version, `ENOBUFS` the limit of compiled filters, anything else the capability.
   */
  guardObstacle(paths: GuardPaths): string;
  /**
   * Why services' sockets cannot follow the host's network (native/publish/pins.h); "" where they can. An errno's name:
   * `EPROTONOSUPPORT` another version, anything else the capability.
   */
  repinObstacle(paths: RepinPaths): string;
  /**
   * Why services would see the host's address for clients inside and neighbours, if this process were the daemon; undefined
   * where they would see the true one. A missing capability is found first.
   */
  namesObstacle(paths: NamesPaths): NamesProblem | undefined;
  /** Why no socket can be made here with an SELinux context; empty if one can. */
  socketLabelObstacle(label: string): string;
  createEngine(
    options: GuardPaths &
      NamesPaths &
      RepinPaths & {
        /** The native helper that enters a container's namespaces. */
        readonly netnsProgram: string;
        /** Give out no host socket where none can be guarded. */
        readonly requireGuard: boolean;
        onEvents(events: readonly DataPlaneEvent[]): void;
      },
  ): Engine;
  /**
   * Connects to the keeper. `EBUSY`: another daemon is connected; `ENOENT`, `ECONNREFUSED`: none runs;
   * `EPROTO`: what runs there is none.
   */
  connectKeeper(path: string, handlers: KeeperHandlers): KeeperLink;
  /** TCP sockets that listen on a port of the host, or UDP sockets that are bound to it. */
  portHolders(
    protocol: Mapping['protocol'],
    port: number,
  ): readonly { readonly inode: number; readonly uid: number }[];
  /** The connected TCP sockets of this process's network namespace. Throws AddonError. */
  tcpSockets(): TcpSocket[];
  /**
   * Becomes another program, which is looked for in PATH, with the present environment. Throws AddonError: `ENOENT`,
   * `EACCES` and what else execve(2) says.
   */
  execute(program: { readonly argv: readonly string[] }): never;
  /** Who is at the other end of a connected Unix socket (SO_PEERCRED). */
  peerCredentials(fd: number): { readonly pid: number; readonly uid: number; readonly gid: number };
}

export interface AddonError extends Error {
  readonly code: string;
  readonly errno: number;
  readonly syscall: string;
}

export function isAddonError(error: unknown): error is AddonError {
  return error instanceof Error && 'code' in error && 'errno' in error && 'syscall' in error;
}

/** Throws UserError when the addon is not built, or not for this Node.js. */
export function loadAddon(): Addon {
  const require = createRequire(import.meta.url);
  try {
    // The one cast of the boundary: the addon is built from the same commit as these types.
    return require('../../build/Release/sockswitch.node') as Addon;
  } catch (error) {
    const reason =
      codeOf(error) === 'MODULE_NOT_FOUND' ? 'it is not built' : shorten(messageOf(error), 200);
    throw new UserError(
      `cannot load the data plane, build/Release/sockswitch.node: ${reason}; run "npm run build"`,
    );
  }
}
