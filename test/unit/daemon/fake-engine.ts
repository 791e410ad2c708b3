/** A data plane that only remembers. */
import { openSync } from 'node:fs';
import type {
  Engine,
  KeeperLink,
  KeeperShutdown,
  ListenerOptions,
  Mapping,
  Policy,
} from '../../../src/addon/addon.js';
import type { KernelFeatures } from '../../../src/system/kernel-requirements.js';

export class FakeEngine implements Engine {
  guardsSockets = true;
  guardObstacle = '';
  readonly namesProblem = undefined;
  readonly nameLinks: readonly number[] = [];
  readonly attached = new Map<number, ListenerOptions>();
  readonly policies = new Map<number, Policy>();
  readonly counts = new Map<number, Record<string, number>>();
  readonly forgotten: number[] = [];
  readonly ports = new Map<number, Mapping>();
  failure: Error | undefined;
  /** Of each container. */
  unlisted = '';
  stopped = false;
  #last = 0;

  attach(options: ListenerOptions): number {
    if (this.failure !== undefined) throw this.failure;
    const listener = ++this.#last;
    this.attached.set(listener, options);
    this.policies.set(listener, options.policy);
    return listener;
  }

  setPolicy(listener: number, policy: Policy): void {
    this.policies.set(listener, policy);
  }

  counters(listener: number): Record<string, number> {
    return this.counts.get(listener) ?? {};
  }

  latency() {
    return { bounds: [0.001], counts: [0, 0], sum: 0 };
  }

  nestedNetworks(listener: number): number {
    return this.counts.get(listener)?.['nested-netns'] ?? 0;
  }

  descriptors(listener: number): { fd: number; record: number } {
    const { fd, record } = this.attached.get(listener) ?? { fd: -1, record: -1 };
    return { fd, record };
  }

  obstacle() {
    return '';
  }

  unlistedService() {
    return this.unlisted;
  }

  isConnected() {
    return true;
  }

  explain(_listener: number, address: string) {
    return { outcome: 'switched', detail: `route for ${address}`, device: 'eth0' };
  }

  reserve(mapping: Mapping) {
    if (this.failure !== undefined) throw this.failure;
    return this.#reserved(mapping, 1000);
  }

  adopt(mapping: Mapping, fd: number) {
    return this.#reserved(mapping, fd);
  }

  #reserved(mapping: Mapping, fd: number) {
    const number = ++this.#last;
    this.ports.set(number, mapping);
    return { number, fd };
  }

  release(reservation: number): void {
    this.ports.delete(reservation);
  }

  /** Ten times its number. */
  lostDatagrams(reservation: number): number {
    return reservation * 10;
  }

  watchTunnels(): void {}
  openTunnels(): void {}
  closeTunnels(): void {}
  tunnels() {
    return undefined;
  }

  forget(listener: number): void {
    this.forgotten.push(listener);
  }

  stop(): void {
    this.stopped = true;
  }
}

/** A keeper's end of the link, which only remembers. `full`: it takes nothing. */
export class FakeKeeper implements KeeperLink {
  readonly version = 2;
  readonly sameVersion: boolean;
  readonly listening = openSync('/dev/null', 'r');
  readonly held: number[] = [];
  readonly shutdowns: KeeperShutdown[] = [];
  full = false;
  /** Descriptors of this process, which resume() asks for. */
  short = false;
  resumed = false;
  closed = false;

  constructor(sameVersion = true) {
    this.sameVersion = sameVersion;
  }

  shutdown(how: KeeperShutdown): void {
    this.shutdowns.push(how);
  }

  hold(id: number): boolean {
    if (!this.full) this.held.push(id);
    return !this.full;
  }

  resume(): boolean {
    this.resumed = !this.short;
    return this.resumed;
  }

  keep(): void {}
  drop(): void {}

  close(): void {
    this.closed = true;
  }
}

/** Of a kernel that has what is needed, and nothing more. */
export const FEATURES: KernelFeatures = {
  userNotif: true,
  addfd: true,
  syncWakeUp: false,
  waitKillable: false,
  pidfdThread: false,
  kcmp: true,
  listenerInUse: false,
  netnsCookie: true,
  pinningProblem: '',
};

export const OUTCOMES = [
  { name: 'switched', kind: 'switched', text: 'Connected in the host network.' },
  { name: 'ignored', kind: 'fallback', text: 'On the ignore list.' },
  { name: 'not-inet', kind: 'passed', text: 'Not a network socket.' },
] as const;
