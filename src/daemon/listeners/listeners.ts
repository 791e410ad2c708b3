/**
 * From a descriptor that the keeper hands over to a listener that the data plane serves, and to its end.
 *
 * Order of events: the keeper hands over (descriptor, state); the state is validated; the container is
 * found or made; the data plane takes the descriptor. From then on it reports `first-outcome` now and
 * then, `listener-failed` when it can only let every call go on, `sockets-unlabelled` when SELinux forbids its sockets the
 * container's context, and `listener-closed` once.
 *
 * The keeper's id of a listener tells it from all others. When the keeper is connected anew, because the link
 * broke or another keeper took its place, what it hands over and is attached already is dropped, and what is
 * attached and it does not have is given to it.
 *
 * A state that is not understood belongs to a process tree that waits for us all the same: closing its
 * descriptor would turn its connects into ENOSYS. So it is attached with a policy that switches nothing,
 * and the data plane lets every call go on.
 */
import { closeSync } from 'node:fs';
import type {
  DataPlaneEvent,
  Engine,
  KeeperLink,
  KeptListener,
  Outcome,
  Policy,
} from '../../addon/addon.js';
import { codeOf, messageOf, UserError } from '../../base/errors.js';
import { quote } from '../../base/text.js';
import { type ContainerRequest, parseAnnotations } from '../../oci/annotations.js';
import { kubernetesName, printKubernetesName } from '../../oci/kubernetes-name.js';
import { type ListenerMetadata, parseMetadata } from '../../oci/listener-metadata.js';
import { SWITCH_NOTHING } from '../../policy/compile.js';
import { LIST_SERVICES, unlistedService } from '../../policy/unlisted-service.js';
import { secondsSince } from '../../system/moment.js';
import { type ContainerProcessState, parseContainerState } from '../containers/container-state.js';
import type { Container, Containers } from '../containers/containers.js';
import type { Journal } from '../observe/journal.js';
import type { Logger } from '../observe/log.js';

/** Between two attempts to serve a listener for which there was no room (threads, descriptors). */
const ATTACH_PAUSE_MS = 1_000;

/** A keeper whose socket is full is given the rest after this time. */
const REFILL_PAUSE_MS = 10;

/** What connections of a node, or of its pods, come to where kube-proxy has written rules (native/base/outcome.cc). */
const OF_NODES: ReadonlySet<Outcome> = new Set([
  'translated',
  'firewall',
  'nested-netns',
  'pod-address',
]);
/** The event, and that it was told. */
const UNLISTED = 'unlisted-service';

const NO_REQUEST: ContainerRequest = {
  enabled: false,
  required: false,
  ignore: [],
  publish: [],
  tunnels: 'none',
  ignoreFirewall: false,
  podsEgress: false,
  podsNetworks: [],
  hostNames: false,
};
const NO_METADATA: ListenerMetadata = { networkAdmin: false, optionsReported: false };

export interface ListenersOptions {
  readonly engine: Engine;
  readonly containers: Containers;
  readonly journal: Journal;
  readonly log: Logger;
  compile(container: Container): Policy;
  /** What nerdctl asks for a container; undefined: it has not told of it. */
  registered(container: string): ContainerRequest | undefined;
  /** A listener of the container came, before its policy is compiled. */
  onListener(container: Container): void;
  /** Its first listener is attached, and is this one. */
  onBegun(container: Container, listener: number): void;
  /** A published service's socket was not moved with the host's network; why. */
  onPinKept(detail: string): void;
  /** Something about its tunnels. */
  onTunnel(container: Container, event: DataPlaneEvent): void;
  /** Its last listener is closed. */
  onEnded(container: Container): void;
}

export class Listeners {
  readonly #options: ListenersOptions;
  /** By the keeper's id; the data plane's number. */
  readonly #attached = new Map<number, number>();
  /** What the keeper that is connected now holds, as far as it has said so. */
  readonly #kept = new Set<number>();
  /** By the keeper's id: those that could not be served yet. Their calls wait. */
  readonly #waiting = new Map<number, Pick<KeptListener, 'fd' | 'record'>>();
  #unknown = 0;
  #handover = true;

  constructor(options: ListenersOptions) {
    this.#options = options;
  }

