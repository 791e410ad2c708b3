/**
 * Reports when a file is to be read again: the file changed, appeared or went, or somebody asked (for the
 * configuration: SIGHUP). Any number of reasons within a moment are one.
 *
 * The file is looked at every two seconds rather than watched: editors replace it, its directory may come
 * later than the daemon, and a home can be on a network.
 */
import { unwatchFile, watchFile } from 'node:fs';

const LOOK_MS = 2_000;
const SETTLE_MS = 100;

export class FileWatch {
  readonly #path: string;
  readonly #onChange: () => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(path: string, onChange: () => void, lookMs = LOOK_MS) {
    this.#path = path;
    this.#onChange = onChange;
    watchFile(path, { interval: lookMs, persistent: false }, (now, before) => {
      // Also called once for a file that is not there, and when it is only read.
      if (now.mtimeMs !== before.mtimeMs || now.ino !== before.ino) this.request();
    });
  }

  request(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      this.#onChange();
    }, SETTLE_MS).unref();
  }

  close(): void {
    clearTimeout(this.#timer);
    unwatchFile(this.#path);
  }
}
