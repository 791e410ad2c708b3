/** `sockswitch with` as a process of its own, with programs in the place of podman and buildah. */
import { spawn } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'smol-toml';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';

const CLI = fileURLToPath(new URL('../../../dist/cli.js', import.meta.url));
const START = fileURLToPath(new URL('../../../build/Release/sockswitch-start', import.meta.url));
const ECHO =
  '#!/bin/sh\n[ "$1" = --version ] && echo podman version 5.4.2 && exit\necho "$(basename "$0")" "$@"\n';

vi.setConfig({ testTimeout: 60_000 }); // starts of Node.js, up to ten in a test

let base: string;
let daemon: Server | undefined;

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'with-'));
  for (const part of ['bin', 'run', 'home/.config/sockswitch/hooks.d']) {
    mkdirSync(join(base, part), { recursive: true, mode: 0o700 });
  }
  writeFileSync(join(base, 'home/.config/sockswitch/hooks.d/sockswitch.json'), '{}');
  for (const name of ['podman', 'buildah']) program(name, ECHO);
});
afterEach(async () => {
  await new Promise<void>((resolve) => (daemon ? daemon.close(() => resolve()) : resolve()));
  daemon = undefined;
  rmSync(base, { recursive: true, force: true });
});

function program(name: string, text: string): void {
  writeFileSync(join(base, 'bin', name), text);
  chmodSync(join(base, 'bin', name), 0o755);
}

async function startDaemon(status: object = {}): Promise<void> {
  const server = createServer((_request, response) => response.end(JSON.stringify(status)));
  daemon = server;
  mkdirSync(join(base, 'run/sockswitch'), { recursive: true, mode: 0o700 });
  await new Promise<void>((resolve) =>
    server.listen(join(base, 'run/sockswitch/control.sock'), resolve),
  );
}

/** As env(1) has it, whether Node.js or native/programs/start.cc finds that out. */
async function expectNothingToRun(start: (words: readonly string[]) => Promise<Run>) {
  const missing = await start(['--', 'no-such-command']);
  expect(missing).toMatchObject({ status: 127 });
  expect(missing.stderr).toContain('no command "no-such-command"');
  expect(await start(['--', base])).toMatchObject({ status: 126 });
  expect(await start([])).toMatchObject({ status: 125 });
}

/** What od(1) shows, a character for each byte. */
function fromHex(text: string): string {
  return Buffer.from(text.replace(/\s/g, ''), 'hex').toString('latin1');
}

interface Run {
  readonly status: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

function run(
  words: readonly string[],
  env: Readonly<Record<string, string>> = {},
  input = '',
  command: readonly string[] = [process.execPath, CLI],
): Promise<Run> {
  const [program = '', ...before] = command;
  return new Promise((resolve, reject) => {
    const child = spawn(program, [...before, 'with', ...words], {
      env: {
        PATH: `${join(base, 'bin')}:/usr/bin:/bin`,
        HOME: join(base, 'home'),
        XDG_RUNTIME_DIR: join(base, 'run'),
        ...env,
      },
    });
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (data) => (stdout += data));
    child.stderr.on('data', (data) => (stderr += data));
    child.on('error', reject);
    child.on('close', (status, signal) => resolve({ status, signal, stdout, stderr }));
    child.stdin.on('error', () => {}); // it has ended before
    child.stdin.end(input);
  });
}

describe('the command', () => {
  test('has its own exit status, signals and streams', async () => {
    await startDaemon();
    expect(await run(['--', 'sh', '-c', 'exit 7'])).toMatchObject({ status: 7, stderr: '' });
    expect(await run(['--', 'sh', '-c', 'kill -TERM $$'])).toMatchObject({ signal: 'SIGTERM' });
    expect(await run(['--', 'cat'], {}, 'text')).toMatchObject({ status: 0, stdout: 'text' });
    // As without us: a writer to a closed pipe is ended by the signal.
    const pipe = await run(['--', 'bash', '-o', 'pipefail', '-c', 'yes | head -1; echo $?']);
    expect(pipe.stdout).toBe('y\n141\n');
  });

  test('takes what looks like our options', async () => {
    await startDaemon();
    expect((await run(['--', 'echo', '--required', '-h'])).stdout).toBe('--required -h\n');
    expect((await run(['echo', '--ignore'])).stdout).toBe('--ignore\n');
  });

  test('that is not there, or cannot be run', async () => {
    await startDaemon();
    await expectNothingToRun(run);
    expect(await run(['--no-such-option', '--', 'true'])).toMatchObject({ status: 125 });
    expect(await run(['--preset', 'swarm', '--', 'true'])).toMatchObject({ status: 125 });
  });

  test('is a shell with --shell', async () => {
    await startDaemon();
    const shell = await run(['--shell'], { SHELL: '/bin/sh' }, 'command -v podman; exit 3\n');
    expect(shell).toMatchObject({ status: 3, stdout: `${base}/run/sockswitch/with/bin/podman\n` });
    expect(await run(['--shell', '--', 'true'])).toMatchObject({ status: 125 });
  });
});

