/**
 * The names that services see for clients of earlier daemons (native/publish/peer_names.h). Their programs end with the last
 * descriptor of their links, so the keeper keeps these, as it keeps reservations: a connection that was accepted before keeps
 * its peer's name. Each daemon attaches programs of its own, which the kernel calls one after the other. It takes 64 at one
 * cgroup, so only those of the last daemons stay.
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
  /** When its daemon began, in milliseconds: later than every earlier one, whatever the clock said. */
  readonly since: number;
}

const EARLIER_DAEMONS = 16;
const TEXT = /^names (\d+)$/;

export class KeptNames {
  readonly #options: KeptNamesOptions;
  readonly #own: readonly Pick<Link, 'id' | 'fd'>[];
  #since: number | undefined;
  #earlier: Link[] = [];

  constructor(options: KeptNamesOptions) {
    this.#options = options;
    const id = () => Math.floor(Math.random() * Number.MAX_SAFE_INTEGER);
    this.#own = options.links.map((fd) => ({ id: id(), fd }));
  }

  /** Whether it was one of these; then the descriptor is taken. */
  adopt({
    id,
    fd,
    text,
  }: {
    readonly id: number;
    readonly fd: number;
    readonly text: string;
  }): boolean {
    const since = TEXT.exec(text)?.[1];
    if (since === undefined) return false;
    // A keeper that comes back hands over what it was given before, too.
    if ([...this.#own, ...this.#earlier].some((known) => known.id === id)) closeSync(fd);
    else this.#earlier.push({ id, fd, since: Number(since) });
    return true;
  }

  /** A keeper has handed over what it has: drops what is too old, and gives it the rest, which a new one has not. */
  handedOver(): void {
    const daemons = [...new Set(this.#earlier.map(({ since }) => since))].sort((a, b) => a - b);
    this.#since ??= Math.max(Date.now(), (daemons.at(-1) ?? 0) + 1);
    const since = this.#since;
    const own = this.#own.map((link) => ({ ...link, since }));
    const stay = new Set(daemons.slice(-EARLIER_DAEMONS));
    for (const { id, fd, since: began } of this.#earlier) {
      if (stay.has(began)) continue;
      this.#options.keeper()?.drop(id);
      closeSync(fd);
    }
    this.#earlier = this.#earlier.filter((link) => stay.has(link.since));
    for (const link of [...this.#earlier, ...own]) {
      this.#options.keeper()?.keep(link.id, link.fd, `names ${link.since}`);
    }
  }
}
