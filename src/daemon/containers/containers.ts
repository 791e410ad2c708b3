/**
 * The containers that are being served, and their counts.
 *
 * A container has one listener for its own process tree and one more for each `podman exec`. It appears
 * with the first, and goes with the last. Counts of listeners that closed are kept with their container:
 * the data plane is told to forget such a listener as soon as its counts are taken over.
 *
 * A restarted container has the same id but a new network namespace, and its new listener can come
 * before the old one's end is known. The data plane remembers the network namespace by key, so each life
 * of a container gets a key of its own: a state of `creating` or `created` begins a new life, `running`
 * (an exec) belongs to the latest.
 */

import type { Engine, Latency, Outcome, OutcomeInfo, Policy } from '../../addon/addon.js';
import type { ContainerRow, Nested, Reason } from '../../api/protocol.js';
import { ApiError } from '../../api/protocol.js';
import type { ContainerRequest } from '../../oci/annotations.js';
import { kubernetesName } from '../../oci/kubernetes-name.js';
import type { ListenerMetadata } from '../../oci/listener-metadata.js';
import { type Moment, processStart, thisMoment } from '../../system/moment.js';
import type { ContainerProcessState } from './container-state.js';

type Kind = OutcomeInfo['kind'];

/** native/base/outcome.cc. */
const NESTED: Outcome = 'nested-netns';

export interface Container {
  readonly id: string;
  /** Unique to this life of the container. */
  readonly key: string;
  readonly started: Moment;
  readonly pid: number;
  readonly status: ContainerRow['status'];
  readonly annotations: Readonly<Record<string, string>>;
  readonly request: ContainerRequest;
  readonly metadata: ListenerMetadata;
  readonly listeners: Set<number>;
  /** Counts of listeners that have closed. */
  readonly past: Map<Outcome, number>;
  /** Outcomes that the log has told of: a health check's `podman exec` must not repeat them. */
  readonly told: Set<Outcome>;
}

/** What others know of a container. */
export interface RowSources {
  ignore(container: Container): readonly string[];
  publish(container: Container): readonly string[];
  lostDatagrams(container: Container): number | undefined;
  tunnels(container: Container): Pick<ContainerRow, 'tunnels'>;
}

export class Containers {
  readonly #engine: Engine;
  readonly #outcomes: ReadonlyMap<Outcome, OutcomeInfo>;
  readonly #byKey = new Map<string, Container>();
  readonly #byListener = new Map<number, Container>();
  readonly #latestKey = new Map<string, string>();
  #lives = 0;

  constructor(engine: Engine, outcomes: readonly OutcomeInfo[]) {
    this.#engine = engine;
    this.#outcomes = new Map(outcomes.map((info) => [info.name, info]));
  }

  /**
   * Finds the container that a new listener belongs to, or makes it. It is not in the table before
   * `addListener`, so a listener that cannot be attached leaves nothing behind.
   */
  place(
    state: Pick<ContainerProcessState['state'], 'id' | 'status' | 'annotations'> & { pid: number },
    request: ContainerRequest,
    metadata: ListenerMetadata,
    status: ContainerRow['status'] = 'running',
  ): Container {
    const latest = this.#byKey.get(this.#latestKey.get(state.id) ?? '');
    if (latest !== undefined && state.status === 'running') return latest;
    return {
      id: state.id,
      key: `${state.id}#${++this.#lives}`,
      started: processStart(state.pid) ?? thisMoment(),
      pid: state.pid,
      status,
      annotations: state.annotations,
      request,
      metadata,
      listeners: new Set(),
      past: new Map(),
      told: new Set(),
    };
  }

  /** Returns whether this listener is the container's first. */
  addListener(container: Container, listener: number): boolean {
    const first = container.listeners.size === 0;
    container.listeners.add(listener);
    this.#byListener.set(listener, container);
    this.#byKey.set(container.key, container);
    this.#latestKey.set(container.id, container.key);
    return first;
  }

