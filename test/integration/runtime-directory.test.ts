/** The directory that holds the sockets: whoever else could enter it could feed us, so it is refused. */
import { describe, expect, test } from 'vitest';
import { daemonPid } from './support/daemon.js';
import { describeOnLab, host1, type Result } from './support/lab.js';

const BASE = '/tmp/runtime-test';

/** BASE, empty but for what `prepare` (as root) makes there. */
async function makeBase(prepare: string): Promise<void> {
  const script = `rm -rf ${BASE} && mkdir -m 700 ${BASE} && chown lab:lab ${BASE} && ${prepare}`;
  await host1.output(['bash', '-c', script], { root: true });
}

/** The keepers of a directory, once they have had a moment to end. */
async function keepersIn(directory: string): Promise<string> {
  const script = `for n in $(seq 50); do pgrep -f -- "--runtime-dir $1/" >/dev/null || exit 0; sleep 0.1; done
pgrep -af -- "--runtime-dir $1/"`;
  return (await host1.sh(script, [directory])).stdout;
}

/** A daemon whose XDG_RUNTIME_DIR was made by `prepare`. */
async function startDaemonIn(prepare: string, directory = BASE): Promise<Result> {
  await makeBase(prepare);
  const env = { XDG_RUNTIME_DIR: directory };
  return host1.run(['timeout', '--signal=KILL', '60', 'sockswitch', 'daemon'], { env });
}

describeOnLab('the daemon does not start', () => {
  describe('where the runtime directory', () => {
    test.each([
      [
        'can be entered by others',
        `mkdir -m 755 ${BASE}/sockswitch && chown lab ${BASE}/sockswitch`,
        ['has mode 0755', 'chmod 0700'],
      ],
      [
        'belongs to somebody else',
        `mkdir -m 700 ${BASE}/sockswitch`,
        ['belongs to user 0, not to 1000', 'remove it'],
      ],
      ['is a file', `touch ${BASE}/sockswitch`, ['is not a directory', 'remove it']],
      [
        'is a link to elsewhere',
        `mkdir -m 700 ${BASE}/real && chown lab ${BASE}/real && ln -s real ${BASE}/sockswitch`,
        ['is not a directory', 'remove it'],
      ],
      [
        'cannot be made',
        `chmod 755 ${BASE} && chown root ${BASE}`,
        ['cannot create', 'EACCES', 'XDG_RUNTIME_DIR'],
      ],
    ])('%s', async (_, prepare, words) => {
      const result = await startDaemonIn(prepare);
      expect(result.status).toBe(1);
      expect(result.stderr).toContain(`"${BASE}/sockswitch"`);
      for (const word of words) expect(result.stderr).toContain(word);
      expect(result.stderr, 'no stack').not.toMatch(/^\s+at /m);
    });

    test.each([
      ['has no base', '/tmp/no-such-directory', ['cannot create', 'XDG_RUNTIME_DIR']],
      ['has a relative base', 'run', ['XDG_RUNTIME_DIR is "run"', 'not an absolute path']],
      ['is too long for a socket', `/tmp/${'x'.repeat(100)}`, ['longer than the 107 bytes']],
    ])('%s', async (_, directory, words) => {
      const result = await startDaemonIn('true', directory);
      expect(result.status).toBe(1);
      for (const word of words) expect(result.stderr).toContain(word);
    });
  });

  const inside = (more: string) =>
    `mkdir -m 700 ${BASE}/sockswitch && ${more} && chown -R lab:lab ${BASE}`;
  test.each([
    ['control.sock', 'directory', `mkdir ${BASE}/sockswitch/control.sock`],
    ['hook.sock', 'directory', `mkdir ${BASE}/sockswitch/hook.sock`],
    ['metrics.sock', 'file', `touch ${BASE}/sockswitch/metrics.sock`],
    ['keeper.sock', 'file', `touch ${BASE}/sockswitch/keeper.sock`],
    ['listener.sock', 'link', `ln -s /nowhere ${BASE}/sockswitch/listener.sock`],
    ['keeper.lock', 'directory', `mkdir ${BASE}/sockswitch/keeper.lock`],
  ])('where %s is a %s of somebody else, which is left there', async (name, _, prepare) => {
    const result = await startDaemonIn(inside(prepare));
    expect(result.status).toBe(1);
    const path = `${BASE}/sockswitch/${name}`;
    expect(result.stderr).toContain(path);
    expect(result.stderr).toMatch(/was not made by sockswitch \(.*\): remove it, and start again/);
    expect(result.stderr, 'no stack').not.toMatch(/^\s+at /m);
    await host1.output(['sh', '-c', 'test -e "$0" || test -L "$0"', path]);
    expect(await keepersIn(BASE), 'nothing stays behind').toBe('');
  });

  test('more than once when five are started together', async () => {
    await makeBase('true');
    const script = `export XDG_RUNTIME_DIR=${BASE}
for n in 1 2 3 4 5; do
  { sockswitch daemon </dev/null >${BASE}/log$n 2>&1; echo $? >${BASE}/status$n; } &
done
until [ "$(ls ${BASE} | grep -c status)" -eq 4 ]; do sleep 0.1; done
until sockswitch status --json; do sleep 0.1; done
sockswitch stop >/dev/null
wait
cat ${BASE}/status*`;
    const { stdout, status } = await host1.run(['timeout', '120', 'sh', '-c', script]);
    expect(status, stdout).toBe(0);
    expect(stdout).toContain('"pid"');
    expect(stdout.split('\n').filter((line) => line === '1')).toHaveLength(4);
    expect(stdout.split('\n').filter((line) => line === '0')).toHaveLength(1);
    const told = await host1.output(['sh', '-c', `cat ${BASE}/log*`]);
    expect(told.split('already running')).toHaveLength(5);
    expect(told.split('sockswitch daemon is ready')).toHaveLength(2);
    expect(await keepersIn(BASE)).toBe('');
  });

  test('where another one runs, which lives on', async () => {
    const pid = await daemonPid();
    const result = await host1.run(['timeout', '--signal=KILL', '60', 'sockswitch', 'daemon']);
    expect(result.status).toBe(1);
    expect(result.stderr).toContain(`already running (pid ${pid})`);
    expect(result.stderr).toContain('stop it first');
    expect(await daemonPid()).toBe(pid);
  });
});
