/** A data plane that only remembers. */
import type { Engine, ListenerOptions, Policy } from '../../../src/daemon/addon.js';

export class FakeEngine implements Engine {
  readonly attached = new Map<number, ListenerOptions>();
  readonly policies = new Map<number, Policy>();
  readonly counts = new Map<number, Record<string, number>>();
  readonly forgotten: number[] = [];
  failure: Error | undefined;
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

  explain(_listener: number, address: string) {
    return { outcome: 'switched', detail: `route for ${address}`, device: 'eth0' };
  }

  forget(listener: number): void {
    this.forgotten.push(listener);
  }

  stop(): void {
    this.stopped = true;
  }
}

export const OUTCOMES = [
  { name: 'switched', kind: 'switched', text: 'Connected in the host network.' },
  { name: 'ignored', kind: 'fallback', text: 'On the ignore list.' },
  { name: 'reconnect', kind: 'refused', text: 'Refused.' },
  { name: 'not-inet', kind: 'passed', text: 'Not a network socket.' },
] as const;