  /** A listener has closed. Returns its container, and whether that has ended with it. */
  removeListener(listener: number): { container: Container; ended: boolean } | undefined {
    const container = this.#byListener.get(listener);
    if (container === undefined) return undefined;
    addCounts(container.past, this.#engine.counters(listener));
    this.#engine.forget(listener);
    this.#byListener.delete(listener);
    container.listeners.delete(listener);
    const ended = container.listeners.size === 0;
    if (ended) {
      this.#byKey.delete(container.key);
      if (this.#latestKey.get(container.id) === container.key) this.#latestKey.delete(container.id);
    }
    return { container, ended };
  }

  ofListener(listener: number): Container | undefined {
    return this.#byListener.get(listener);
  }

  all(): readonly Container[] {
    return [...this.#byKey.values()];
  }

  get size(): number {
    return this.#byKey.size;
  }

  get listenerCount(): number {
    return this.#byListener.size;
  }

  /** Whether any life of a container is being served. */
  has(id: string): boolean {
    return this.#latestKey.has(id);
  }

  /** Gives every listener the policy that `compile` makes of its container. */
  setPolicies(compile: (container: Container) => Policy): void {
    for (const [listener, container] of this.#byListener) {
      this.#engine.setPolicy(listener, compile(container));
    }
  }

  /** By the beginning of the id. Throws ApiError. */
  find(idPrefix: string): Container {
    const matches = [...this.#byKey.values()].filter(({ id }) => id.startsWith(idPrefix));
    const exact = matches.filter(({ id }) => id === idPrefix);
    const found = exact.at(-1) ?? matches[0];
    if (found === undefined) {
      throw new ApiError('not-found', `no accelerated container ${idPrefix} is running`);
    }
    if (exact.length === 0 && new Set(matches.map(({ id }) => id)).size > 1) {
      throw new ApiError(
        'ambiguous',
        `${matches.length} containers have an id that begins with ${idPrefix}`,
      );
    }
    return this.#byKey.get(this.#latestKey.get(found.id) ?? '') ?? found;
  }

  /** How long the connects of its process trees that run took to be answered, together. */
  latencyOf(id: string): Latency | undefined {
    let total: Latency | undefined;
    for (const container of this.#byKey.values()) {
      if (container.id !== id) continue;
      for (const listener of container.listeners) {
        const one = this.#engine.latency(listener);
        total = total === undefined ? one : addLatency(total, one);
      }
    }
    return total;
  }

  info(outcome: Outcome): OutcomeInfo {
    return this.#outcomes.get(outcome) ?? { name: outcome, kind: 'fallback', text: outcome };
  }

  /** Counts by kind since the container's first listener. */
  countsOf(container: Container): Record<Kind, number> {
    const counts: Record<Kind, number> = { switched: 0, fallback: 0, passed: 0 };
    for (const [outcome, count] of this.#outcomesOf(container)) {
      counts[this.info(outcome).kind] += count;
    }
    return counts;
  }

  /** The table as the API shows it, in order of start. */
  rows(sources: RowSources): ContainerRow[] {
    return [...this.#byKey.values()].map((container) => {
      const lostDatagrams = sources.lostDatagrams(container);
      const kubernetes = kubernetesName(container.annotations);
      return {
        id: container.id,
        startedAt: container.started.date.toISOString(),
        pid: container.pid,
        listeners: container.listeners.size,
        status: container.status,
        annotations: { ...container.annotations },
        ...(kubernetes === undefined ? {} : { kubernetes }),
        ignore: [...sources.ignore(container)],
        publish: [...sources.publish(container)],
        ...(lostDatagrams === undefined ? {} : { lostDatagrams }),
        counts: this.countsOf(container),
        reasons: this.#reasonsOf(container),
        ...this.#obstacleTo(container),
        ...this.nestedOf(container),
        ...this.unlistedServiceOf(container),
        ...sources.tunnels(container),
      };
    });
  }

  /** What came from nested network namespaces. */
  nestedOf(container: Container): { nested?: Nested } {
    const [listener] = container.listeners;
    const connects = this.#outcomesOf(container).get(NESTED) ?? 0;
    if (listener === undefined) return {};
    const networks = this.#engine.nestedNetworks(listener);
    return networks === 0 && connects === 0 ? {} : { nested: { networks, connects } };
  }

  /** Asks the kernel where the container's packet filter has changed. */
  unlistedServiceOf({ listeners }: Container): Pick<ContainerRow, 'unlistedService'> {
    const [listener] = listeners;
    const address = listener === undefined ? '' : this.#engine.unlistedService(listener);
    return address === '' ? {} : { unlistedService: address };
  }

  #obstacleTo({ listeners }: Container): Pick<ContainerRow, 'obstacle'> {
    const [listener] = listeners;
    const obstacle = listener === undefined ? '' : this.#engine.obstacle(listener);
    return obstacle === '' ? {} : { obstacle };
  }

  #reasonsOf(container: Container): Reason[] {
    return [...this.#outcomesOf(container)]
      .map(([outcome, count]) => ({ outcome, count, ...this.info(outcome) }))
      .filter(({ kind, count }) => count > 0 && kind !== 'passed')
      .map(({ outcome, kind, text, count }) => ({ outcome, kind, text, count }))
      .sort((a, b) => b.count - a.count);
  }

  #outcomesOf(container: Container): Map<Outcome, number> {
    const total = new Map(container.past);
    for (const listener of container.listeners) addCounts(total, this.#engine.counters(listener));
    return total;
  }
}

function addLatency(a: Latency, b: Latency): Latency {
  const counts = a.counts.map((count, index) => count + (b.counts[index] ?? 0));
  return { bounds: a.bounds, counts, sum: a.sum + b.sum };
}

function addCounts(total: Map<Outcome, number>, counts: Readonly<Record<Outcome, number>>): void {
  for (const [outcome, count] of Object.entries(counts)) {
    if (count > 0) total.set(outcome, (total.get(outcome) ?? 0) + count);
  }
}
