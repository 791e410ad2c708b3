/** Annotations and profiles that cannot be served: a message that helps, no container, an unharmed daemon. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { daemonPid, logSince, logSize } from './support/daemon.js';
import { describeOnLab, host1 } from './support/lab.js';
import { RUNTIMES } from './support/places.js';
import { ENABLED, podmanRun, ps, startContainer } from './support/podman.js';

const CONTROL = '\x1b[31mred\x07\x1b]0;title\x07\x9b31m\u202egnp';
const UNPRINTABLE = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e]/;
const LONG = 'a'.repeat(100_000);
const PREFIXES = Array.from({ length: 4_000 }, (_, i) => `10.${i >> 8}.${i & 255}.0/24`);

describeOnLab('bad input', () => {
  let pid: number;
  let logStart: number;
  beforeEach(async () => {
    pid = await daemonPid();
    logStart = await logSize();
  });
  afterEach(async () => {
    expect(await daemonPid(), 'the daemon lives on').toBe(pid);
    expect(await logSince(logStart), 'the log is printable').not.toMatch(UNPRINTABLE);
    const table = await host1.output(['sockswitch', 'ps', '--no-trunc']);
    expect(table, 'ps is printable').not.toMatch(UNPRINTABLE);
  });

  /** The start fails, says all of `words`, leaves no container, and `ps` and the log tell it, too. */
  async function expectRefused(
    runtime: (typeof RUNTIMES)[number],
    annotations: Readonly<Record<string, string>>,
    words: readonly string[],
    { args = [], inOutput = true }: { args?: readonly string[]; inOutput?: boolean } = {},
  ): Promise<void> {
    const name = `refused-${runtime}`;
    const result = await podmanRun({
      runtime,
      annotations,
      args: ['--name', name, ...args],
      command: ['echo', 'started'],
    });
    expect(result.status).not.toBe(0);
    expect(result.stdout).toBe('');
    if (inOutput) for (const word of words) expect(result.stderr).toContain(word);
    expect(result.stderr).not.toMatch(UNPRINTABLE);
    const left = await host1.output(['podman', 'ps', '-aq', '--filter', `name=${name}`]);
    expect(left, 'no container is left').toBe('');
    const { containers, incidents } = await ps();
    expect(containers).toEqual([]);
    const incident = incidents.at(-1);
    expect(incident).toMatchObject({ kind: 'rejected' });
    expect(incident?.container).toMatch(/^[0-9a-f]{64}$/);
    for (const word of words) expect(incident?.message).toContain(word);
    expect(await logSince(logStart)).toContain('container start refused');
  }

  describe.each(RUNTIMES)('with %s', (runtime) => {
    test('an unknown annotation', () =>
      expectRefused(runtime, { ...ENABLED, 'sockswitch/ignroe': '10.0.0.0/8' }, [
        '"sockswitch/ignroe"',
        'did you mean "sockswitch/ignore"?',
      ]));

    test('one that nothing is like', () =>
      expectRefused(runtime, { 'sockswitch/zzzzzzzzzzzzzzz': '' }, [
        '"sockswitch/zzzzzzzzzzzzzzz": remove it',
      ]));

    test('a bad boolean', () =>
      expectRefused(runtime, { 'sockswitch/enable': 'yes' }, [
        'sockswitch/enable is "yes"',
        'set it to "true" or "false"',
      ]));

    test('a bad prefix', () =>
      expectRefused(runtime, { ...ENABLED, 'sockswitch/ignore': '10.0.0.0/8 10.0.0.0/33' }, [
        'sockswitch/ignore holds "10.0.0.0/33"',
        'such as 10.96.0.0/16 or fd00::/8',
      ]));

    test("nerdctl's list that is no list", () =>
      expectRefused(
        runtime,
        { 'nerdctl/bypass4netns': 'true', 'nerdctl/bypass4netns-ignore-subnets': '10.0.0.0/8' },
        ['nerdctl/bypass4netns-ignore-subnets is "10.0.0.0/8"', 'JSON array'],
      ));

    test('thousands of prefixes', () =>
      expectRefused(runtime, { ...ENABLED, 'sockswitch/ignore': PREFIXES.join(' ') }, [
        'sockswitch/ignore holds 4000 entries',
        'keep it to 1024',
      ]));

    test('a huge annotation', () =>
      expectRefused(runtime, { ...ENABLED, 'sockswitch/ignore': LONG }, [
        'sockswitch/ignore is 100000 bytes long',
        'keep it to 65536',
      ]));

    test('huge annotations of others', () =>
      expectRefused(runtime, { ...ENABLED, 'example.org/notes': LONG }, [
        'shorten or remove some',
      ]));

    test('control characters in a value', () =>
      expectRefused(runtime, { ...ENABLED, 'sockswitch/ignore': CONTROL }, [
        '"\\x1b[31mred\\x07\\x1b]0;title\\x07\\x9b31m\\u202egnp"',
      ]));

    test('control characters in a name', () =>
      expectRefused(runtime, { ...ENABLED, [`sockswitch/${CONTROL}`]: 'true' }, [
        'unknown annotation "sockswitch/\\x1b[31mred',
      ]));

    test('a seccomp profile that reports calls to somebody else', async () => {
      await writeProfile({ syscalls: [{ names: ['mkdir'], action: 'SCMP_ACT_NOTIFY' }] });
      await expectRefused(
        runtime,
        ENABLED,
        ['already uses SCMP_ACT_NOTIFY (for "mkdir")', 'sockswitch/enable=false'],
        { args: PROFILE },
      );
    });

    test('a seccomp profile that has another listenerPath', async () => {
      await writeProfile({
        listenerPath: '/tmp/other.sock',
        syscalls: [{ names: ['mkdir'], action: 'SCMP_ACT_NOTIFY' }],
      });
      // crun connects to the other path before it looks at anything else, so its message is about that.
      await expectRefused(
        runtime,
        ENABLED,
        ['listenerPath "/tmp/other.sock"', 'use a profile without it'],
        { args: PROFILE, inOutput: runtime !== 'crun' },
      );
    });

    test('a seccomp profile that cannot be combined, where acceleration is required', async () => {
      await writeProfile(CONDITIONAL);
      await expectRefused(
        runtime,
        { ...ENABLED, 'sockswitch/required': 'true' },
        ['sockswitch/required', 'conditional denials', 'allow or deny connect as a whole'],
        { args: PROFILE },
      );
    });

    test('... and where it is not: the container runs, and ps says why it is not accelerated', async () => {
      await writeProfile(CONDITIONAL);
      const container = await startContainer({ runtime, annotations: ENABLED, args: PROFILE });
      expect(await container.counters()).toBeUndefined();
      const incident = (await ps()).incidents.at(-1);
      expect(incident).toMatchObject({ kind: 'unaccelerated', container: container.id });
      expect(incident?.message).toContain('conditional denials');
      await container.remove();
    });

    test('control characters in annotations of others do no harm', async () => {
      const annotations = { ...ENABLED, 'example.org/notes': CONTROL };
      const container = await startContainer({ runtime, annotations });
      expect(await container.counters()).toMatchObject({ switched: 0 });
      const json = await host1.output(['sockswitch', 'ps', '--json']);
      expect(json).not.toContain('\x1b');
      await host1.output(['sockswitch', 'ps', '--no-trunc']);
      await container.remove();
    });
  });
});

const PROFILE = ['--security-opt', 'seccomp=/tmp/profile.json'];

const CONDITIONAL = {
  syscalls: [
    {
      names: ['connect'],
      action: 'SCMP_ACT_ERRNO',
      args: [{ index: 0, value: 99, op: 'SCMP_CMP_EQ' }],
    },
  ],
};

/** A profile that allows everything but for what `parts` say. */
async function writeProfile(parts: Readonly<Record<string, unknown>>): Promise<void> {
  const architectures = [process.arch === 'arm64' ? 'SCMP_ARCH_AARCH64' : 'SCMP_ARCH_X86_64'];
  const profile = { defaultAction: 'SCMP_ACT_ALLOW', architectures, ...parts };
  await host1.output(['tee', '/tmp/profile.json'], { stdin: JSON.stringify(profile) });
}
