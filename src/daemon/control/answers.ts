/** What the daemon answers on control.sock: nothing is kept for it, each answer asks the parts that know. */
import { existsSync } from 'node:fs';
import { release } from 'node:os';
import type { Addon, Engine } from '../../addon/addon.js';
import {
  ApiError,
  type ContainerList,
  type EventList,
  type ExplainRequest,
  type Explanation,
  type JournalEvent,
  type SocketList,
  type Status,
  type TunnelList,
} from '../../api/protocol.js';
import type { ControlApi } from '../../api/server.js';
import type { ConfigPaths, RuntimePaths } from '../../base/paths.js';
import { version } from '../../base/version.js';
import { type Moment, secondsSince } from '../../system/moment.js';
import { socketsOf, stateName } from '../containers/container-sockets.js';
import type { Container, Containers } from '../containers/containers.js';
import type { KeeperConnection } from '../listeners/keeper-connection.js';
import type { Listeners } from '../listeners/listeners.js';
import type { Journal } from '../observe/journal.js';
import type { Publications } from '../publish/publications.js';
import type { Tunnels } from '../tunnels/tunnels.js';

export interface AnswersOptions {
  readonly addon: Pick<Addon, 'tcpSockets'>;
  readonly engine: Pick<Engine, 'explain'>;
  readonly runtime: Pick<RuntimePaths, 'keeperSocket'>;
  readonly configuration: Pick<ConfigPaths, 'config'>;
  readonly started: Moment;
  readonly containers: Containers;
  readonly listeners: Listeners;
  readonly publications: Publications;
  readonly tunnels: Tunnels;
  readonly journal: Journal;
  readonly keeper: KeeperConnection;
  kernelInUse(): Omit<Status['kernel'], 'release'>;
  /** Why nothing is accelerated; undefined where something is. */
  unguarded(): string | undefined;
  /** Why services do not see the true addresses of clients inside and of neighbours; undefined where they do. */
  hostNames(): string | undefined;
  /** Why services on published ports do not follow the host's network; undefined where they do. */
  staysPinned(): string | undefined;
  /** Whether profiles that are rewritten now ask for SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV. */
  waitKillable(): boolean;
  podmanNetworks(): readonly string[];
  /** Somebody asks the daemon to stop. */
  onStop(): void;
}

export class Answers implements ControlApi {
  readonly #options: AnswersOptions;

  constructor(options: AnswersOptions) {
    this.#options = options;
  }

  status(): Status {
    const { runtime, configuration, started, containers, keeper } = this.#options;
    const unguarded = this.#options.unguarded();
    const hostNames = this.#options.hostNames();
    const staysPinned = this.#options.staysPinned();
    return {
      pid: process.pid,
      version: version(),
      startedAt: started.date.toISOString(),
      uptimeSeconds: Math.round(secondsSince(started)),
      kernel: { release: release(), ...this.#options.kernelInUse() },
      ...(unguarded === undefined ? {} : { unaccelerated: unguarded }),
      ...(hostNames === undefined ? {} : { hostNames }),
      ...(staysPinned === undefined ? {} : { staysPinned }),
      waitKillable: this.#options.waitKillable(),
      keeper: { connected: keeper.link !== undefined, socket: runtime.keeperSocket },
      config: { path: configuration.config, present: existsSync(configuration.config) },
      podmanNetworks: [...this.#options.podmanNetworks()],
      containers: containers.size,
      listeners: containers.listenerCount,
    };
  }

  containers(): ContainerList {
    const { containers, listeners, publications, tunnels, journal } = this.#options;
    return {
      containers: containers.rows({
        ignore: (container) => listeners.policyOf(container).ignore,
        publish: (container) => publications.textsOf(container.id),
        lostDatagrams: (container) => publications.lostDatagramsOf(container.id),
        tunnels: (container) => tunnels.summary(container),
      }),
      incidents: [...journal.list()],
    };
  }

  sockets(id: string | undefined): SocketList {
    const host = this.#options.addon.tcpSockets();
    return {
      sockets: this.#oneOrAll(id).flatMap((container) =>
        socketsOf(container, host).map(({ inode: _, state, ...socket }) => ({
          container: container.id,
          state: stateName(state),
          ...socket,
        })),
      ),
    };
  }

  tunnels(id: string | undefined): TunnelList {
    return this.#options.tunnels.list(this.#oneOrAll(id));
  }

  explain(request: ExplainRequest): Explanation {
    const { containers, engine, tunnels } = this.#options;
    const container = this.#find(request.container);
    const [listener] = container.listeners;
    if (listener === undefined)
      throw new ApiError('gone', `container ${container.id} has just ended`);
    const { address, port, protocol } = request;
    const verdict = engine.explain(listener, address, port, protocol, request.pod ?? 0);
    const { kind, text } = containers.info(verdict.outcome);
    const tunnel = protocol === 'udp' ? tunnels.explain(container, address, port) : undefined;
    return {
      container: container.id,
      address,
      port,
      protocol,
      kind,
      outcome: verdict.outcome,
      text,
      detail: verdict.detail,
      ...(verdict.device === undefined ? {} : { device: verdict.device }),
      ...containers.nestedOf(container),
      ...containers.unlistedServiceOf(container),
      ...(tunnel === undefined ? {} : { tunnel }),
    };
  }

  events(): EventList {
    return { events: [...this.#options.journal.events()] };
  }

  follow(follower: (event: JournalEvent) => void): () => void {
    return this.#options.journal.follow(follower);
  }

  stopKeeper(): void {
    this.#options.keeper.endWhenIdle();
  }

  stop(): void {
    this.#options.onStop();
  }

  /** Throws ApiError; for a container that runs without acceleration it says why, where that is remembered. */
  #find(idPrefix: string): Container {
    const { containers, journal } = this.#options;
    try {
      return containers.find(idPrefix);
    } catch (error) {
      if (!(error instanceof ApiError) || error.code !== 'not-found') throw error;
      const incident = journal
        .list()
        .findLast(
          ({ kind, container }) => kind === 'unaccelerated' && container?.startsWith(idPrefix),
        );
      if (incident === undefined) throw error;
      throw new ApiError('not-found', `${error.message}: ${incident.message}`);
    }
  }

  /** Throws ApiError. */
  #oneOrAll(id: string | undefined): readonly Container[] {
    const { containers } = this.#options;
    return id === undefined ? containers.all() : [this.#find(id)];
  }
}
