/**
 * What the command of `sockswitch with --preset kubernetes` says itself of its cluster's networks.
 *
 * The command's words are searched for a tool of TOOLS with the verb that makes a cluster. The tool may stand behind others
 * (env, systemd-run), and k3s and kubeadm behind `podman run`, as what an image runs. Then its options are read, and the YAML file that it
 * will read itself: what `--config` names, or the kubeadm-config.yaml of Usernetes, which `make` finds beside its Makefile.
 *
 * Nothing is read that only one can read, or that this process does not see: standard input, pipes (`--config <(...)`), files of a container.
 *
 * It is the tool that judges its words and files. So nothing here fails: what is not understood becomes a warning and
 * counts as not said. What nobody names is what the tool itself takes for it (`usual`).
 *
 * The library for YAML is loaded only where a file has one of the keys: it is larger than all else that `with` loads.
 */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { basename, isAbsolute, join } from 'node:path';
import type { Document, LineCounter } from 'yaml';
import { codeOf, messageOf } from '../base/errors.js';
import { quote } from '../base/text.js';
import { type Prefix, parsePrefix } from '../policy/prefix.js';

export type Side = 'pods' | 'services';
export type Usual = Readonly<Record<Side, readonly string[]>>;

export interface Named {
  readonly networks: readonly Prefix[];
  /** Where that was said, for messages. */
  readonly place: string;
}

/** Of the sides that were asked for. */
export interface Said extends Partial<Readonly<Record<Side, Named>>> {
  /** The tool's numbers for a side that nobody names; undefined where the command is none of TOOLS. */
  readonly usual?: Usual | undefined;
  readonly warnings: readonly string[];
}

interface Tool {
  readonly name: string;
  /** The words of the verb, one behind the other. */
  readonly verb: readonly string[];
  readonly usual: Usual;
  /** Options whose values name networks; what stands behind a blank is the beginning of such a value. */
  readonly options: Readonly<Partial<Record<Side, string>>>;
  /** The `kind:` of the document of the configuration file that names networks; undefined: it reads none. */
  readonly kind?: string;
}

const KUBEADM: Usual = { pods: ['10.244.0.0/16'], services: ['10.96.0.0/12'] };

const TOOLS: readonly Tool[] = [
  {
    name: 'kind',
    verb: ['create', 'cluster'],
    usual: {
      pods: ['10.244.0.0/16', 'fd00:10:244::/56'],
      services: ['10.96.0.0/16', 'fd00:10:96::/112'],
    },
    options: {},
    kind: 'Cluster',
  },
  {
    name: 'minikube',
    verb: ['start'],
    usual: KUBEADM,
    options: {
      pods: '--extra-config kubeadm.pod-network-cidr=',
      services: '--service-cluster-ip-range',
    },
  },
  {
    name: 'kubeadm',
    verb: ['init'],
    usual: KUBEADM,
    options: { pods: '--pod-network-cidr', services: '--service-cidr' },
    kind: 'ClusterConfiguration',
  },
  {
    name: 'k3s',
    verb: ['server'],
    usual: { pods: ['10.42.0.0/16'], services: ['10.43.0.0/16'] },
    options: { pods: '--cluster-cidr', services: '--service-cidr' },
  },
  { name: 'make', verb: [], usual: KUBEADM, options: {}, kind: 'ClusterConfiguration' },
];

const KEYS = { pods: 'podSubnet', services: 'serviceSubnet' } as const;

const INSTEAD =
  'the usual networks are taken; where the cluster has others, give --pod-cidr and --service-cidr';

/** What `words` say of `sides`, those that no option names. */
export async function saidBy(words: readonly string[], sides: readonly Side[]): Promise<Said> {
  const warnings: string[] = [];
  const found: Partial<Record<Side, Named>> = {};
  const call = findTool(words);
  if (call === undefined) return { warnings };
  const { tool, before, behind } = call;
  const take = (side: Side, place: string, text: string) => {
    const parts = text.split(/\s*,\s*/).filter((part) => part !== '');
    const networks = parts.flatMap((part) => parsePrefix(part) ?? []);
    if (networks.length === parts.length) {
      if (parts.length > 0) found[side] = { networks, place };
      return;
    }
    const bad = parts.find((part) => parsePrefix(part) === undefined) ?? '';
    warnings.push(`${place} holds ${quote(bad)}, which is no network: ${INSTEAD}`);
  };
  for (const side of sides) {
    const { [side]: option } = tool.options;
    if (option === undefined) continue;
    // Of repeated ones k3s takes all, others take one: a network too many is only not accelerated.
    take(side, `${option.replace(/=$/, '')} of ${tool.name}`, valuesOf(behind, option).join(','));
  }
  const open = sides.filter((side) => found[side] === undefined);
  const path = open.length > 0 ? configOf(tool, behind) : undefined;
  if (tool.name === 'make' && path === undefined) return { warnings }; // whatever it makes
  try {
    if (path !== undefined) await readConfig(path, tool, isOfContainer(before), open, take);
  } catch (error) {
    if (!(error instanceof Unread)) throw error;
    const what = `${quote(path ?? '')}, which ${tool.name} reads,`;
    warnings.push(`${what} ${error.message}: ${INSTEAD}`);
  }
  return { ...found, usual: tool.usual, warnings };
}