describe('the command that sockswitch-start starts', () => {
  const PATH = () => `${join(base, 'bin')}:${dirname(process.execPath)}:/usr/bin:/bin`;
  const started = (words: readonly string[], env = {}, before: readonly string[] = []) =>
    run(words, { PATH: PATH(), ...env }, '', [...before, START]);
  /** What a process may inherit, as bash sees it; of signals as it is while bash starts no program. */
  const STATE = `for fd in /proc/$$/fd/*; do echo "\${fd##*/} $(readlink $fd) $(grep -h flags /proc/$$/fdinfo/\${fd##*/} 2>/dev/null)"; done | grep -E '^[0-9] [^ ]'
ulimit -Sn; ulimit -Hn; while read -r line; do [[ $line == Sig[^Q]* ]] && echo "$line"; done </proc/$$/status; declare -f; printenv 'odd.name'`;

  test('has the process as it was: descriptors, limits, signals, variables', async () => {
    await startDaemon();
    const before = [
      'bash',
      '-c',
      'f() { true; }; export -f f; ulimit -Sn 512; trap "" HUP; exec 3<<<text 7>/dev/null; exec "$@"',
      'bash',
    ];
    const env = { 'odd.name': 'kept' };
    const alone = await run(['-c', STATE], { PATH: PATH(), ...env }, '', [
      ...before,
      'bash',
      '-c',
      'shift; exec bash "$@"',
      'x',
    ]);
    for (const part of [
      /^3 pipe/m,
      /^7 \/dev\/null/m,
      /^512$/m,
      /^SigIgn:\s+0*[1-9]/m,
      /^f \(\)/m,
      /^kept$/m,
    ])
      expect(alone.stdout).toMatch(part);
    const sameNames = (text: string) => text.replace(/(pipe|socket):\[\d+\]/g, '');
    const result = await started(['--', 'bash', '-c', STATE], env, before);
    expect(result).toMatchObject({ status: 0, stderr: '' });
    expect(sameNames(result.stdout)).toBe(sameNames(alone.stdout));
    const text = await started(['--', 'cat', '/dev/fd/3'], env, before);
    expect(text.stdout).toBe('text\n');
  });

  test('has words and variables byte for byte, also where they are no UTF-8', async () => {
    await startDaemon();
    const before = [
      'bash',
      '-c',
      `export PATH=$PATH:$'/v\\xe9'; exec "$@" $'caf\\xe8' $'caf\\xe9' café`,
      'bash',
    ];
    const shown = `printf '%s|' "$@" "\${PATH##*:}" | od -An -tx1`;
    const { stdout } = await started(['--', 'bash', '-c', shown, 'bash'], {}, before);
    expect(fromHex(stdout)).toBe('caf\xe8|caf\xe9|caf\xc3\xa9|/v\xe9|');
  });

  test('has its variables also where standard error is closed', async () => {
    const before = ['bash', '-c', 'exec "$@" 2>&- <&-', 'bash']; // and no daemon, which is said there
    const shown = 'echo "$CONTAINERS_CONF_OVERRIDE"; command -v podman';
    const { stdout } = await started(['--', 'bash', '-c', shown], {}, before);
    expect(stdout).toMatch(/^\/.*\/containers-.*\.conf\n\/.*\/with\/bin\/podman\n$/);
  });

  test.each([
    ['podman', 'ps'],
    ['buildah', 'images'],
    ['podman', 'build', '--network=host'], // the same, where front.js looks
  ])('%s %s has words and variables byte for byte', async (name, ...words) => {
    await startDaemon();
    const show = 'cat /proc/$$/environ /proc/$$/cmdline | od -An -v -tx1';
    for (const each of [name, 'other'])
      program(
        each,
        `#!/bin/sh\n[ "$1" = --version ] && echo podman version 5.4.2 && exit\n${show}\n`,
      );
    const before = [
      'bash',
      '-c',
      `f() { true; }; export -f f; export LATIN=$'caf\\xe9'; exec "$@" $'caf\\xe8' '' $'a\\n* "b' café`,
      'bash',
    ];
    const env = { 'odd.name': 'kept', EMPTY: '' };
    const shown = async (called: string) =>
      fromHex((await started(['--', called, ...words], env, before)).stdout);
    const bytes = await shown(name);
    for (const part of ['odd.name=kept', 'BASH_FUNC_f%%=', 'LATIN=caf\xe9', 'EMPTY='])
      expect(`\0${bytes}`).toContain(`\0${part}`);
    expect(bytes).toContain(`/${name}\0${words.join('\0')}\0caf\xe8\0\0a\n* "b\0caf\xc3\xa9\0`);
    // As a program that is not ours has them.
    expect(bytes.replace(`/${name}\0${words[0]}`, `/other\0${words[0]}`)).toBe(
      await shown('other'),
    );
  });

  test('a build has it, too', async () => {
    await startDaemon();
    program(
      'podman',
      `#!/bin/sh\n[ "$1" = --version ] && echo podman version 5.4.2 && exit\necho "$1"; cat <&3; ulimit -Sn\n`,
    );
    const before = ['bash', '-c', 'ulimit -Sn 512; exec 3<<<text; exec "$@"', 'bash'];
    const result = await started(['--', 'podman', 'build', '.'], {}, before);
    expect(result).toMatchObject({ status: 0, stdout: 'build\ntext\n512\n' });
  });

  /** The files that Node.js loads, once Podman's version and configuration are kept. */
  async function loadedBy(words: readonly string[]): Promise<string[]> {
    const coverage = mkdtempSync(join(base, 'coverage-'));
    await started(words);
    await started(words, { NODE_V8_COVERAGE: coverage });
    const [file = ''] = readdirSync(coverage);
    const { result } = JSON.parse(readFileSync(join(coverage, file), 'utf8')) as {
      readonly result: readonly { readonly url: string }[];
    };
    return result.flatMap(({ url }) => (url.startsWith('file:') ? fileURLToPath(url) : []));
  }

  test('comes without what only other verbs need being loaded', async () => {
    await startDaemon();
    const dropIns = join(base, 'home/.config/containers/containers.conf.d');
    mkdirSync(dropIns, { recursive: true });
    writeFileSync(
      join(dropIns, 'sockswitch.conf'),
      '[engine]\nhooks_dir = ["/home/me/.config/sockswitch/hooks.d"]\n', // as install writes it
    );
    const options = ['--required', '--firewall=ignore', '--tunnels', '--names', 'host'];
    const loaded = await loadedBy([...options, '--', 'true']);
    // One file, in which what only some calls need is not: zod alone would be ten times as much.
    expect(loaded.map((path) => basename(path))).toEqual(['start-with.cjs']);
    expect(statSync(loaded[0] ?? '').size).toBeLessThan(60_000);
  });

  test('has YAML read only where a file names networks', async () => {
    await startDaemon();
    program('kind', '#!/bin/sh\n');
    const config = join(base, 'kind.yaml');
    const words = ['--preset', 'kubernetes', '--', 'kind', 'create', 'cluster'];
    const sizeOf = async (more: readonly string[]) =>
      (await loadedBy([...words, ...more])).reduce((sum, path) => sum + statSync(path).size, 0);
    writeFileSync(config, 'kind: Cluster\nnodes: [{role: control-plane}, {role: worker}]\n');
    expect(await sizeOf([])).toBeLessThan(100_000);
    expect(await sizeOf(['--config', config])).toBeLessThan(100_000);
    writeFileSync(config, 'kind: Cluster\nnetworking: {podSubnet: 10.100.0.0/16}\n');
    expect(await sizeOf(['--config', config])).toBeGreaterThan(200_000);
  });

  test('that is not there or ends early, and help', async () => {
    await startDaemon();
    await expectNothingToRun(started);
    expect(await started(['--', 'sh', '-c', 'kill -TERM $$'])).toMatchObject({ signal: 'SIGTERM' });
    const help = await started(['--help']);
    expect(help).toMatchObject({ status: 0, stderr: '' });
    expect(help.stdout).toContain('Usage: sockswitch with');
    const nowhere = await started(['--', 'true'], { PATH: base });
    expect(nowhere).toMatchObject({ status: 127 });
    expect(nowhere.stderr).toContain('cannot run node');
  });
});

