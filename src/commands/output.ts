/** What all commands share in the way they print: tables, times, and the end after an error. */
import Table from 'cli-table3';
import { ApiError } from '../api/protocol.js';
import { UserError } from '../base/errors.js';
import { escapeControl } from '../base/text.js';

/** Exit statuses, as every `--help` lists them. */
export const EXIT = { ok: 0, failure: 1, notRunning: 3, problems: 4 } as const;

const NO_BORDERS = Object.fromEntries(
  [
    ...['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left'],
    ...['bottom-right', 'left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid', 'middle'],
  ].map((name) => [name, '']),
);

/** A table as Podman prints them: no lines, columns separated by blanks. Cells are escaped. */
export function printTable(head: readonly string[], rows: readonly (readonly string[])[]): void {
  const table = new Table({
    head: [...head],
    chars: NO_BORDERS,
    style: { 'padding-left': 0, 'padding-right': 2, head: [], border: [] },
  });
  for (const row of rows) table.push(row.map(escapeControl));
  print(table.toString().replace(/ +$/gm, ''));
}

export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value, null, 2));
}

/** `3 minutes ago`. */
export function ago(isoTime: string, now = Date.now()): string {
  return `${duration((now - Date.parse(isoTime)) / 1000)} ago`;
}

/** The largest unit that fits: `45 seconds`, `3 hours`. */
export function duration(seconds: number): string {
  const units: readonly [string, number][] = [
    ['day', 86_400],
    ['hour', 3_600],
    ['minute', 60],
    ['second', 1],
  ];
  const [name, size] = units.find(([, unit]) => seconds >= unit) ?? ['second', 1];
  const count = Math.max(0, Math.floor(seconds / size));
  return `${count} ${name}${count === 1 ? '' : 's'}`;
}

/** `512 B`, `1.5 KiB`, `20.0 GiB`. */
export function bytes(count: number): string {
  const units = ['KiB', 'MiB', 'GiB', 'TiB'];
  if (count < 1024) return `${Math.round(count)} B`;
  let value = count / 1024;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value.toFixed(1)} ${units[unit]}`;
}

/** Prints what went wrong to stderr; defects with their stack. Sets the exit status. */
export function fail(error: unknown): void {
  const expected = error instanceof UserError || error instanceof ApiError;
  const text =
    error instanceof Error && !expected
      ? (error.stack ?? error.message)
      : String(error instanceof Error ? error.message : error);
  for (const line of text.split('\n')) {
    process.stderr.write(`sockswitch: ${expected ? escapeControl(line) : line}\n`);
  }
  process.exitCode = EXIT.failure;
}
