/**
 * The daemon's log: pino's JSON lines on stderr, or, for a person at a terminal, one readable line each.
 *
 * Text that comes from containers is escaped where a record is made into a line, so no caller can forget.
 */
import { type DestinationStream, type Logger, pino } from 'pino';
import { z } from 'zod';
import { escapeControl } from '../../base/text.js';
import type { LogLevel } from '../../policy/log-levels.js';

export const LOG_FORMATS = ['auto', 'json', 'text'] as const;
export type LogFormat = (typeof LOG_FORMATS)[number];
export type { Logger };

/** Lines that wait to be written, in bytes. */
const MAX_WAITING = 65_536;

/** `auto`: text when stderr is a terminal, else JSON. */
export function createLogger(level: LogLevel, format: LogFormat): Logger {
  const readable = format === 'text' || (format === 'auto' && process.stderr.isTTY);
  const destination: DestinationStream = readable
    ? { write: (line) => void process.stderr.write(`${readableLine(line)}\n`) }
    : lossy(pino.destination({ fd: 2, sync: true, maxLength: MAX_WAITING }));
  process.stderr.on('error', () => {});
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, destination);
}

/** A log that cannot be written, on a full disk, is no reason to end: lines are lost while it cannot. */
function lossy<Destination extends ReturnType<typeof pino.destination>>(
  destination: Destination,
): Destination {
  destination.on('error', () => {});
  return destination;
}

const record = z.looseObject({ level: z.number(), time: z.string(), msg: z.string().default('') });

/** `12:34:56 info  container started id=... pid=...` */
export function readableLine(line: string): string {
  const { level, time, msg, ...fields } = record.parse(JSON.parse(line));
  const rest = Object.entries(fields).map(([key, value]) => ` ${key}=${fieldText(value)}`);
  const label = pino.levels.labels[level] ?? String(level);
  return escapeControl(`${time.slice(11, 19)} ${label.padEnd(5)} ${msg}${rest.join('')}`);
}

function fieldText(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return /^[^\s"=]+$/.test(text) ? text : JSON.stringify(text);
}