  /** A listener came. Never throws; its descriptors are the data plane's afterwards, or closed. */
  accept(listener: KeptListener): void {
    this.#kept.add(listener.id);
    if (this.#attached.has(listener.id) || this.#waiting.has(listener.id)) {
      closeSync(listener.fd);
      closeSync(listener.record);
      return;
    }
    let container: Container;
    let pid = 0;
    try {
      const state = parseContainerState(listener.state);
      pid = state.pid;
      container = this.#options.containers.place(
        { ...state.state, pid: state.state.pid || state.pid },
        this.#requestOf(state),
        parseMetadata(state.metadata) ?? NO_METADATA,
      );
    } catch (error) {
      this.#report(`served without switching: ${messageOf(error)}`);
      container = this.#options.containers.place(
        { id: `unknown-${++this.#unknown}`, status: 'created', annotations: {}, pid: 0 },
        NO_REQUEST,
        NO_METADATA,
        'not-understood',
      );
    }
    this.#attach(container, listener, pid);
  }

  /**
   * The keeper has handed over what it held: what comes from now on has just started. Gives it what is
   * here, attached or waiting, and was not among that.
   */
  handoverEnded(keeper: Pick<KeeperLink, 'hold'>): void {
    this.#handover = false;
    const here = [...this.#attached.keys(), ...this.#waiting.keys()];
    const missing = here.filter((id) => !this.#kept.has(id));
    if (missing.length > 0) this.#refill(keeper, missing);
  }

  /** The keeper is gone, or the link to it. */
  keeperLost(): void {
    this.#kept.clear();
    this.#handover = true;
  }

  #refill(keeper: Pick<KeeperLink, 'hold'>, missing: readonly number[]): void {
    let done = 0;
    for (const id of missing) {
      const descriptors = this.#descriptors(id);
      if (descriptors !== undefined) {
        const { fd, record } = descriptors;
        if (!takes(keeper, id, fd, record)) break;
        this.#kept.add(id);
      }
      done++;
    }
    const rest = missing.slice(done);
    if (rest.length === 0) {
      this.#options.log.info(
        { listeners: this.#kept.size },
        'the keeper holds all listeners again',
      );
    } else {
      setTimeout(() => this.#refill(keeper, rest), REFILL_PAUSE_MS).unref();
    }
  }

  /** Undefined once it has closed. */
  #descriptors(id: number): Pick<KeptListener, 'fd' | 'record'> | undefined {
    const listener = this.#attached.get(id);
    return listener === undefined
      ? this.#waiting.get(id)
      : this.#options.engine.descriptors(listener);
  }

  /** Rare events of the data plane. */
  onEvents(events: readonly DataPlaneEvent[]): void {
    for (const event of events) this.#onEvent(event);
  }

  /** The policy of a container, whichever state it is in. */
  policyOf(container: Container): Policy {
    return container.status === 'running' ? this.#options.compile(container) : SWITCH_NOTHING;
  }

  #attach(container: Container, kept: KeptListener, pid: number): void {
    const { id, fd, record } = kept;
    const { engine, containers, log } = this.#options;
    let listener: number;
    try {
      if (container.status === 'running') this.#options.onListener(container);
      const policy = this.policyOf(container);
      const { netns } = container.metadata;
      listener = engine.attach({ fd, record, pid, netns, container: container.key, policy });
    } catch (error) {
      if (!this.#waiting.has(id)) {
        this.#waiting.set(id, { fd, record });
        this.#report(
          `cannot be served yet, its calls wait: ${messageOf(error)}; trying again every second`,
          container.id,
        );
      }
      setTimeout(() => this.#attach(container, kept, pid), ATTACH_PAUSE_MS).unref();
      return;
    }
    this.#waiting.delete(id);
    this.#attached.set(id, listener);
    const first = containers.addListener(container, listener);
    if (first) {
      if (container.status === 'running') this.#options.onBegun(container, listener);
      const message = this.#handover ? 'container taken over' : 'container started';
      const type = this.#handover ? 'container-taken-over' : 'container-started';
      const name = kubernetesName(container.annotations);
      const kubernetes = name === undefined ? undefined : printKubernetesName(name);
      this.#options.journal.event({
        type,
        container: container.id,
        message: kubernetes === undefined ? message : `${message}: ${kubernetes}`,
      });
      log.info({ container: container.id, kubernetes, pid: container.pid }, message);
    } else
      log.debug({ container: container.id, listener }, 'another process tree in the container');
  }

  #onEvent(event: DataPlaneEvent): void {
    if (event.type === 'pin-kept') {
      this.#options.onPinKept(event.detail);
      return;
    }
    const { containers, log } = this.#options;
    const container = containers.ofListener(event.listener);
    if (event.type === 'first-outcome') {
      this.#onFirstOutcome(event, container);
      if (container !== undefined && OF_NODES.has(event.outcome ?? '')) {
        this.#lookForServices(container);
      }
      return;
    }
    if (event.type.startsWith('tunnel-')) {
      if (container !== undefined) this.#options.onTunnel(container, event);
      return;
    }
    if (event.type === 'sockets-unlabelled') {
      if (container?.told.has(event.type)) return;
      container?.told.add(event.type);
      this.#report(
        `makes sockets without the container's SELinux context: ${event.detail}`,
        container?.id,
      );
      return;
    }
    if (event.type === 'listener-failed') {
      this.#report(`switches nothing: ${event.detail}`, container?.id);
      return;
    }
    for (const [id, listener] of this.#attached) {
      if (listener !== event.listener) continue;
      this.#attached.delete(id);
      this.#kept.delete(id);
    }
    if (container === undefined) return;
    const counts = containers.removeListener(event.listener)?.ended
      ? containers.countsOf(container)
      : undefined;
    if (counts === undefined) return;
    this.#options.onEnded(container);
    const { switched, fallback } = counts;
    const seconds = Math.round(secondsSince(container.started));
    log.info({ container: container.id, seconds, switched, fallback }, 'container stopped');
    this.#options.journal.event({
      type: 'container-stopped',
      container: container.id,
      message: `after ${seconds} s: ${switched} switched, ${fallback} on the fallback network`,
    });
  }

  #onFirstOutcome(event: DataPlaneEvent, container: Container | undefined): void {
    const outcome = this.#options.containers.info(event.outcome ?? '');
    if (container?.told.has(outcome.name)) return;
    container?.told.add(outcome.name);
    this.#options.log.info(
      { container: container?.id, outcome: outcome.name, detail: event.detail },
      `${outcome.kind}: ${outcome.text}`,
    );
    const detail = event.detail === '' ? '' : ` (${event.detail})`;
    this.#options.journal.event({
      type: 'first-fallback',
      ...(container === undefined ? {} : { container: container.id }),
      message: `${outcome.name}: ${outcome.text}${detail}`,
    });
  }

  /** Warns once of a node whose service addresses are not on its ignore list. */
  #lookForServices(container: Container): void {
    if (container.told.has(UNLISTED)) return;
    const { unlistedService: address } = this.#options.containers.unlistedServiceOf(container);
    if (address === undefined) return;
    container.told.add(UNLISTED);
    const message = `${unlistedService(address)}: ${LIST_SERVICES}`;
    this.#options.log.warn({ container: container.id, address }, message);
    this.#options.journal.event({ type: UNLISTED, container: container.id, message });
  }

  #requestOf({ metadata, state }: ContainerProcessState): ContainerRequest {
    const registered = this.#options.registered(state.id);
    if (registered !== undefined) return registered;
    const given = parseMetadata(metadata);
    if (given !== undefined)
      return parseAnnotations({ ...given.annotations, ...state.annotations });
    throw new UserError(
      `the container's profile has the listener metadata ${quote(metadata)}, not ours, and nerdctl has not told of it`,
    );
  }

  #report(problem: string, container?: string): void {
    this.#options.log.error(
      { ...(container === undefined ? {} : { container }) },
      `listener ${problem}`,
    );
    this.#options.journal.add({
      kind: 'listener',
      ...(container === undefined ? {} : { container }),
      message: problem,
    });
  }
}

/** Whether the keeper took it; false if its socket is full, or too many descriptors are on their way. */
function takes(keeper: Pick<KeeperLink, 'hold'>, id: number, fd: number, record: number): boolean {
  try {
    return keeper.hold(id, fd, record);
  } catch (error) {
    if (codeOf(error) === 'ETOOMANYREFS' || codeOf(error) === 'ENOBUFS') return false;
    return true; // the keeper is gone: the next one is given all of them
  }
}
