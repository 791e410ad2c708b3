/** The last things worth telling that did not become a running container, for `sockswitch ps`. */
import type { Incident } from '../api/protocol.js';

const KEPT = 50;

export class Journal {
  readonly #incidents: Incident[] = [];

  add(incident: Omit<Incident, 'time'>): void {
    this.#incidents.push({ time: new Date().toISOString(), ...incident });
    if (this.#incidents.length > KEPT) this.#incidents.shift();
  }

  /** Oldest first. */
  list(): readonly Incident[] {
    return this.#incidents;
  }
}
