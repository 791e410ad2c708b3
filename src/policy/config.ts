/**
 * The user's configuration file, `$XDG_CONFIG_HOME/sockswitch/config.toml`; docs/configuration.md is its
 * manual. Everything in it is optional, a missing file is an empty one, and anything that is not
 * understood is an error: a setting with a typing error must not be silently without effect.
 */
import { readFileSync } from 'node:fs';
import { parse, TomlError } from 'smol-toml';
import { z } from 'zod';
import { codeOf, messageOf, UserError } from '../base/errors.js';
import { nearest, quote } from '../base/text.js';
import { LOG_LEVELS, type LogLevel } from './log-levels.js';
import { type Prefix, parsePrefix } from './prefix.js';

export type WaitKillable = 'auto' | 'always' | 'never';

export interface Config {
  /** Destinations of all containers that stay on the fallback network. */
  readonly ignore: readonly Prefix[];
  readonly logLevel: LogLevel;
  readonly waitKillable: WaitKillable;
  /** Serve bypass4netnsd's API. */
  readonly nerdctlApi: boolean;
  /** Accelerate only where sockets are guarded. */
  readonly requireGuard: boolean;
  /** Port on 127.0.0.1 that serves metrics, beside the Unix socket; undefined: none. */
  readonly metricsPort: number | undefined;
  /** Carry the kernel's tunnels where containers may have it. */
  readonly tunnels: boolean;
}

/** Most prefixes in `ignore`: a container's table is searched for each connection. */
const MAX_PREFIXES = 4096;

const prefix = z.string().transform((text, context): Prefix => {
  const parsed = parsePrefix(text);
  if (parsed !== undefined) return parsed;
  context.addIssue({
    code: 'custom',
    message: 'must be an address or a prefix such as "10.0.0.0/8" or "fd00::/8"',
  });
  return z.NEVER;
});

const schema = z.strictObject({
  ignore: z.array(prefix).max(MAX_PREFIXES).default([]),
  log_level: z.enum(LOG_LEVELS).default('info'),
  nerdctl_api: z.boolean().default(false),
  require_guard: z.boolean().default(true),
  tunnels: z.boolean().default(true),
  seccomp: z
    .strictObject({ wait_killable: z.enum(['auto', 'always', 'never']).default('auto') })
    .prefault({}),
  metrics: z.strictObject({ port: z.int().min(1).max(65535).optional() }).prefault({}),
});

/** Every key that the file may hold, for suggestions; by the table that holds it. */
const KNOWN_KEYS: Readonly<Record<string, readonly string[]>> = {
  '': ['ignore', 'log_level', 'nerdctl_api', 'require_guard', 'seccomp', 'metrics', 'tunnels'],
  seccomp: ['wait_killable'],
  metrics: ['port'],
};

/** Reads the file; a missing one gives the defaults. Throws UserError. */
export function loadConfig(path: string): Config {
  let text = '';
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') {
      throw new UserError(
        `cannot read ${quote(path)} (${codeOf(error) ?? messageOf(error)}): make it a file that this user may read, or remove it`,
      );
    }
  }
  return parseConfig(text, path);
}

/** Parses the file's text; `path` is for messages. Throws UserError. */
export function parseConfig(text: string, path: string): Config {
  let toml: unknown;
  try {
    toml = parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const reason = error.message.split('\n')[0] ?? '';
    throw new UserError(
      `${path}:${error.line}:${error.column}: ${reason}: correct the line, or see docs/configuration.md for an example`,
    );
  }
  const result = schema.safeParse(toml);
  if (!result.success) {
    throw new UserError(result.error.issues.map((issue) => describe(issue, toml, path)).join('\n'));
  }
  const { data } = result;
  return {
    ignore: data.ignore,
    logLevel: data.log_level,
    waitKillable: data.seccomp.wait_killable,
    nerdctlApi: data.nerdctl_api,
    requireGuard: data.require_guard,
    metricsPort: data.metrics.port,
    tunnels: data.tunnels,
  };
}

function describe(issue: z.core.$ZodIssue, toml: unknown, path: string): string {
  if (issue.code === 'unrecognized_keys') {
    const table = issue.path.join('.');
    const known = KNOWN_KEYS[table] ?? [];
    return issue.keys
      .map((key) => {
        const suggestion = nearest(key, known);
        const remedy =
          suggestion === undefined ? 'remove it' : `did you mean ${quote(suggestion)}?`;
        const where = table === '' ? quote(key) : quote(`${table}.${key}`);
        return `${path}: unknown key ${where}: ${remedy} (known here: ${known.join(', ')})`;
      })
      .join('\n');
  }
  const where = issue.path.reduce<string>(
    (text, part) =>
      typeof part === 'number'
        ? `${text}[${part}]`
        : text === ''
          ? String(part)
          : `${text}.${String(part)}`,
    '',
  );
  const value = valueAt(toml, issue.path);
  return `${path}: ${where} is ${quoteValue(value)}: ${expectation(issue)}`;
}

function expectation(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case 'invalid_value':
      return `set it to one of ${issue.values.map((value) => `"${String(value)}"`).join(', ')}`;
    case 'invalid_type':
      return `make it ${issue.expected === 'array' ? 'an array of strings' : `a ${issue.expected === 'object' ? 'table' : issue.expected}`}`;
    case 'too_small':
      return `make it at least ${issue.minimum}`;
    case 'too_big':
      if (issue.origin === 'number' || issue.origin === 'int')
        return `make it at most ${issue.maximum}`;
      return `keep it to ${issue.maximum} entries; larger prefixes can cover several`;
    default:
      return issue.message;
  }
}

function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
  let value = root;
  for (const key of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = Reflect.get(value, key);
  }
  return value;
}

function quoteValue(value: unknown): string {
  if (typeof value === 'string') return quote(value);
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (typeof value === 'object' && value !== null) return 'a table';
  return String(value);
}