/** The first tool of the words, with those before and behind it. */
function findTool(words: readonly string[]) {
  for (const [at, word] of words.entries()) {
    // An image has its tag or digest behind the name.
    const tool = TOOLS.find(({ name }) => basename(word).split(/[:@]/, 1)[0] === name);
    if (tool === undefined) continue;
    const behind = words.slice(at + 1);
    const isVerb = (_: string, from: number) =>
      tool.verb.every((part, index) => behind[from + index] === part);
    if (tool.verb.length === 0 || behind.some(isVerb)) {
      return { tool, before: words.slice(0, at), behind };
    }
  }
  return undefined;
}

/** The values of an option, in the same word or the next one. */
function valuesOf(words: readonly string[], option: string): string[] {
  const [name = '', beginning = ''] = option.split(' ');
  return words
    .flatMap((word, at) => {
      if (word.startsWith(`${name}=`)) return [word.slice(name.length + 1)];
      return word === name ? (words[at + 1] ?? []) : [];
    })
    .filter((value) => value.startsWith(beginning))
    .map((value) => value.slice(beginning.length));
}

/** The path of the file that the tool reads; undefined where it reads none. */
function configOf(tool: Tool, words: readonly string[]): string | undefined {
  if (tool.kind === undefined) return undefined;
  if (tool.name !== 'make') return valuesOf(words, '--config').at(-1) || undefined;
  const spelledOut = words.flatMap((word) =>
    word.startsWith('-C') ? ['--directory', word.slice(2)].filter((part) => part !== '') : [word],
  );
  const directory = valuesOf(spelledOut, '--directory').reduce(
    (outer, inner) => (isAbsolute(inner) ? inner : join(outer, inner)),
    '',
  );
  const path = join(directory, 'kubeadm-config.yaml');
  return existsSync(path) ? path : undefined; // without it, it is not Usernetes' Makefile
}

function isOfContainer(before: readonly string[]): boolean {
  return before.some((word) => ['podman', 'docker', 'nerdctl'].includes(basename(word)));
}

/** Why a file is not read. */
class Unread extends Error {}

/** Calls `take` with what the file says of each side. Throws Unread. */
async function readConfig(
  path: string,
  tool: Tool,
  isInside: boolean,
  sides: readonly Side[],
  take: (side: Side, place: string, text: string) => void,
): Promise<void> {
  if (isInside) throw new Unread('is in a container, where sockswitch does not see it');
  if (path === '-') throw new Unread('is its standard input, which only one can read');
  const text = textOf(path);
  if (!sides.some((side) => text.includes(KEYS[side]))) return;
  const { LineCounter, parseAllDocuments } = await import('yaml');
  const lines = new LineCounter();
  // As Kubernetes' own reader of YAML takes it, "<<" joins maps.
  const documents = [...parseAllDocuments(text, { lineCounter: lines, merge: true })];
  const [error] = documents.flatMap(({ errors }) => errors);
  if (error !== undefined) throw new Unread(`is no YAML (${firstLine(error.message)})`);
  for (const document of documents) {
    const content = contentOf(document);
    if (content?.['kind'] !== tool.kind) continue;
    const networking = content?.['networking'];
    for (const side of sides) {
      const value = isMap(networking) ? networking[KEYS[side]] : undefined;
      if (value === undefined || value === null) continue;
      const place = `networking.${KEYS[side]} in ${lineOf(document, KEYS[side], lines)}${quote(path)}`;
      take(side, place, isMap(value) || Array.isArray(value) ? 'a list or map' : String(value));
    }
    return; // none of the tools takes a second one
  }
}

/** Throws Unread. */
function textOf(path: string): string {
  try {
    // A pipe's content would be missing for the tool.
    if (statSync(path).isFile()) return readFileSync(path, 'utf8');
  } catch (error) {
    throw new Unread(`cannot be read (${codeOf(error) ?? messageOf(error)})`);
  }
  throw new Unread('is no regular file, so only one can read it');
}

/** Throws Unread. */
function contentOf(document: Document): Readonly<Record<string, unknown>> | undefined {
  try {
    const content: unknown = document.toJS();
    return isMap(content) ? content : undefined;
  } catch (error) {
    throw new Unread(`is no YAML (${firstLine(messageOf(error))})`); // too many aliases, say
  }
}

function lineOf(document: Document, key: string, lines: LineCounter): string {
  const node: unknown = document.getIn(['networking', key], true);
  const range = isMap(node) && 'range' in node ? node['range'] : undefined;
  return Array.isArray(range) ? `line ${lines.linePos(Number(range[0])).line} of ` : '';
}

function firstLine(text: string): string {
  return (text.split('\n', 1)[0] ?? '').replace(/:$/, '');
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
