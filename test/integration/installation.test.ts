/** Installing and uninstalling, as a new user would; what is not ours is left alone. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { FreshUser } from './support/fresh-user.js';
import { describeOnLab, eventually, host2, REMOTE, type Result } from './support/lab.js';
import { curl } from './support/programs.js';

const RUN = ['podman', 'run', '--rm', '--network=pasta', '--annotation=sockswitch/enable=true'];
const FETCH = [...RUN, 'localhost/lab', ...curl(REMOTE.v4)];
const PAGE = 'hello from remote\n';
const DROP_IN = '.config/containers/containers.conf.d/sockswitch.conf';
const HOOK = '.config/sockswitch/hooks.d/sockswitch.json';
const UNITS = [
  'sockswitch.service',
  'sockswitch-keeper.service',
  'sockswitch-guard.socket',
  'sockswitch-guard@.service',
  'sockswitch-names.socket',
  'sockswitch-names@.service',
  'sockswitch-repin.socket',
  'sockswitch-repin@.service',
].map((name) => `.config/systemd/user/${name}`);
const FILES = [DROP_IN, HOOK, ...UNITS];
const each = (action: string) => FILES.map(() => action);

describeOnLab('installation', () => {
  const user = new FreshUser(host2, 'fresh');
  const run = (...argv: string[]): Promise<Result> => user.run(argv);
  const ok = (...argv: string[]): Promise<string> => user.output(argv);
  /** "created": [paths], ... */
  const actions = (output: string) =>
    output
      .split('\n')
      .filter((line) => line.includes(user.home))
      .map((line) => line.split(/\s+/)[0]);

  afterAll(() => user.remove());

  describe('of a new user', () => {
    beforeAll(() => user.create());

    test('--dry-run writes nothing', async () => {
      const before = await user.files();
      expect(actions(await ok('sockswitch', 'install', '--dry-run'))).toEqual(each('created'));
      expect(await user.files()).toBe(before);
    });

    test('install works, and says where no systemd is how to start the daemon', async () => {
      const output = await ok('sockswitch', 'install');
      expect(actions(output)).toEqual(each('created'));
      expect(output).toContain('sockswitch daemon');
      for (const file of FILES) await ok('test', '-f', file);
    });

    test('install again changes nothing', async () => {
      const before = await user.files();
      expect(actions(await ok('sockswitch', 'install'))).toEqual(each('unchanged'));
      expect(await user.files()).toBe(before);
    });

    test('Podman works, with the daemon and without', async () => {
      await ok('podman', 'info');
      expect(await ok(...FETCH)).toBe(PAGE);
      const daemon = await user.daemon();
      expect(await ok(...FETCH)).toBe(PAGE);
      await eventually('the log of the stop', async () =>
        /"switched":1.*container stopped/.test(daemon.output()) ? true : undefined,
      );
      await daemon.stop();
    });

    test('uninstall is refused while a container would lose its network', async () => {
      const daemon = await user.daemon();
      const before = await user.files();
      await ok(...RUN, '--detach', '--name=busy', 'localhost/lab', 'sleep', 'infinity');
      const refused = await run('sockswitch', 'uninstall');
      expect(refused.status).toBe(1);
      expect(refused.stderr).toContain('1 accelerated container is running');
      expect(await user.files()).toBe(before);
      expect(await ok('podman', 'exec', 'busy', ...curl(REMOTE.v4))).toBe(PAGE);
      await ok('podman', 'rm', '--force', '--time=0', 'busy');
      await daemon.stop();
    });

    test('uninstall removes what was installed, and only that', async () => {
      const daemon = await user.daemon();
      await ok('sh', '-c', 'echo \'log_level = "debug"\' >.config/sockswitch/config.toml');
      const before = await user.files();
      expect(
        actions(await ok('sockswitch', 'uninstall', '--dry-run')).slice(0, FILES.length),
      ).toEqual(each('removed'));
      expect(await user.files()).toBe(before);
      const output = await ok('sockswitch', 'uninstall');
      expect(actions(output)).toEqual([...each('removed'), 'kept']);
      await daemon.stop();
      const left = (await user.files())
        .trim()
        .split('\n')
        .map((line) => line.split('  ')[1]);
      expect(left).toEqual([
        './.config/containers/storage.conf',
        './.config/sockswitch/config.toml',
      ]);
      await ok('test', '!', '-e', '.config/containers/containers.conf.d');
      await ok('test', '!', '-e', '.config/systemd');
      await eventually('the end of the keeper', async () =>
        (await user.processes()) === '' ? true : undefined,
      );
    });

    test('uninstall again finds nothing; Podman works', async () => {
      await ok('rm', '-r', '.config/sockswitch');
      expect(actions(await ok('sockswitch', 'uninstall'))).toEqual(each('absent'));
      const left = (await user.files()).trim().split('\n');
      expect(left).toHaveLength(1);
      expect(await ok(...FETCH)).toBe(PAGE);
    });
  });

  describe('where something is in the way', () => {
    beforeEach(() => user.create());

    test.each(FILES)('a foreign %s stops install before it writes', async (file) => {
      await ok('sh', '-c', `mkdir -p "$(dirname ${file})" && echo '# mine' >${file}`);
      const before = await user.files();
      const refused = await run('sockswitch', 'install');
      expect(refused.status).toBe(1);
      expect(refused.stderr).toContain(file);
      expect(refused.stderr).toContain('was not written by sockswitch, or was edited since');
      expect(await user.files()).toBe(before);
    });

    test.each(FILES)('an edited %s stops uninstall and install', async (file) => {
      await ok('sockswitch', 'install');
      await ok('sh', '-c', `echo '# an edit' >>${file}`);
      const before = await user.files();
      for (const verb of ['uninstall', 'install']) {
        const refused = await run('sockswitch', verb);
        expect(refused.status).toBe(1);
        expect(refused.stderr).toContain(file);
        expect(refused.stderr).toContain('nothing was changed');
      }
      expect(await user.files()).toBe(before);
    });

    test('hooks directories of other drop-ins stay in force', async () => {
      const other = `${user.home}/other-hooks`;
      const hook = {
        version: '1.0.0',
        hook: { path: '/usr/bin/tee', args: ['tee', `${user.home}/other-ran`] },
        when: { always: true },
        stages: ['precreate'],
      };
      // tee prints the spec unchanged, as a precreate hook may.
      const script = `
mkdir -p ${other} .config/containers/containers.conf.d
cat >${other}/other.json
printf '[engine]\\nhooks_dir = ["%s"]\\n' ${other} >.config/containers/containers.conf.d/a.conf`;
      await user.run(['sh', '-c', script], { stdin: JSON.stringify(hook) });
      await ok('sockswitch', 'install');
      const daemon = await user.daemon();
      const result = await run(...FETCH);
      await daemon.stop();
      await ok('test', '-e', 'other-ran');
      expect(result.stderr).toBe('');
      expect(result.stdout).toBe(PAGE);
      expect(daemon.output()).toContain('container started');
    });

    test('a damaged record is named', async () => {
      await ok('sockswitch', 'install');
      await ok('sh', '-c', 'echo rubbish >.config/sockswitch/installed.json');
      const refused = await run('sockswitch', 'uninstall');
      expect(refused.status).toBe(1);
      expect(refused.stderr).toContain('installed.json" is damaged: remove it');
    });

    test('a configuration that is not understood stops install before it writes', async () => {
      await ok('mkdir', '-p', '.config/sockswitch');
      await ok('sh', '-c', 'echo require_gard = true >.config/sockswitch/config.toml');
      const before = await user.files();
      const refused = await run('sockswitch', 'install');
      expect(refused.status).toBe(1);
      expect(refused.stderr).toContain('config.toml');
      expect(refused.stderr).toContain('require_gard');
      expect(await user.files()).toBe(before);
    });

    test('a home that cannot be written to', async () => {
      await ok('chmod', '-R', 'a-w', '.config');
      const refused = await run('sockswitch', 'install');
      await ok('chmod', '-R', 'u+w', '.config');
      expect(refused.status).toBe(1);
      expect(refused.stderr).toMatch(/cannot change ".*" \(EACCES\): correct the owner and mode/);
    });
  });
});
