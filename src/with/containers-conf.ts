/**
 * The configuration by which `sockswitch with` opts in what Podman runs: texts in, text out.
 *
 * Podman reads its configuration files in a fixed order (containers.conf(5)); a later file's key takes an earlier
 * one's place, and tables are joined key by key. `CONTAINERS_CONF_OVERRIDE` names a file that is read last; Podman 4.3
 * does not know it. `CONTAINERS_CONF` names one that is read instead of all others, and every version knows that:
 *
 *   Podman 4.4 and later   the override file that the user had, or an empty one, with what is ours added
 *   Podman 4.3             all files in one, in their order, with what is ours added, as CONTAINERS_CONF
 *
 * Ours are two lists: `containers.annotations`, and `engine.hooks_dir`, which must hold the hook's directory also where
 * CONTAINERS_CONF hides the file that `sockswitch install` wrote. Since Podman 4.8 a list may end in `{append = true}`
 * and then adds to what was there. Before, it takes its place, so here it repeats what was there.
 *
 * Of annotations with one name the last counts, and an option of `podman run` goes before all. Ignore lists add up.
 */
import { parse, stringify, TomlError, type TomlTable, type TomlValue } from 'smol-toml';
import { messageOf, UserError } from '../base/errors.js';
import { quote } from '../base/text.js';
import { CARRIED } from './words.js';

export interface ConfFile {
  readonly path: string;
  readonly text: string;
}

export interface ConfRequest {
  /** What Podman reads, in its order, without the override file. */
  readonly files: readonly ConfFile[];
  /** What CONTAINERS_CONF_OVERRIDE names; undefined where it is not set. */
  readonly override: ConfFile | undefined;
  /** Ours, names to values. */
  readonly annotations: Readonly<Record<string, string>>;
  readonly hooksDirectory: string;
  readonly abilities: PodmanAbilities;
}

/** What a version of Podman knows of its configuration. */
export interface PodmanAbilities {
  /** CONTAINERS_CONF_OVERRIDE, Podman 4.4. */
  readonly override: boolean;
  /** `{append = true}`, Podman 4.8. */
  readonly append: boolean;
}

const IGNORE = 'sockswitch/ignore';
const DEFAULT_HOOKS_DIRECTORIES = ['/usr/share/containers/oci/hooks.d'];

const HEADER = '# Written by "sockswitch with".\n';

