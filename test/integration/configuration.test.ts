/** The configuration file: what is wrong with it is told by key, and what is right takes effect. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { daemonPid, logSince, logSize } from './support/daemon.js';
import { describeOnLab, eventually, FAR, host1, type Result } from './support/lab.js';
import { countersOf } from './support/matrix.js';
import { ENABLED, startContainer } from './support/podman.js';
import { curl } from './support/programs.js';

const SCRATCH = '/tmp/configuration-test';

/** A daemon of its own, with its own directories: not the lab's. */
function startDaemonWith(prepare: string, text = ''): Promise<Result> {
  const script = `
set -e
rm -rf ${SCRATCH} && mkdir -p ${SCRATCH}/config/sockswitch && mkdir -m 700 ${SCRATCH}/runtime
file=${SCRATCH}/config/sockswitch/config.toml
cat >"$file"
${prepare}
export XDG_CONFIG_HOME=${SCRATCH}/config XDG_RUNTIME_DIR=${SCRATCH}/runtime
exec timeout --signal=KILL 60 sockswitch daemon`;
  return host1.sh(script, [], { stdin: text });
}

describeOnLab('configuration', () => {
  describe('the daemon does not start with', () => {
    test.each([
      ['a line that is no TOML', 'ignore = [', ['config.toml:1:', 'correct the line']],
      ['an unknown key', 'ignroe = []', ['unknown key "ignroe"', 'did you mean "ignore"?']],
      [
        'an unknown key in a table',
        '[seccomp]\nwait_killabel = "auto"',
        ['unknown key "seccomp.wait_killabel"', 'did you mean "wait_killable"?'],
      ],
      ['a bad prefix', 'ignore = ["10.0.0.0/8", "x"]', ['ignore[1] is "x"', '"10.0.0.0/8"']],
      ['a wrong type', 'ignore = "10.0.0.0/8"', ['ignore is "10.0.0.0/8"', 'an array of strings']],
      [
        'a value that is none of the possible ones',
        '[seccomp]\nwait_killable = "perhaps"',
        ['seccomp.wait_killable is "perhaps"', '"auto", "always", "never"'],
      ],
      ['several mistakes', 'x = 1\nlog_level = "loud"', ['unknown key "x"', 'log_level is "loud"']],
    ])('%s', async (_, text, words) => {
      const result = await startDaemonWith('', text);
      expect(result.status).toBe(1);
      expect(result.stdout).toBe('');
      expect(result.stderr).toContain(`${SCRATCH}/config/sockswitch/config.toml`);
      for (const word of words) expect(result.stderr).toContain(word);
      expect(result.stderr, 'no stack').not.toMatch(/^\s+at /m);
    });

    test.each([
      ['a file that it may not read', 'chmod 0 "$file"', 'EACCES'],
      ['a directory in its place', 'rm "$file"; mkdir "$file"', 'EISDIR'],
    ])('%s', async (_, prepare, code) => {
      const result = await startDaemonWith(prepare);
      expect(result.status).toBe(1);
      expect(result.stderr).toContain(`cannot read "${SCRATCH}/config/sockswitch/config.toml"`);
      expect(result.stderr).toContain(code);
      expect(result.stderr).toContain('make it a file that this user may read, or remove it');
    });
  });

  describe('SIGHUP', () => {
    const FILE = '.config/sockswitch/config.toml';
    const reload = async (text: string): Promise<string> => {
      const start = await logSize();
      await host1.output(['tee', FILE], { stdin: text });
      await host1.output(['kill', '-HUP', String(await daemonPid())]);
      return eventually('the log', async () => (await logSince(start)) || undefined);
    };
    beforeAll(async () => {
      await host1.output(['mkdir', '-p', '.config/sockswitch']);
    });
    afterAll(async () => {
      await reload('');
      await host1.output(['rm', FILE]);
    });

    test('a new ignore list reaches running containers; a bad file changes nothing', async () => {
      const container = await startContainer({ annotations: ENABLED });
      const fetchPage = async () =>
        expect((await container.exec(curl(FAR.v4))).stdout).toBe('hello from remote\n');
      await fetchPage();
      expect(await countersOf(container)).toMatchObject({ switched: 1 });

      expect(await reload('ignore = ["10.99.0.0/16"]')).toContain('configuration read again');
      await fetchPage();
      expect(await countersOf(container)).toMatchObject({ switched: 1, reasons: { ignored: 1 } });

      expect(await reload('ignore = ["10.99.0.0/160"]')).toContain(
        'the configuration stays as it was',
      );
      await fetchPage();
      expect(await countersOf(container)).toMatchObject({ switched: 1, reasons: { ignored: 2 } });
      await container.remove();
    });
  });
});
