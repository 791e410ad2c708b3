/** The directory that holds the sockets: whoever else could enter it could feed us, so it is refused. */
import { describe, expect, test } from 'vitest';
import { daemonPid } from './support/daemon.js';
import { describeOnLab, host1, type Result } from './support/lab.js';

const BASE = '/tmp/runtime-test';

/** A daemon whose XDG_RUNTIME_DIR was made by `prepare` (as root). */
async function startDaemonIn(prepare: string, directory = BASE): Promise<Result> {
  const script = `rm -rf ${BASE} && mkdir -m 700 ${BASE} && chown lab:lab ${BASE} && ${prepare}`;
  await host1.output(['bash', '-c', script], { root: true });
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

  test('where another one runs, which lives on', async () => {
    const pid = await daemonPid();
    const result = await host1.run(['timeout', '--signal=KILL', '60', 'sockswitch', 'daemon']);
    expect(result.status).toBe(1);
    expect(result.stderr).toContain(`already running (pid ${pid})`);
    expect(result.stderr).toContain('stop it first');
    expect(await daemonPid()).toBe(pid);
  });
});
