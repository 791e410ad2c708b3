/**
 * Before the first file: the lab. After the last: its end, unless it was up before.
 *
 * LAB_NAME chooses the lab (default `test`). A lab that is up is used and left up; its daemons are
 * restarted, so that they run what has been built since. Where no lab can be had, every test skips and
 * says why; with CI=true that is a failure instead.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import type { TestProject } from 'vitest/node';
import { DOCUMENT, differs, render } from './document.js';
import { finishResults, recordVersions, startResults } from './results.js';

const LAB_PROGRAM = fileURLToPath(new URL('../../lab/lab', import.meta.url));
const BUILT = [
  'dist/cli.js',
  'build/Release/sockswitch.node',
  'build/Release/sockswitch-start',
  'build/Release/sockswitch-front',
].map((path) => `../../../${path}`);

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const { LAB_NAME: name = 'test', CI: ci } = process.env;
  const unavailable = whyNot();
  project.provide('lab', { name, unavailable });
  if (unavailable !== undefined) {
    if (ci === 'true') throw new Error(`integration tests cannot run: ${unavailable}`);
    console.warn(`integration tests are skipped: ${unavailable}`);
    return async () => {};
  }
  const missing = BUILT.filter((file) => !existsSync(new URL(file, import.meta.url)));
  if (missing.length > 0) throw new Error(`not built: ${missing.join(', ')}; run "npm run build"`);

  const run = (...words: string[]) =>
    execa(LAB_PROGRAM, words, {
      env: { LAB_NAME: name },
      stdin: 'ignore',
      stdout: 'inherit',
      stderr: 'inherit',
    });
  const status = await execa(LAB_PROGRAM, ['status'], { env: { LAB_NAME: name }, reject: false });
  const wasUp = status.exitCode === 0;
  await run('up');
  if (wasUp) for (const host of ['host1', 'host2']) await run('daemon', 'restart', host);
  startResults();
  recordVersions(await versions(name));
  return async () => {
    if (!wasUp) await run('down');
    checkDocument();
  };
}

/** After a whole run the committed document must say what the run showed. */
function checkDocument(): void {
  const results = finishResults();
  if (results === undefined) return;
  const { text, missing } = render(results);
  if (missing.length > 0) return; // a few files only, or failures, which fail the run by themselves
  if (differs(text)) {
    throw new Error(`${DOCUMENT} does not say what this run showed: npm run docs:compatibility`);
  }
}

/** Of what the matrix depends on. */
async function versions(name: string): Promise<Record<string, string>> {
  const script = `
for package in podman crun runc passt slirp4netns; do
  printf '%s %s\\n' $package "$(dpkg-query --show --showformat '\${Version}' $package | sed 's/[-+].*//')"
done
printf 'Linux %s\\n' "$(uname -r | grep -oE '^[0-9.]+')"`;
  const { stdout } = await execa(LAB_PROGRAM, ['exec', 'host1', '--', 'bash', '-c', script], {
    env: { LAB_NAME: name },
  });
  return Object.fromEntries(
    stdout.split('\n').map((line) => {
      const [program = '', version = ''] = line.split(' ');
      return [program, version];
    }),
  );
}

function whyNot(): string | undefined {
  if (process.platform !== 'linux') return 'the lab needs Linux';
  if (process.getuid?.() !== 0) return 'the lab needs root: run the tests with sudo';
  return undefined;
}