describe('the networks of a cluster', () => {
  const kind = ['--preset', 'kubernetes', '--', 'kind', 'create', 'cluster', '--config'];
  const ignored = (stdout: string) => /sockswitch\/ignore=([^"]*)/.exec(stdout)?.[1];
  beforeEach(() => program('kind', '#!/bin/sh\ncat "$CONTAINERS_CONF_OVERRIDE" -\n'));

  test('are those of the file that the command names', async () => {
    await startDaemon();
    const text =
      'kind: Cluster\nnetworking: {podSubnet: 10.97.0.0/16, serviceSubnet: 10.98.0.0/16}';
    writeFileSync(join(base, 'kind.yaml'), text);
    const { stdout, stderr } = await run([...kind, join(base, 'kind.yaml')]);
    expect([ignored(stdout), stderr]).toEqual(['10.97.0.0/16 10.98.0.0/16', '']);
  });

  test('are the usual ones where that cannot be read, and the command runs', async () => {
    await startDaemon();
    for (const path of ['/nowhere/kind.yaml', '-']) {
      const { status, stdout, stderr } = await run([...kind, path], {}, 'of standard input');
      expect({ status, input: stdout.endsWith('of standard input') }).toEqual({
        status: 0,
        input: true,
      });
      expect(ignored(stdout)).toContain('10.244.0.0/16');
      expect(stderr).toContain(`"${path}", which kind reads,`);
    }
  });
});

describe('without a daemon', () => {
  test('it runs, with a warning', async () => {
    const result = await run(['--', 'echo', 'ran']);
    expect(result).toMatchObject({ status: 0, stdout: 'ran\n' });
    expect(result.stderr).toContain('containers will not be accelerated: no daemon is running');
  });

  test('it does not with --required, nor with a daemon that accelerates nothing', async () => {
    expect(await run(['--required', '--', 'echo', 'ran'])).toMatchObject({
      status: 125,
      stdout: '',
    });
    await startDaemon({ unaccelerated: 'no guard' });
    const refused = await run(['--required', '--', 'echo', 'ran']);
    expect(refused).toMatchObject({ status: 125, stdout: '' });
    expect(refused.stderr).toContain('no guard');
    const warned = await run(['--', 'echo', 'ran']);
    expect(warned).toMatchObject({ status: 0, stdout: 'ran\n' });
    expect(warned.stderr).toContain('no guard');
  });

  test('a hook that is not installed is said', async () => {
    await startDaemon();
    rmSync(join(base, 'home/.config/sockswitch/hooks.d/sockswitch.json'));
    expect((await run(['--', 'true'])).stderr).toContain('run "sockswitch install"');
  });
});

describe("Podman's configuration", () => {
  const CAT = ['--', 'sh', '-c', 'cat "$CONTAINERS_CONF_OVERRIDE"'];

  test('keeps what an override file says, also with one with in another', async () => {
    await startDaemon();
    const mine = join(base, 'mine.conf');
    writeFileSync(mine, '[containers]\nannotations = ["a=1"]\n');
    const env = { CONTAINERS_CONF_OVERRIDE: mine };
    const nested = [process.execPath, CLI, 'with', '--ignore', 'fd00::/8'];
    const { stdout } = await run(['--ignore', '10.0.0.0/8', '--', ...nested, ...CAT], env);
    expect(parse(stdout)).toMatchObject({
      containers: {
        annotations: ['a=1', 'sockswitch/enable=true', 'sockswitch/ignore=10.0.0.0/8 fd00::/8'],
      },
    });
    expect(readFileSync(mine, 'utf8')).toBe('[containers]\nannotations = ["a=1"]\n');
  });

  test('one with in another, of another installation: both find the real programs', async () => {
    await startDaemon();
    const root = fileURLToPath(new URL('../../..', import.meta.url));
    const other = join(base, 'other');
    cpSync(join(root, 'dist'), join(other, 'dist'), { recursive: true });
    cpSync(join(root, 'package.json'), join(other, 'package.json'));
    for (const name of ['sockswitch-start', 'sockswitch-front', 'sockswitch.node'])
      cpSync(join(root, 'build/Release', name), join(other, 'build/Release', name));
    symlinkSync(join(root, 'node_modules'), join(other, 'node_modules'));
    const inner = [process.execPath, join(other, 'dist/cli.js'), 'with', '--'];
    const { stdout } = await run(['--', ...inner, 'sh', '-c', 'podman ps; buildah images']);
    expect(stdout).toBe('podman ps\nbuildah images\n');
  });

  test('one with in another, of a former version: finds the real programs', async () => {
    await startDaemon();
    const front = join(base, 'former/dist/with/front.sh'); // what it had in front of them
    mkdirSync(dirname(front), { recursive: true });
    writeFileSync(front, '#!/bin/sh\necho "front $*"\n', { mode: 0o755 });
    mkdirSync(join(base, 'links'));
    for (const name of ['podman', 'buildah']) symlinkSync(front, join(base, 'links', name));
    const PATH = `${base}/links:${base}/bin:/usr/bin:/bin`;
    const { stdout } = await run(['--', 'sh', '-c', 'podman ps; buildah images'], { PATH });
    expect(stdout).toBe('podman ps\nbuildah images\n');
  });

  test('an override file that is missing, or not understood', async () => {
    await startDaemon();
    const mine = join(base, 'mine.conf');
    const missing = await run(CAT, { CONTAINERS_CONF_OVERRIDE: mine });
    expect(missing).toMatchObject({ status: 125 });
    expect(missing.stderr).toContain(`cannot read Podman's configuration "${mine}" (ENOENT)`);
    writeFileSync(mine, '[');
    expect((await run(CAT, { CONTAINERS_CONF_OVERRIDE: mine })).stderr).toContain(
      'is not understood',
    );
  });

  test('a place that cannot be written to', async () => {
    await startDaemon();
    writeFileSync(join(base, 'run/sockswitch/with'), 'in the way');
    const result = await run(['--', 'true']);
    expect(result).toMatchObject({ status: 125 });
    expect(result.stderr).toContain(`cannot write "${base}/run/sockswitch/with"`);
  });

  test('a Podman that is too old, or is not there, is named, and refused where acceleration is required', async () => {
    await startDaemon();
    program('podman', ECHO.replace('5.4.2', '4.2.0'));
    const echo = ['--', 'echo', 'ran'];
    expect((await run(echo)).stderr).toContain('this is Podman 4.2.0');
    const old = await run(['--required', ...echo]);
    expect(old).toMatchObject({ status: 125, stdout: '' });
    expect(old.stderr).toContain('--required was given, and this is Podman 4.2.0');
    rmSync(join(base, 'bin/podman'));
    for (const name of ['sh', 'echo']) symlinkSync(`/bin/${name}`, join(base, 'bin', name));
    const PATH = { PATH: join(base, 'bin') }; // this machine may have one
    const builds = await run(['--required', ...echo], PATH);
    expect(builds, 'Buildah can be accelerated').toMatchObject({ status: 0, stdout: 'ran\n' });
    rmSync(join(base, 'bin/buildah'));
    expect(await run(['--required', ...echo], PATH)).toMatchObject({ status: 125, stdout: '' });
    const missing = await run(echo, PATH);
    expect(missing).toMatchObject({ status: 0, stdout: 'ran\n' });
    expect(missing.stderr).toContain('there is no podman in PATH');
  });

  test('Podman 4.3 gets it as CONTAINERS_CONF', async () => {
    await startDaemon();
    program('podman', ECHO.replace('5.4.2', '4.3.1'));
    mkdirSync(join(base, 'home/.config/containers'));
    const mine = join(base, 'home/.config/containers/containers.conf');
    writeFileSync(mine, '[engine]\nruntime = "runc"\n');
    const script = 'echo "# $CONTAINERS_CONF_OVERRIDE"; cat "$CONTAINERS_CONF"';
    const { stdout } = await run(['--', 'sh', '-c', script]);
    expect(stdout).toMatch(/^# \n/);
    expect(parse(stdout)).toMatchObject({
      containers: { annotations: ['sockswitch/enable=true'] },
      engine: { runtime: 'runc' },
    });
  });
});

describe('podman and buildah in front', () => {
  const profile = (stdout: string) => {
    const path = /seccomp=(\S+)/.exec(stdout)?.[1] ?? '';
    return JSON.parse(readFileSync(path, 'utf8')) as Readonly<Record<string, unknown>>;
  };
  let mine: string;
  beforeEach(async () => {
    mine = join(base, 'mine.json');
    const rules = [{ names: ['connect', 'bind', 'listen', 'read'], action: 'SCMP_ACT_ALLOW' }];
    writeFileSync(mine, JSON.stringify({ defaultAction: 'SCMP_ACT_ERRNO', syscalls: rules }));
  });

  test('leave alone what is no build', async () => {
    await startDaemon();
    const words = ['run', '--rm', '-it', 'image', 'sh', '-c', 'a  b'];
    expect((await run(['--', 'podman', ...words])).stdout).toBe(`podman ${words.join(' ')}\n`);
  });

  test('buildah that is gone since, and what is not there any more', async () => {
    await startDaemon();
    const PATH = join(base, 'bin'); // this machine may have one
    expect((await run(['--', 'buildah', 'images'], { PATH })).status).toBe(0);
    rmSync(join(base, 'bin/buildah'));
    expect(await run(['--', 'buildah', 'images'], { PATH })).toMatchObject({
      status: 127,
      stderr: 'sockswitch: buildah was not in PATH when "sockswitch with" was started\n',
    });
    const gone = await run(['--', 'sh', '-c', `rm ${base}/bin/podman; podman ps`]);
    expect(gone).toMatchObject({ status: 127 });
    expect(gone.stderr).toContain(`there is no command "${base}/bin/podman"`);
  });

  test('give a build a profile made from its own, with what was asked for', async () => {
    await startDaemon();
    const words = ['build', '--security-opt', `seccomp=${mine}`, '.'];
    const { stdout } = await run(['--ignore', '10.0.0.0/8', '--', 'podman', ...words]);
    expect(stdout).toMatch(/^podman build --security-opt seccomp=\S+ \.\n$/);
    expect(profile(stdout)).toMatchObject({
      defaultAction: 'SCMP_ACT_ERRNO',
      listenerPath: `${base}/run/sockswitch/listener.sock`,
      listenerMetadata:
        'sockswitch/1 {"networkAdmin":false,"optionsReported":false,"annotations":{"sockswitch/ignore":"10.0.0.0/8"}}',
    });
    const again = await run([
      '--',
      'podman',
      'build',
      `--security-opt=${/seccomp=\S+/.exec(stdout)?.[0]}`,
    ]);
    expect(again.stdout, 'a profile of ours stays').toContain(/seccomp=\S+/.exec(stdout)?.[0]);
    const unconfined = await run([
      '--',
      'buildah',
      'bud',
      '--security-opt',
      'seccomp=unconfined',
      '.',
    ]);
    expect(profile(unconfined.stdout)).toMatchObject({ defaultAction: 'SCMP_ACT_ALLOW' });
  });

  test('report a profile that cannot be extended, and leave it', async () => {
    await startDaemon();
    writeFileSync(mine, '{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[]}');
    const build = ['--', 'podman', 'build', '--security-opt', `seccomp=${mine}`, '.'];
    const left = await run(build);
    expect(left.stdout).toBe(`podman build --security-opt seccomp=${mine} .\n`);
    expect(left.stderr).toContain(
      "not accelerated: the container's seccomp profile never allows connect",
    );
    expect(await run(['--required', ...build])).toMatchObject({ status: 125, stdout: '' });
  });

  test('leave builds in the host’s network, and say so of chroot', async () => {
    await startDaemon();
    const chroot = await run(['--required', '--', 'podman', 'build', '--isolation=chroot', '.']);
    expect(chroot.stdout).toBe('podman build --isolation=chroot .\n');
    expect(chroot.stderr).toContain('chroot');
    const host = await run(['--', 'podman', 'build', '--network', 'host', '.']);
    expect(host).toMatchObject({ stdout: 'podman build --network host .\n', stderr: '' });
  });

  test('leave builds alone without a daemon', async () => {
    const result = await run(['--', 'podman', 'build', '--security-opt', `seccomp=${mine}`, '.']);
    expect(result.stdout).toBe(`podman build --security-opt seccomp=${mine} .\n`);
    expect(result.stderr).toContain('not accelerated: no daemon is running');
  });

  test('advise for a build in a service what a build can have', async () => {
    await startDaemon();
    const FOR_BUILD =
      /leads to a Podman service, .* pass --security-opt seccomp=FILE with FILE from "sockswitch profile"/;
    program('podman-remote', ECHO);
    for (const words of [
      ['podman', '--remote', 'build', '.'],
      ['podman', '-r=true', 'image', 'build', '.'],
      ['podman-remote', 'build', '.'],
    ]) {
      const { stdout, stderr } = await run(['--', ...words]);
      expect(stdout).toBe(`${words.join(' ')}\n`);
      expect(stderr).toMatch(FOR_BUILD);
      expect(stderr).not.toContain('annotation');
    }
    const container = await run(['--', 'podman-remote', 'run', 'image']);
    expect(container.stderr).toContain('podman-remote leads to a Podman service');
    expect(container.stderr).toContain('root’s takes no notice of annotations');
    const set = await run(['--', 'true'], { DOCKER_HOST: 'unix:///s' });
    expect(set.stderr).toMatch(/For builds: .* pass --security-opt seccomp=FILE/);
    expect(set.stderr).toContain('root’s takes no notice of annotations');
  });

  test('leave what only looks like a service’s', async () => {
    await startDaemon();
    const host = { CONTAINER_HOST: 'unix:///s' };
    const words = ['podman', '--remote=false', 'build', '--security-opt', `seccomp=${mine}`, '.'];
    const { stdout, stderr } = await run(['--', ...words], host);
    expect(stdout).toMatch(
      /^podman --remote=false build --security-opt seccomp=\S+\/build-\S+ \.\n$/,
    );
    expect(stderr).not.toContain('leads to');
  });

  test('do not give a farm a path of this host', async () => {
    await startDaemon();
    const words = ['podman', 'farm', 'build', '--security-opt', `seccomp=${mine}`, '.'];
    const result = await run(['--', ...words]);
    expect(result.stdout).toBe(`${words.join(' ')}\n`);
    expect(result.stderr).toContain(
      'not accelerated: "podman farm build" builds on other machines',
    );
    expect(await run(['--required', '--', ...words])).toMatchObject({ status: 125, stdout: '' });
  });

  test('do not give a working container of buildah a file that goes before it', async () => {
    await startDaemon();
    const from = await run(['--required', '--', 'buildah', 'from', 'image']);
    expect(from).toMatchObject({ status: 0, stdout: 'buildah from image\n' });
    expect(from.stderr).toContain('"buildah run" takes no seccomp profile');
    const host = await run(['--', 'buildah', 'from', '--network=host', 'image']);
    expect(host).toMatchObject({ stdout: 'buildah from --network=host image\n', stderr: '' });
    const words = ['--', 'buildah', 'run', 'one', 'make'];
    expect(await run(words)).toMatchObject({ stdout: 'buildah run one make\n', stderr: '' });
    expect(await run(['--required', ...words])).toMatchObject({ status: 125, stdout: '' });
  });

  test('refuse nothing that starts nothing', async () => {
    await startDaemon();
    mkdirSync(join(base, 'home/.config/containers'));
    program('docker-compose', ECHO);
    writeFileSync(
      join(base, 'home/.config/containers/containers.conf'),
      '[engine]\ncompose_providers = ["docker-compose"]\n',
    );
    for (const line of [
      'podman compose ps',
      'podman compose -f up.yaml down',
      'podman --remote container ls',
      'podman --remote kube down pod.yaml',
    ]) {
      const result = await run(['--required', '--', ...line.split(' ')]);
      expect(result, line).toMatchObject({ status: 0, stdout: `${line}\n`, stderr: '' });
    }
    for (const line of ['podman compose up', 'podman --remote container run image']) {
      const refused = await run(['--required', '--', ...line.split(' ')]);
      expect(refused, line).toMatchObject({ status: 125, stdout: '' });
    }
  });

  test('report a Podman service', async () => {
    await startDaemon();
    const remote = await run(['--', 'podman', '--remote', 'run', 'image']);
    expect(remote).toMatchObject({ status: 0, stdout: 'podman --remote run image\n' });
    expect(remote.stderr).toContain('--remote leads to a Podman service');
    expect((await run(['--', 'podman', '--remote', 'ps'])).stderr).toBe('');
    const required = await run(['--required', '--', 'podman', '--remote', 'run', 'image']);
    expect(required).toMatchObject({ status: 125, stdout: '' });
    const host = await run(['--', 'true'], { CONTAINER_HOST: 'unix:///s' });
    expect(host.stderr).toContain('CONTAINER_HOST is set');
    const short = await run(['--', 'podman', '--log-level', 'debug', '-r', 'run', 'image']);
    expect(short.stderr).toContain('-r leads to a Podman service');
  });

  test('refuse services where acceleration is required, also by an outer with', async () => {
    await startDaemon();
    for (const name of ['DOCKER_HOST', 'CONTAINER_HOST', 'CONTAINER_CONNECTION']) {
      const refused = await run(['--required', '--', 'echo', 'ran'], { [name]: 'unix:///s' });
      expect(refused, name).toMatchObject({ status: 125, stdout: '' });
      expect(refused.stderr).toContain(`--required was given, and ${name} is set`);
    }
    const inner = [process.execPath, CLI, 'with', '--', 'echo', 'ran'];
    const nested = await run(['--required', '--', 'env', 'DOCKER_HOST=unix:///s', ...inner]);
    expect(nested).toMatchObject({ status: 125, stdout: '' });
  });

  test('report a service of the configuration, and of compose', async () => {
    await startDaemon();
    mkdirSync(join(base, 'home/.config/containers'));
    const conf = join(base, 'home/.config/containers/containers.conf');
    writeFileSync(conf, '[engine]\nremote = true\n');
    const remote = await run(['--', 'podman', 'run', 'image']);
    expect(remote.stdout).toBe('podman run image\n');
    expect(remote.stderr).toContain('configuration has "remote = true"');
    expect(remote.stderr).toContain('leads to a Podman service');
    expect(await run(['--required', '--', 'true'])).toMatchObject({ status: 125 });
    program('docker-compose', ECHO);
    writeFileSync(conf, '[engine]\ncompose_providers = ["docker-compose"]\n');
    const compose = await run(['--', 'podman', 'compose', 'up']);
    expect(compose.stdout).toBe('podman compose up\n');
    expect(compose.stderr).toContain('"podman compose" runs docker-compose');
    program('podman-compose', ECHO);
    writeFileSync(conf, `[engine]\ncompose_providers = ["${base}/bin/podman-compose"]\n`);
    expect((await run(['--', 'podman', 'compose', 'up'])).stderr).toBe('');
  });

  test('report builds of podman kube play', async () => {
    await startDaemon();
    const words = ['--', 'podman', 'kube', 'play', '--build', 'pod.yaml'];
    const result = await run(words);
    expect(result.stdout).toBe('podman kube play --build pod.yaml\n');
    expect(result.stderr).toContain('not accelerated: "podman kube play --build"');
    expect(await run(['--required', ...words])).toMatchObject({ status: 125, stdout: '' });
  });

  test('give a build what Podman’s configuration says', async () => {
    await startDaemon();
    mkdirSync(join(base, 'home/.config/containers'));
    const entries = '"sockswitch/ignore=192.0.2.0/24", "sockswitch/firewall=ignore", "other=1"';
    writeFileSync(
      join(base, 'home/.config/containers/containers.conf'),
      `[containers]\nannotations = [${entries}]\n`,
    );
    const words = ['podman', 'build', '--security-opt', `seccomp=${mine}`, '.'];
    const { stdout } = await run(['--ignore', '10.0.0.0/8', '--', ...words]);
    const { listenerMetadata } = profile(stdout) as { readonly listenerMetadata: string };
    expect(JSON.parse(listenerMetadata.slice('sockswitch/1 '.length))).toMatchObject({
      annotations: {
        'sockswitch/ignore': '192.0.2.0/24 10.0.0.0/8',
        'sockswitch/firewall': 'ignore',
      },
    });
  });
});
