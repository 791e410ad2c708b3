/**
 * The names that services see for clients of earlier daemons (native/publish/peer_names.h). Their programs end with the last
 * descriptor of their links, so the keeper keeps these, as it keeps reservations: a connection that was accepted before keeps
 * its peer's name. Each daemon attaches programs of its own. The kernel takes 64 at one cgroup, so only those of the last
 * daemons stay.
 */
import { closeSync } from 'node:fs';
import type { KeeperLink } from '../../addon/addon.js';

export interface KeptNamesOptions {
  /** Of this daemon. They stay the data plane's. */
  readonly links: readonly number[];
  keeper(): Pick<KeeperLink, 'keep' | 'drop'> | undefined;
}

interface Link {
  readonly id: number;
  readonly fd: number;
  readonly text: string;
}

const EARLIER_DAEMONS = 8;
const MARK = 'names ';

export class KeptNames {
  readonly #options: KeptNamesOptions;
  readonly #own: readonly Link[];
  #earlier: Link[] = [];

  constructor(options: KeptNamesOptions) {
    this.#options = options;
    const number = () => Math.floor(Math.random() * Number.MAX_SAFE_INTEGER);
    // In the order of time.
    const text = `${MARK}${String(Date.now()).padStart(16, '0')} ${number()}`;
    this.#own = options.links.map((fd) => ({ id: number(), fd, text }));
  }

  /** Whether it was one of these; then the descriptor is taken. */
  adopt(kept: { readonly id: number; readonly fd: number; readonly text: string }): boolean {
    if (!kept.text.startsWith(MARK)) return false;
    this.#earlier.push(kept);
    return true;
  }

  /** A keeper has handed over what it has: drops what is too old, and gives it the rest, which a new one has not. */
  handedOver(): void {
    const daemons = [...new Set(this.#earlier.map(({ text }) => text))].sort();
    const stay = new Set(daemons.slice(-EARLIER_DAEMONS));
    for (const { id, fd, text } of this.#earlier) {
      if (stay.has(text)) continue;
      this.#options.keeper()?.drop(id);
      closeSync(fd);
    }
    this.#earlier = this.#earlier.filter(({ text }) => stay.has(text));
    for (const { id, fd, text } of [...this.#earlier, ...this.#own]) {
      this.#options.keeper()?.keep(id, fd, text);
    }
  }
}
