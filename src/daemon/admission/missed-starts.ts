/**
 * Containers that asked for acceleration and started without it, because no daemon answered their hook.
 *
 * The hook leaves a record of each (native/programs/precreate.cc), a line of JSON in `missed-starts`. This reports
 * them, as incidents: those that are there when the daemon starts, and those that come while it runs and cannot answer.
 *
 * A record stays in the file as long as its container runs without acceleration, so that the next daemon reports the
 * container again. All other records are taken out. A record that a hook appends in the very moment in which
 * the file is written anew is lost.
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { z } from 'zod';
import { codeOf, messageOf } from '../../base/errors.js';
import { idIn } from '../../oci/spec.js';
import type { Journal } from '../observe/journal.js';
import type { Logger } from '../observe/log.js';

export interface MissedStartsOptions {
  readonly file: string;
  readonly journal: Journal;
  readonly log: Logger;
  /** Ids of the containers that run; undefined where that is not known. */
  running(): Promise<ReadonlySet<string> | undefined>;
  /** Whether a container is accelerated by now: it has been restarted. */
  isServed(container: string): boolean;
  readonly now?: () => number;
}

const recordSchema = z.object({
  /** Unix time. */
  time: z.int().nonnegative().max(8_640_000_000_000),
  /** Texts in which the container's id is found, and its hostname. */
  container: z.array(z.string()),
  reason: z.string(),
});

interface MissedStart {
  readonly line: string;
  readonly time: number;
  readonly container: string | undefined;
  readonly reason: string;
}

/** Between the hook and the moment in which Podman lists the container as running, in seconds; generous. */
const STARTING_SECONDS = 60;

export class MissedStarts {
  readonly #options: MissedStartsOptions;
  /** Lines that have been reported. */
  #reported = new Set<string>();

  constructor(options: MissedStartsOptions) {
    this.#options = options;
  }

  /** Reports what is new in the file, and takes out what is over. Never rejects. */
  async report(): Promise<void> {
    const { file, log } = this.#options;
    try {
      if (readLines(file).length === 0) return;
      const running = await this.#options.running();
      this.#reportLines(readLines(file), running);
    } catch (error) {
      log.error(`cannot use ${file}, which the hook writes: ${messageOf(error)}`);
    }
  }

  #reportLines(lines: readonly string[], running: ReadonlySet<string> | undefined): void {
    const { file, isServed, now = () => Date.now() / 1000 } = this.#options;
    const starts = lines
      .flatMap((line) => parse(line) ?? [])
      .filter(({ container }) => container === undefined || !isServed(container));
    for (const start of starts) {
      if (!this.#reported.has(start.line)) this.#reportOne(start);
    }
    this.#reported = new Set(lines);
    const kept = starts.filter(({ container, time }) => {
      if (container === undefined) return false;
      return running === undefined || running.has(container) || now() - time < STARTING_SECONDS;
    });
    if (kept.length < lines.length) replace(file, kept);
  }

  #reportOne({ time, container, reason }: MissedStart): void {
    const { journal, log } = this.#options;
    const known = container === undefined ? {} : { container };
    const started = new Date(time * 1000).toISOString();
    const message = `it started at ${started} on its fallback network, because no daemon answered (${reason}): restart the container to have it accelerated`;
    log.warn({ ...known, started, reason }, 'a container started while no daemon answered');
    journal.add({ kind: 'unaccelerated', ...known, message });
  }
}

function readLines(file: string): string[] {
  try {
    return readFileSync(file, 'utf8')
      .split('\n')
      .filter((line) => line !== '');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return [];
    throw error;
  }
}

/** Undefined for a line that is no record, such as one that was cut off by a full disk. */
function parse(line: string): MissedStart | undefined {
  try {
    const { container, ...record } = recordSchema.parse(JSON.parse(line));
    const ids = container.flatMap((text) => idIn(text) ?? []);
    return { line, ...record, container: ids[0] ?? container.at(-1) };
  } catch {
    return undefined;
  }
}

function replace(file: string, starts: readonly MissedStart[]): void {
  if (starts.length === 0) {
    rmSync(file, { force: true });
    return;
  }
  writeFileSync(`${file}.new`, starts.map(({ line }) => `${line}\n`).join(''), { mode: 0o600 });
  renameSync(`${file}.new`, file);
}
