/**
 * The subnets of Podman's own networks, which always stay on the fallback network: a bridge's addresses
 * mean something only inside Podman's network namespace, and the host may have others by the same number.
 *
 * Podman's default network, 10.88.0.0/16, counts always: it has no file until somebody changes it. The
 * others have a JSON file each in `GRAPHROOT/networks`. The directory appears with the first network, so
 * it is looked for again at each `refresh` until it can be watched. An unreadable file is skipped: a
 * container must not fail because of another network's file.
 */
import { type FSWatcher, readdirSync, readFileSync, watch } from 'node:fs';
import { join } from 'node:path';
import { execa } from 'execa';
import { z } from 'zod';
import { type Prefix, parsePrefix } from '../policy/prefix.js';

const DEFAULT_NETWORK: Prefix = '10.88.0.0/16';
/** Podman writes a file and renames it: several events for one change. */
const SETTLE_MS = 100;
const PODMAN_TIMEOUT_MS = 20_000;

const networkFile = z.object({
  subnets: z.array(z.object({ subnet: z.string() })).nullish(),
});

/** The subnets that the network files in `directory` name; also without the directory. */
export function readNetworks(directory: string): Prefix[] {
  const found = new Set<Prefix>([DEFAULT_NETWORK]);
  for (const name of listJson(directory)) {
    for (const prefix of subnetsOf(join(directory, name))) found.add(prefix);
  }
  return [...found].sort();
}

export class PodmanNetworks {
  readonly #onChange: () => void;
  #directory: string;
  #watcher: FSWatcher | undefined;
  #timer: NodeJS.Timeout | undefined;
  #current: readonly Prefix[] = [];

  /** `onChange` is called after `current` has changed. */
  constructor(graphRoot: string, onChange: () => void) {
    this.#directory = join(graphRoot, 'networks');
    this.#onChange = onChange;
    this.refresh();
  }

  get current(): readonly Prefix[] {
    return this.#current;
  }

  /** Storage turned out to be elsewhere. */
  setGraphRoot(graphRoot: string): void {
    const directory = join(graphRoot, 'networks');
    if (directory === this.#directory) return;
    this.#watcher?.close();
    this.#watcher = undefined;
    this.#directory = directory;
    this.refresh();
  }

  /** Reads again where nothing watches; cheap where something does. */
  refresh(): void {
    if (this.#watcher !== undefined) return;
    this.#startWatching(); // before reading, so that nothing is missed in between
    this.#read();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#watcher?.close();
    this.#watcher = undefined;
  }

  #startWatching(): void {
    try {
      const watcher = watch(this.#directory, { persistent: false }, () => {
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.#read(), SETTLE_MS).unref();
      });
      watcher.on('error', () => {
        watcher.close();
        if (this.#watcher === watcher) this.#watcher = undefined;
      });
      this.#watcher = watcher;
    } catch {
      // Not there yet, or no inotify watch left: the next refresh tries again.
    }
  }

  #read(): void {
    const networks = readNetworks(this.#directory);
    if (networks.join() === this.#current.join()) return;
    this.#current = networks;
    this.#onChange();
  }
}

/** Asks Podman where its storage is; undefined when it cannot tell. Takes about 0.1 s. */
export async function askGraphRoot(): Promise<string | undefined> {
  const result = await execa('podman', ['info', '--format', '{{.Store.GraphRoot}}'], {
    reject: false,
    stdin: 'ignore',
    timeout: PODMAN_TIMEOUT_MS,
  });
  const path = result.exitCode === 0 ? result.stdout.trim() : '';
  return path.startsWith('/') ? path : undefined;
}

function listJson(directory: string): string[] {
  try {
    return readdirSync(directory).filter((name) => name.endsWith('.json'));
  } catch {
    return [];
  }
}

function subnetsOf(path: string): Prefix[] {
  try {
    const file = networkFile.parse(JSON.parse(readFileSync(path, 'utf8')));
    return (file.subnets ?? []).flatMap(({ subnet }) => parsePrefix(subnet) ?? []);
  } catch {
    return [];
  }
}
