/**
 * The last things that happened, for `sockswitch events` and `sockswitch ps`, and those who follow them.
 *
 * Bounded, and rare by nature: nothing is noted for each connection.
 */
import type { Incident, JournalEvent } from '../../api/protocol.js';

const KEPT_INCIDENTS = 50;
const KEPT_EVENTS = 500;

export class Journal {
  readonly #incidents: Incident[] = [];
  readonly #events: JournalEvent[] = [];
  readonly #followers = new Set<(event: JournalEvent) => void>();

  /** A container that asked for acceleration and does not have it. It is an event, too. */
  add(incident: Omit<Incident, 'time'>): void {
    const time = new Date().toISOString();
    keep(this.#incidents, { time, ...incident }, KEPT_INCIDENTS);
    const { kind, container, message } = incident;
    this.#emit({ time, type: kind, ...(container === undefined ? {} : { container }), message });
  }

  event(event: Omit<JournalEvent, 'time'>): void {
    this.#emit({ time: new Date().toISOString(), ...event });
  }

  /** Oldest first. */
  list(): readonly Incident[] {
    return this.#incidents;
  }

  /** Oldest first. */
  events(): readonly JournalEvent[] {
    return this.#events;
  }

  /** Calls `follower` with each event from now on, until the function that it returns is called. */
  follow(follower: (event: JournalEvent) => void): () => void {
    this.#followers.add(follower);
    return () => void this.#followers.delete(follower);
  }

  #emit(event: JournalEvent): void {
    keep(this.#events, event, KEPT_EVENTS);
    for (const follower of this.#followers) follower(event);
  }
}

function keep<T>(list: T[], item: T, limit: number): void {
  list.push(item);
  if (list.length > limit) list.shift();
}
