/**
 * Runs a test suite of somebody else in an accelerated container and in a plain one, and compares how each test ended.
 *
 * Such suites have tests that fail now and then on a busy machine. So where the two differ, both run again, and a test
 * counts as differing only if it never ended in one container as it did in the other.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { countersOf, type Pair } from '../../integration/support/matrix.js';
import { type Container, difference, startContainer } from '../../integration/support/podman.js';
import { publish } from '../../integration/support/published.js';

const MAKE = fileURLToPath(new URL('./make', import.meta.url));
const RUN = fileURLToPath(new URL('./run.py', import.meta.url));
const TOP = fileURLToPath(new URL('../../../', import.meta.url));
const DIRECTORY = `${TOP}build/suites`;
/** The repository, as the lab's hosts have it, and containers here. */
const IN_LAB = '/opt/sockswitch';
const ATTEMPTS = 3;
const PATIENCE_MS = 600_000;

export type Part = 'python' | 'libuv' | 'go';

export interface Suite {
  readonly name: string;
  readonly part: Part;
  /** For bash, as the user with this id in the container. */
  readonly script: string;
  readonly uid: number;
  /** The outcome of each test, by its name. */
  parse(output: string): Map<string, string>;
}

/** A module of CPython's `test`. */
export function python(module: string): Suite {
  const suites = `${IN_LAB}/build/suites/python`;
  const program = RUN.replace(TOP, `${IN_LAB}/`);
  return {
    name: `CPython \`${module}\``,
    part: 'python',
    script: `PYTHONPATH=${suites} PYTHONDONTWRITEBYTECODE=1 python3 ${program} test.${module}`,
    uid: 0,
    parse: (output) => outcomes(output, /^(ok|fail|error|skip)\t(.+)$/gm),
  };
}

/** It refuses to run as root, and writes where it lies. */
export const LIBUV: Suite = {
  name: 'libuv',
  part: 'libuv',
  script: `
rm -rf /tmp/uv; mkdir /tmp/uv; cp -a ${IN_LAB}/build/suites/libuv/. /tmp/uv; cd /tmp/uv
HOME=/tmp LD_LIBRARY_PATH=. ./uv_run_tests`,
  uid: 1000,
  parse(output) {
    const lines = output.matchAll(/^(ok|not ok) \d+ - (\S+)( # SKIP)?/gm);
    return new Map(
      [...lines].map(([, how = '', name = '', skip]) => [name, skip ? 'skip' : how] as const),
    );
  },
};

/** A package of Go's standard library; tests of tests are not told apart. */
export function go(name: string): Suite {
  const program = `${IN_LAB}/build/suites/go/${name.replaceAll('/', '-')}.test`;
  return {
    name: `Go \`${name}\``,
    part: 'go',
    script: `cd "$(go env GOROOT)/src/${name}" && exec ${program} -test.short -test.v=test2json`,
    uid: 0,
    parse: (output) => outcomes(output, /--- (PASS|FAIL|SKIP): ([^\s/]+) \(/g),
  };
}

function outcomes(output: string, pattern: RegExp): Map<string, string> {
  return new Map([...output.matchAll(pattern)].map(([, how = '', name = '']) => [name, how]));
}

/** Packages are fetched where they are not there yet. Throws where they cannot be had. */
export async function makeParts(parts: readonly Part[]): Promise<void> {
  await execa(MAKE, [DIRECTORY, ...parts], { stdin: 'ignore', all: true });
}

export function versionOf(part: Part): string {
  return readFileSync(`${DIRECTORY}/${part}/version`, 'utf8').trim();
}

/** The accelerated one publishes a port, so that also calls are reported which are not otherwise. */
export async function startSuitesPair(network: string): Promise<Pair> {
  const place = { network, runtime: 'crun' } as const;
  const args = ['--volume', `${IN_LAB}:${IN_LAB}:ro`];
  const [plain, accelerated] = await Promise.all([
    startContainer({ ...place, args }),
    startContainer({ ...place, args, annotations: publish('8080:80') }),
  ]);
  return { ...place, plain, accelerated };
}

export interface SuiteComparison {
  /** How many tests both ran. */
  readonly tests: number;
  /** How many of them passed without acceleration. */
  readonly passed: number;
  /** Calls of the accelerated container that were reported meanwhile. */
  readonly reported: number;
  /** By test: "ok | fail", the outcomes without and with acceleration. */
  readonly differing: ReadonlyMap<string, string>;
}

export async function compareSuite(pair: Pair, suite: Suite): Promise<SuiteComparison> {
  const ended = { plain: new Map<string, Set<string>>(), accelerated: new Map() } as {
    [which in 'plain' | 'accelerated']: Map<string, Set<string>>;
  };
  const before = await countersOf(pair.accelerated);
  let differing = new Map<string, string>();
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    await Promise.all(
      (['plain', 'accelerated'] as const).map(async (which) => {
        for (const [test, how] of await run(pair[which], suite)) {
          const seen = ended[which].get(test) ?? new Set();
          ended[which].set(test, seen.add(how));
        }
      }),
    );
    differing = differences(ended.plain, ended.accelerated);
    if (differing.size === 0) break;
    const shown = [...differing].map(([one, how]) => `${one}: ${how}`).join('; ');
    console.info(`${suite.name} on ${pair.network}, plain | accelerated: ${shown}`);
  }
  const { switched, fallback, passed } = difference(before, await countersOf(pair.accelerated));
  const inBoth = [...ended.plain.keys()].filter((test) => ended.accelerated.has(test));
  return {
    tests: inBoth.length,
    passed: inBoth.filter((test) => /ok|PASS/.test([...(ended.plain.get(test) ?? [])].join()))
      .length,
    reported: switched + fallback + passed,
    differing,
  };
}

async function run(container: Container, suite: Suite): Promise<Map<string, string>> {
  const { stdout, stderr } = await container.sh(suite.script, [], {
    timeout: PATIENCE_MS,
    ...(suite.uid === 0 ? {} : { args: ['--user', String(suite.uid)] }),
  });
  const tests = suite.parse(stdout);
  if (tests.size === 0) throw new Error(`no test of ${suite.name} ran: ${stderr.slice(-2_000)}`);
  return tests;
}

/** Tests that never ended in one as in the other; a test that one did not run is `missing` there. */
export function differences(
  plain: ReadonlyMap<string, ReadonlySet<string>>,
  accelerated: ReadonlyMap<string, ReadonlySet<string>>,
): Map<string, string> {
  const missing = new Set(['missing']);
  const found = new Map<string, string>();
  for (const test of [...new Set([...plain.keys(), ...accelerated.keys()])].sort()) {
    const [one, other] = [plain.get(test) ?? missing, accelerated.get(test) ?? missing];
    if ([...one].some((how) => other.has(how))) continue;
    found.set(test, `${[...one].join(', ')} | ${[...other].join(', ')}`);
  }
  return found;
}