/** Throws UserError that names the file that is not understood. */
export function containersConf(request: ConfRequest): string {
  const { abilities } = request;
  const matters = ({ text }: ConfFile) =>
    !abilities.override || /^[^#\n]*(annotations|hooks_dir)/m.test(text);
  const before = request.files.filter(matters).map(read).reduce(join, {});
  const own = abilities.override && request.override !== undefined ? read(request.override) : {};
  const all = join(before, own);
  const named = withIgnored(list(all, 'containers', 'annotations') ?? [], request.annotations);
  /** The new list of `key`, which `add` makes of the one that it is written over. */
  const rewritten = (
    table: string,
    key: string,
    initial: readonly string[],
    add: (present: readonly string[]) => string[],
  ): TomlValue[] => {
    const mine = list(own, table, key);
    // A list of the user's override file that takes the place of earlier ones goes on doing so.
    if (abilities.append && (mine === undefined || appends(own, table, key))) {
      return [...add(mine ?? []), { append: true }];
    }
    return add(list(all, table, key) ?? initial);
  };
  const base = abilities.override ? own : before;
  const conf: TomlTable = {
    ...base,
    containers: {
      ...tableOf(base, 'containers'),
      annotations: rewritten('containers', 'annotations', [], (present) => [
        ...present.filter((entry) => !named.has(nameOf(entry))),
        ...[...named].map(([name, value]) => `${name}=${value}`),
      ]),
    },
    engine: {
      ...tableOf(base, 'engine'),
      hooks_dir: rewritten('engine', 'hooks_dir', DEFAULT_HOOKS_DIRECTORIES, (present) => [
        ...present.filter((directory) => directory !== request.hooksDirectory),
        request.hooksDirectory,
      ]),
    },
  };
  return HEADER + stringify(conf);
}

/** What the user's configuration says that builds, which do not read it, have to know. */
export interface ConfFindings {
  /** `engine.remote`: Podman asks a service. */
  readonly service: boolean;
  /** The annotations that builds can have (CARRIED of with/words.ts). */
  readonly carried: Readonly<Record<string, string>>;
}

export function findings({ files, override }: ConfRequest): ConfFindings {
  const conf = [...files, ...(override === undefined ? [] : [override])].map(read).reduce(join, {});
  const entries = list(conf, 'containers', 'annotations') ?? [];
  const carried = CARRIED.flatMap((name) => {
    const values = entries
      .filter((entry) => nameOf(entry) === name)
      .map((entry) => entry.slice(name.length + 1));
    if (values.length === 0) return [];
    return [[name, name === IGNORE ? values.join(' ') : (values.at(-1) ?? '')] as const];
  });
  return {
    service: member(conf, 'engine', 'remote') === true,
    carried: Object.fromEntries(carried),
  };
}

/** `engine.compose_providers`; undefined where it is not set. */
export function composeProviders(files: readonly ConfFile[]): readonly string[] | undefined {
  return list(files.map(read).reduce(join, {}), 'engine', 'compose_providers');
}

/** Our annotations, with the ignored destinations of `present` added to ours. */
function withIgnored(
  present: readonly string[],
  ours: Readonly<Record<string, string>>,
): ReadonlyMap<string, string> {
  const named = new Map(Object.entries(ours));
  const ignored = present
    .filter((entry) => nameOf(entry) === IGNORE)
    .flatMap((entry) => words(entry.slice(IGNORE.length + 1)));
  const all = new Set([...ignored, ...words(named.get(IGNORE) ?? '')]);
  if (all.size > 0) named.set(IGNORE, [...all].join(' '));
  return named;
}

function nameOf(entry: string): string {
  return entry.split('=', 1)[0] ?? '';
}

function words(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== '');
}

function read({ path, text }: ConfFile): TomlTable {
  try {
    return parse(text);
  } catch (error) {
    const where = error instanceof TomlError ? `line ${error.line}: ` : '';
    const [what = ''] = messageOf(error).split('\n');
    throw new UserError(
      `Podman's configuration ${quote(path)} is not understood (${where}${what}): correct it, or see what "podman info" says of it`,
    );
  }
}

/** `later` over `earlier`, table by table. A list that appends is added to the earlier one. */
function join(earlier: TomlTable, later: TomlTable): TomlTable {
  const result: TomlTable = { ...earlier };
  for (const [key, value] of Object.entries(later)) {
    const present = Object.hasOwn(result, key) ? result[key] : undefined;
    if (isTable(present) && isTable(value)) result[key] = join(present, value);
    else if (Array.isArray(present) && Array.isArray(value) && value.some(isAppend)) {
      result[key] = [...present.filter((item) => !isAppend(item)), ...value];
    } else result[key] = value;
  }
  return result;
}

/** The strings of a list; undefined where there is none. */
function list(conf: TomlTable, table: string, key: string): string[] | undefined {
  const value = member(conf, table, key);
  if (!Array.isArray(value)) return undefined;
  return value.filter((item) => typeof item === 'string');
}

function appends(conf: TomlTable, table: string, key: string): boolean {
  const value = member(conf, table, key);
  return Array.isArray(value) && value.some(isAppend);
}

function member(conf: TomlTable, table: string, key: string): unknown {
  const found = tableOf(conf, table);
  return Object.hasOwn(found, key) ? found[key] : undefined;
}

function tableOf(conf: TomlTable, table: string): TomlTable {
  const found = Object.hasOwn(conf, table) ? conf[table] : undefined;
  return isTable(found) ? found : {};
}

function isAppend(item: unknown): boolean {
  return isTable(item) && item['append'] === true;
}

function isTable(value: unknown): value is TomlTable {
  return (
    typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date)
  );
}
