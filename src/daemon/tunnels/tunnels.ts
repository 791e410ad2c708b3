/**
 * The kernel's UDP tunnels of accelerated containers (VXLAN and others), carried past the fallback network.
 *
 * Order of events for a container: its first listener comes, and the data plane looks for tunnel devices in its
 * network namespace (`begin`); it finds one, which may be at once, hours later, or never (`tunnel-found`); Podman is
 * asked which UDP ports the container publishes, once; what annotation and configuration allow is carried (`open`).
 * Peers come and go (`tunnel-up`, `tunnel-down`). All of it ends with the listener.
 *
 * What cannot be carried at all (no /dev/net/tun, say) is tried again every half minute, and reported when the reason changes.
 *
 * Podman is asked only then, because most containers have no tunnels, and asking takes a tenth of a second.
 */

import type { DataPlaneEvent, Engine, Mapping } from '../../addon/addon.js';
import type { ContainerRow, TunnelExplanation, TunnelList, TunnelRow } from '../../api/protocol.js';
import { explainPeer, summaryOf } from '../../api/tunnel-summary.js';
import { messageOf } from '../../base/errors.js';
import type { Container } from '../containers/containers.js';
import type { Journal } from '../observe/journal.js';
import type { Logger } from '../observe/log.js';
import { tunnelOptions } from './tunnel-options.js';

const RETRY_MS = 30_000;

export interface TunnelsOptions {
  readonly engine: Pick<Engine, 'watchTunnels' | 'openTunnels' | 'closeTunnels' | 'tunnels'>;
  readonly journal: Journal;
  readonly log: Logger;
  /** Whether tunnels are carried at all. */
  enabled(): boolean;
  /** What Podman publishes for a container. */
  podmanPorts(container: string): Promise<readonly Mapping[]>;
}

interface Carried {
  readonly container: Container;
  readonly listener: number;
  /** UDP ports of its tunnel devices. */
  readonly ports: Set<number>;
  published: readonly Mapping[] | undefined;
  /** Why its tunnels are left to the fallback network; undefined where they are to be carried. */
  reason: string | undefined;
  /** Why they could not be carried, when that was tried last. */
  failure: string | undefined;
  retry: NodeJS.Timeout | undefined;
}

export class Tunnels {
  readonly #options: TunnelsOptions;
  /** By the key of the container's life. */
  readonly #carried = new Map<string, Carried>();

  constructor(options: TunnelsOptions) {
    this.#options = options;
  }

  /** The container's first listener is attached. */
  begin(container: Container, listener: number): void {
    this.#carried.set(container.key, {
      container,
      listener,
      ports: new Set(),
      published: undefined,
      reason: undefined,
      failure: undefined,
      retry: undefined,
    });
    if (container.request.tunnels !== 'none' && container.pid !== 0) {
      this.#options.engine.watchTunnels(listener, container.pid);
    }
  }

  end(container: Container): void {
    clearTimeout(this.#carried.get(container.key)?.retry);
    this.#carried.delete(container.key);
  }

  onEvent(container: Container, event: DataPlaneEvent): void {
    const { log, journal } = this.#options;
    const { id } = container;
    const note = (type: string, message: string): void =>
      journal.event({ type, container: id, message });
    switch (event.type) {
      case 'tunnel-found':
        void this.#found(container, event);
        break;
      case 'tunnel-up':
        log.info({ container: id, peer: event.detail }, 'a tunnel is carried');
        note('tunnel-up', event.detail);
        break;
      case 'tunnel-down':
        log.info({ container: id, detail: event.detail }, 'a tunnel is on the fallback network');
        note('tunnel-down', event.detail);
        break;
      default:
        if (!this.#failed(container, event.detail)) break;
        log.warn({ container: id, detail: event.detail }, 'tunnels cannot be carried');
        note('tunnel-failed', event.detail);
    }
  }

  /** The configuration has changed. */
  reconfigure(): void {
    for (const carried of this.#carried.values()) this.#decide(carried);
  }

  /** For the API: of one container, or of all that have tunnels. */
  list(of: readonly Container[]): TunnelList {
    const tunnels = of.flatMap((container) => {
      const row = this.#row(container);
      return row === undefined ? [] : [row];
    });
    return { tunnels };
  }

  /** For a container's row. */
  summary(container: Container): Pick<ContainerRow, 'tunnels'> {
    const row = this.#row(container);
    return row === undefined ? {} : { tunnels: summaryOf(row) };
  }

  /** Which way a tunnel's packets to a UDP port take; undefined where the container has no tunnel with that port. */
  explain(container: Container, address: string, port: number): TunnelExplanation | undefined {
    const row = this.#row(container);
    return row === undefined ? undefined : explainPeer(row, address, port);
  }

  #row(container: Container): TunnelRow | undefined {
    const carried = this.#carried.get(container.key);
    if (carried === undefined || carried.ports.size === 0) return undefined;
    const status = this.#options.engine.tunnels(carried.listener);
    return {
      container: container.id,
      ports: [...carried.ports],
      reason: carried.reason ?? status?.problem ?? carried.failure ?? '',
      ...(status === undefined ? {} : { tap: status.tap, segments: status.segments }),
      devices: [...(status?.devices ?? [])],
      listening: [...(status?.listening ?? [])],
      peers: (status?.peers ?? []).map((peer) => ({
        ...peer,
        since: new Date(peer.since).toISOString(),
      })),
      sources: (status?.sources ?? []).map((source) => ({
        ...source,
        since: new Date(source.since).toISOString(),
      })),
      unsent: status?.unsent ?? 0,
    };
  }

  /** Whether that is news. */
  #failed(container: Container, reason: string): boolean {
    const carried = this.#carried.get(container.key);
    if (carried === undefined) return false;
    const news = carried.failure !== reason;
    carried.failure = reason;
    clearTimeout(carried.retry);
    carried.retry = setTimeout(() => this.#decide(carried), RETRY_MS).unref();
    return news;
  }

  async #found(container: Container, event: DataPlaneEvent): Promise<void> {
    const carried = this.#carried.get(container.key);
    if (carried === undefined || event.port === undefined) return;
    const { log, journal, podmanPorts } = this.#options;
    log.info({ container: container.id, device: event.detail }, 'a tunnel device was found');
    journal.event({ type: 'tunnel-found', container: container.id, message: event.detail });
    carried.ports.add(event.port);
    if (carried.published === undefined) {
      try {
        carried.published = await podmanPorts(container.id);
      } catch (error) {
        carried.published = [];
        log.warn(
          { container: container.id },
          `Podman does not say what is published: ${messageOf(error)}`,
        );
      }
    }
    if (this.#carried.get(container.key) === carried) this.#decide(carried);
  }

  #decide(carried: Carried): void {
    if (carried.ports.size === 0) return;
    const { engine, enabled } = this.#options;
    const options = enabled()
      ? tunnelOptions(carried.container.request, carried.ports, carried.published ?? [])
      : 'tunnels are turned off in the configuration';
    carried.reason = typeof options === 'string' ? options : undefined;
    clearTimeout(carried.retry);
    if (typeof options !== 'string') {
      engine.openTunnels(carried.listener, options);
      return;
    }
    carried.failure = undefined;
    engine.closeTunnels(carried.listener);
  }
}
