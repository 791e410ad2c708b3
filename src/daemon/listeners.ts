/**
 * From a descriptor that the keeper hands over to a listener that the data plane serves, and to its end.
 *
 * Order of events: the keeper hands over (descriptor, state); the state is validated; the container is
 * found or made; the data plane takes the descriptor. From then on it reports `first-outcome` now and
 * then, `listener-failed` when it can only let every call go on, and `listener-closed` once.
 *
 * A state that is not understood belongs to a process tree that waits for us all the same: closing its
 * descriptor would turn its connects into ENOSYS. So it is attached with a policy that switches nothing,
 * and the data plane lets every call go on.
 */
import { messageOf, UserError } from '../errors.js';
import { type ContainerRequest, parseAnnotations } from '../oci/annotations.js';
import { LISTENER_METADATA } from '../oci/seccomp.js';
import { SWITCH_NOTHING } from '../policy/compile.js';
import { quote } from '../text.js';
import type { DataPlaneEvent, Engine, Policy } from './addon.js';
import { type ContainerProcessState, parseContainerState } from './container-state.js';
import type { Container, Containers } from './containers.js';
import type { Journal } from './journal.js';
import type { Logger } from './log.js';

const NO_REQUEST: ContainerRequest = { enabled: false, required: false, ignore: [], publish: [] };

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
  /** Its last listener is closed. */
  onEnded(container: Container): void;
}

export class Listeners {
  readonly #options: ListenersOptions;
  #unknown = 0;
  #handover = true;

  constructor(options: ListenersOptions) {
    this.#options = options;
  }

  /** A descriptor came. Never throws; the descriptor is the data plane's afterwards, or closed by it. */
  accept(listener: { readonly fd: number; readonly state: string }): void {
    let container: Container;
    let pid = 0;
    try {
      const state = parseContainerState(listener.state);
      pid = state.pid;
      container = this.#options.containers.place(
        { ...state.state, pid: state.state.pid || state.pid },
        this.#requestOf(state),
      );
    } catch (error) {
      this.#report(`served without switching: ${messageOf(error)}`);
      container = this.#options.containers.place(
        { id: `unknown-${++this.#unknown}`, status: 'created', annotations: {}, pid: 0 },
        NO_REQUEST,
        'not-understood',
      );
    }
    this.#attach(container, listener.fd, pid);
  }

  /** What comes from now on has just started; before, the keeper hands over what it held. */
  handoverEnded(): void {
    this.#handover = false;
  }

  /** Rare events of the data plane. */
  onEvents(events: readonly DataPlaneEvent[]): void {
    for (const event of events) this.#onEvent(event);
  }

  /** The policy of a container, whichever state it is in. */
  policyOf(container: Container): Policy {
    return container.status === 'running' ? this.#options.compile(container) : SWITCH_NOTHING;
  }

  #attach(container: Container, fd: number, pid: number): void {
    const { engine, containers, log } = this.#options;
    let listener: number;
    try {
      if (container.status === 'running') this.#options.onListener(container);
      const policy = this.policyOf(container);
      listener = engine.attach({ fd, pid, container: container.key, policy });
    } catch (error) {
      this.#report(`cannot be served: ${messageOf(error)}`, container.id);
      return;
    }
    const first = containers.addListener(container, listener);
    if (first) {
      const message = this.#handover ? 'container taken over' : 'container started';
      log.info({ container: container.id, pid: container.pid }, message);
    } else
      log.debug({ container: container.id, listener }, 'another process tree in the container');
  }

  #onEvent(event: DataPlaneEvent): void {
    const { containers, log } = this.#options;
    const container = containers.ofListener(event.listener);
    if (event.type === 'first-outcome') {
      const outcome = containers.info(event.outcome ?? '');
      if (container?.told.has(outcome.name)) return;
      container?.told.add(outcome.name);
      log[outcome.kind === 'refused' ? 'warn' : 'info'](
        { container: container?.id, outcome: outcome.name, detail: event.detail },
        `${outcome.kind}: ${outcome.text}`,
      );
      return;
    }
    if (event.type === 'listener-failed') {
      this.#report(`switches nothing: ${event.detail}`, container?.id);
      return;
    }
    if (container === undefined) return;
    const counts = containers.removeListener(event.listener)?.ended
      ? containers.countsOf(container)
      : undefined;
    if (counts === undefined) return;
    this.#options.onEnded(container);
    const { switched, fallback, refused } = counts;
    const seconds = Math.round((Date.now() - container.startedAt.getTime()) / 1000);
    log.info(
      { container: container.id, seconds, switched, fallback, refused },
      'container stopped',
    );
  }

  #requestOf({ metadata, state }: ContainerProcessState): ContainerRequest {
    const registered = this.#options.registered(state.id);
    if (registered !== undefined) return registered;
    if (metadata === LISTENER_METADATA) return parseAnnotations(state.annotations);
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
