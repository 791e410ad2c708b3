/** What is handed out: the Debian package, installed, used and removed; the RPM, checked and unpacked; the npm package, with and without a compiler. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { FreshUser } from './support/fresh-user.js';
import { describeOnLab, host2, REMOTE } from './support/lab.js';
import { curl } from './support/programs.js';
import { unlessSample } from './support/sample.js';

const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url));
const PAGE = 'hello from remote\n';
const VERSION =
  /^sockswitch [0-9.]+ \(commit [0-9a-f]{12}(-dirty)?\)\nNode\.js v.*\nLinux .*: .+\n/;

describeOnLab('the Debian package', () => {
  const user = new FreshUser(host2, 'packaged');
  const root = (script: string, stdin?: Uint8Array) =>
    host2.sh(script, [], { root: true, ...(stdin === undefined ? {} : { stdin }) });

  beforeAll(async () => {
    const { stdout } = await execa('npm', ['run', '--silent', 'package:deb'], { cwd: REPOSITORY });
    const path = join(REPOSITORY, stdout.trim().split('\n').at(-1) ?? '');
    // The host's Node.js is the machine's: a package of that name says that it is there.
    const script = `
set -e
mkdir -p /tmp/nodejs/DEBIAN
printf 'Package: nodejs\\nVersion: 20.0\\nArchitecture: all\\nMaintainer: test\\nDescription: test\\n' >/tmp/nodejs/DEBIAN/control
dpkg-deb --build /tmp/nodejs /tmp/nodejs.deb && dpkg --install /tmp/nodejs.deb
cat >/tmp/sockswitch.deb
dpkg --install /tmp/sockswitch.deb`;
    const installed = await root(script, readFileSync(path));
    expect(installed.status, installed.stderr).toBe(0);
    await user.create();
  });
  afterAll(async () => {
    await user.remove();
    await root('dpkg --purge sockswitch nodejs; rm -rf /tmp/nodejs* /tmp/sockswitch.deb');
  });

  test('is used as the README says', async () => {
    const sockswitch = '/usr/bin/sockswitch';
    expect(await user.output([sockswitch, '--version'])).toMatch(VERSION);
    await user.output([sockswitch, 'install']);
    expect(await user.output(['cat', '.config/sockswitch/hooks.d/sockswitch.json'])).toContain(
      '/usr/lib/sockswitch/build/Release/sockswitch-precreate',
    );
    const daemon = await user.daemon([sockswitch, 'daemon']);
    const run = ['podman', 'run', '--rm', '--network=pasta'];
    const enable = '--annotation=sockswitch/required=true --annotation=sockswitch/enable=true';
    const words = [...run, ...enable.split(' '), 'localhost/lab', ...curl(REMOTE.v4)];
    expect(await user.output(words)).toBe(PAGE);
    expect(await user.output([sockswitch, 'events'])).toContain('1 switched');
    expect(await user.output([sockswitch, 'status'])).toMatch(/socket guard +in use/);
    await user.output([sockswitch, 'uninstall']);
    await daemon.stop();
  });

  test('brings man pages and completion, and leaves nothing when it is removed', async () => {
    const files = (await root('dpkg --listfiles sockswitch')).stdout;
    expect(files).toContain('/usr/share/man/man1/sockswitch-doctor.1.gz\n');
    expect(files).toContain('/usr/share/bash-completion/completions/sockswitch\n');
    expect((await root('dpkg --purge sockswitch')).status).toBe(0);
    expect((await root('ls -d /usr/lib/sockswitch /usr/bin/sockswitch')).stdout).toBe('');
  });
});

/** Installed into a directory: no machine of the lab has RPM as its own. */
describe('the RPM', () => {
  const directory = mkdtempSync(join(tmpdir(), 'sockswitch-rpm-'));
  const guard = '/usr/lib/sockswitch/build/Release/sockswitch-guard';
  const names = '/usr/lib/sockswitch/build/Release/sockswitch-names';
  const missing = [
    ...(spawnSync('rpmbuild', ['--version']).error === undefined ? [] : ['rpmbuild (apt: rpm)']),
    ...(process.getuid?.() === 0 ? [] : ['root']),
  ];
  let path = '';
  /** What `rpm` prints, by lines. */
  const query = async (option: string) => {
    const { stdout } = await execa('rpm', ['-qp', option, path]);
    return stdout.split('\n').filter((line) => line !== '');
  };
  const make = async (script: string) => {
    const { stdout } = await execa('npm', ['run', '--silent', script], { cwd: REPOSITORY });
    return join(REPOSITORY, stdout.trim().split('\n').at(-1) ?? '');
  };

  beforeAll(async () => {
    if (missing.length === 0) path = await make('package:rpm');
    else if (process.env['CI'] === 'true') throw new Error(`missing: ${missing.join(', ')}`);
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  const rpmTest = test.skipIf(missing.length > 0);

  rpmTest('has the files of the Debian package', async () => {
    const { stdout } = await execa('dpkg-deb', ['--fsys-tarfile', await make('package:deb')], {
      encoding: 'buffer',
    });
    const list = await execa('tar', ['-t'], { input: stdout });
    const debian = list.stdout.split('\n').filter((name) => !name.endsWith('/'));
    const names = debian.map((name) => name.slice(1));
    const ours = new Set(await query('--list'));
    expect(names.filter((name) => !ours.has(name))).toEqual([
      '/usr/share/doc/sockswitch/copyright',
    ]);
    const others = new Set(names);
    const { stdout: dump } = await execa('rpm', [
      '-qp',
      '--queryformat',
      '[%{FILEMODES:perms} %{FILENAMES}\n]',
      path,
    ]);
    const files = dump.split('\n').filter((line) => !line.startsWith('d'));
    const own = files.map((line) => line.slice(line.indexOf(' ') + 1));
    expect(own.filter((name) => !others.has(name))).toEqual([
      '/usr/share/licenses/sockswitch/LICENSE',
    ]);
  });

  rpmTest('gives capabilities to three programs alone, and runs no scripts', async () => {
    const capable = (await query('--filecaps')).filter((line) => line.includes('='));
    const repin = guard.replace('-guard', '-repin');
    expect(capable).toEqual([
      `${guard}\tcap_bpf=ep`,
      `${names}\tcap_net_admin,cap_bpf=ep`,
      `${repin}\tcap_net_raw=ep`,
    ]);
    expect(await query('--scripts')).toEqual([]);
    expect(await query('--triggers')).toEqual([]);
  });

  rpmTest(
    'asks for Node.js, Podman and libraries, and for nothing that npm packages mention',
    async () => {
      const required = (await query('--requires')).filter(
        (name) => !/^(rpmlib\(|rtld\(|lib(c|m|gcc_s|stdc\+\+)\.so\.\d|ld-linux)/.test(name),
      );
      expect(required).toEqual(['/usr/bin/node', 'podman >= 4.3']);
      expect((await query('--recommends')).sort()).toEqual(['crun', 'passt']);
    },
  );

  rpmTest('is installed and removed', async () => {
    const rpm = (...words: string[]) => execa('rpm', ['--root', directory, ...words]);
    await rpm('--install', '--nodeps', path);
    const installed = join(directory, guard);
    const { stdout } = await execa('/sbin/getcap', [installed]);
    expect(stdout).toBe(`${installed} cap_bpf=ep`);
    const program = join(directory, 'usr/bin/sockswitch');
    const env = { PATH: dirname(process.execPath) };
    const version = await execa(program, ['--version'], { env });
    expect(`${version.stdout}\n`).toMatch(VERSION);
    await rpm('--erase', 'sockswitch');
    for (const left of ['usr/lib/sockswitch', 'usr/bin/sockswitch', 'usr/share/doc/sockswitch'])
      expect(existsSync(join(directory, left)), left).toBe(false);
  });
});

describe('the npm package', () => {
  const directory = mkdtempSync(join(tmpdir(), 'sockswitch-npm-'));
  const prefix = join(directory, 'prefix');
  const npm = join(dirname(process.execPath), '../lib/node_modules/npm/bin/npm-cli.js');
  afterEach(() => rmSync(prefix, { recursive: true, force: true }));
  afterAll(() => rmSync(directory, { recursive: true }));

  /** Path of the tarball that is made of a tree. */
  async function pack(cwd: string): Promise<string> {
    const words = ['pack', '--ignore-scripts', '--json', '--pack-destination', directory];
    const { stdout } = await execa(process.execPath, [npm, ...words], { cwd });
    return join(directory, /"filename": "([^"]+)"/.exec(stdout)?.[1] ?? '');
  }

  /** Installs it and returns what was said. */
  async function install(tarball: string, env: Readonly<Record<string, string>>): Promise<string> {
    const words = ['install', '--global', '--prefix', prefix, '--prefer-offline', '--no-audit'];
    const options = ['--no-fund', '--foreground-scripts', tarball];
    return (await execa(process.execPath, [npm, ...words, ...options], { env, all: true })).all;
  }

  async function expectInstalled(env: Readonly<Record<string, string>>): Promise<void> {
    const { stdout } = await execa(join(prefix, 'bin/sockswitch'), ['--version'], { env });
    expect(`${stdout}\n`).toMatch(VERSION);
    expect(stdout).not.toContain('cannot load');
    await execa('test', ['-e', join(prefix, 'share/man/man1/sockswitch.1')]);
  }

  test('installs without a compiler, with the programs that are in it', async () => {
    const tarball = await pack(REPOSITORY);
    // A PATH with nothing in it that could compile.
    const bin = join(directory, 'bin');
    await execa('mkdir', [bin]);
    for (const program of ['sh', 'node', 'test', 'env']) {
      const { stdout } = await execa('sh', ['-c', `command -v ${program}`]);
      const path = stdout.startsWith('/') ? stdout : `/usr/bin/${program}`;
      symlinkSync(program === 'node' ? process.execPath : path, join(bin, program));
    }
    const env = { PATH: bin };
    expect(await install(tarball, env)).not.toContain('compiling');
    await expectInstalled(env);
  });

  const compiled = async () => {
    const packed = await pack(REPOSITORY);
    await execa('tar', ['-xzf', packed, '-C', directory]);
    const tree = join(directory, 'package');
    writeFileSync(join(tree, 'build/Release/sockswitch.node'), 'of another architecture');
    const { PATH = '' } = process.env;
    // Where Node's headers came with Node, node-gyp need not fetch them.
    const root = join(dirname(process.execPath), '..');
    const headers = existsSync(join(root, 'include/node/node_api.h'))
      ? { npm_config_nodedir: root }
      : {};
    const said = await install(await pack(tree), { PATH, ...headers });
    expect(said).toContain('compiling the native programs');
    await expectInstalled({ PATH });
  };
  unlessSample('is compiled where the programs that are in it do not run', compiled, 500_000);
});
