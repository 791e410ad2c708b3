/** The benchmarks as programs: a small run in the lab, a small run of an ordinary user, and what goes wrong. No figure is judged. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterAll, expect, inject, test } from 'vitest';
import { readRun } from '../../bench/report/results.js';
import { setGuard } from './support/daemon.js';
import { describeOnLab, HOST1, HOST2, host1, listens, REMOTE, remote } from './support/lab.js';
import { SAMPLE } from './support/sample.js';

const MAIN = fileURLToPath(new URL('../../build/bench/main.js', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'sockswitch-bench-'));
const file = (name: string) => join(directory, name);

function start(words: readonly string[]) {
  return execa(process.execPath, [MAIN, 'lab', ...words], {
    env: { LAB_NAME: inject('lab').name },
    reject: false,
    stdin: 'ignore',
  });
}

/** Containers, images and processes of the bench on host1, one a line. */
async function left(): Promise<string> {
  const script = `
podman ps --all --format '{{.Names}}' | grep ^sockswitch-bench
podman images --format '{{.Repository}}' | grep sockswitch-bench
ls -d "$XDG_RUNTIME_DIR"/sockswitch-bench* 2>/dev/null
pgrep -af 'bench/main|sockswitch-bench'
:`;
  return (await host1.sh(script)).stdout
    .split('\n')
    .filter((line) => !line.includes('pgrep') && !line.includes(script.slice(1, 20)))
    .join('\n');
}

describeOnLab('npm run bench', () => {
  afterAll(() => rmSync(directory, { recursive: true }));

  test('measures, writes raw data and a report, and compares', async () => {
    const result = await start([
      ...['tcp-up', 'connection-rate', 'calls', '--rounds', '1', '--seconds', '1'],
      ...['--drivers', 'host,sockswitch-pasta,pasta'],
      ...['--json', file('run.json'), '--report', file('report')],
    ]);
    expect(result.exitCode, result.stderr).toBe(0);
    expect(result.stdout).toMatch(/sockswitch over pasta/);
    const run = readRun(file('run.json'));
    expect(run).toMatchObject({ complete: true, rounds: 1 });
    expect(run.trials).toHaveLength(8);
    for (const { metrics, command, driver, workload, switched } of run.trials) {
      const { failed, ...figures } = metrics ?? {};
      expect(failed ?? 0).toBeLessThan(100); // requests; some are lost on a busy machine
      expect(Object.values(figures).every((value) => value > 0)).toBe(true);
      expect(command.join(' ')).toContain('podman run');
      if (driver !== 'sockswitch-pasta') expect(switched).toBeUndefined();
      else if (workload !== 'calls') expect(switched).toBeGreaterThan(1);
    }
    expect(readRun(join(file('report'), 'results.json'))).toEqual(run);
    const compared = await start(['compare', file('run.json'), file('run.json')]);
    expect(compared.exitCode, compared.stderr).toBe(0);
    expect(compared.stdout).toMatch(/upload, Gbit\/s .* same/);
  });

  test('published ports, and who lets the service see its client', async () => {
    const drivers = {
      host: 1,
      'sockswitch-pasta': 1,
      ...(SAMPLE ? {} : { bypass4netns: 1, slirp4netns: 0 }),
    };
    const result = await start([
      ...['inbound', '--rounds', '1', '--seconds', '1', '--json', file('inbound.json')],
      ...['--drivers', Object.keys(drivers).join(',')],
    ]);
    expect(result.exitCode, result.stderr).toBe(0);
    const { trials } = readRun(file('inbound.json'));
    expect(trials).toHaveLength(2 * Object.keys(drivers).length);
    const seen = trials
      .filter(({ workload }) => workload === 'inbound-remote')
      .map(({ driver, metrics: { client_seen } = {} }) => [driver, client_seen]);
    expect(Object.fromEntries(seen)).toEqual(drivers);
  });

  test('Ctrl-C keeps what is done, and leaves nothing behind', async () => {
    const bench = start([
      ...['tcp-up', '--drivers', 'host,sockswitch-pasta', '--rounds', '50', '--seconds', '1'],
      ...['--json', file('interrupted.json')],
    ]);
    const firstTrial = new Promise<void>((resolve) => {
      bench.stderr.on('data', (text) => {
        if (/^1\/100/m.test(String(text))) resolve();
      });
    });
    await Promise.race([firstTrial, bench]);
    bench.kill('SIGINT');
    const result = await bench;
    expect(result.exitCode, result.stderr).toBe(130);
    expect(result.stdout).toMatch(/INCOMPLETE/);
    const run = readRun(file('interrupted.json'));
    expect(run.complete).toBe(false);
    expect(run.trials.length).toBeGreaterThan(0);
    expect(await left()).toBe('');
  });

  test('a trial that fails is shown with the reason', async () => {
    const server = await remote.serve(['nc', '-lk', '5432'], listens(5432));
    try {
      const words = ['postgresql', '--drivers', 'host,pasta', '--rounds', '1'];
      const result = await start([...words, '--json', file('failed.json')]);
      expect(result.exitCode).toBe(1);
      expect(result.stdout).toMatch(
        /failed in one round: PostgreSQL cannot start: port 5432 .* is in use/,
      );
      const { trials } = readRun(file('failed.json'));
      expect(trials).toHaveLength(2);
      for (const { error, metrics } of trials) {
        expect(error).toMatch(/port 5432/);
        expect(metrics).toBeUndefined();
      }
    } finally {
      await server.stop();
    }
  });
});

describeOnLab('sockswitch bench', () => {
  const bench = (...words: readonly string[]) => host1.run(['sockswitch', 'bench', ...words]);

  test('measures in the own Podman, and leaves nothing behind', async () => {
    const words = ['connect-latency', 'tcp-up', '--rounds', '1', '--seconds', '1'];
    const result = await bench(
      ...[...words, '--server', REMOTE.v4, '--drivers', 'host,sockswitch-pasta'],
      ...['--json', '/tmp/bench.json'],
    );
    expect(result.status, result.stderr).toBe(0);
    const text = (await host1.run(['cat', '/tmp/bench.json'])).stdout;
    const ours: unknown = JSON.parse(text);
    expect(ours).toMatchObject({ complete: true, environment: { place: 'local' } });
    expect(await left()).toBe('');
    await host1.run(['rm', '/tmp/bench.json']);
  });

  test('measures where sockets cannot be guarded, and says so', async () => {
    await setGuard(false);
    const words = ['tcp-up', '--rounds', '1', '--seconds', '1', '--drivers', 'sockswitch-pasta'];
    const result = await bench(...words, '--server', REMOTE.v4).finally(() => setGuard(true));
    expect(result.status, result.stderr).toBe(0);
    expect(result.stderr).toContain('note: sockets cannot be guarded here');
    expect(await left()).toBe('');
  });

  test('an interrupt of the command ends it tidily', async () => {
    const words = ['unix-rate', '--rounds', '500', '--drivers', 'pasta,sockswitch-pasta'];
    const script = `
sockswitch bench "$@" >"$0.out" 2>"$0.err" & bench=$!
until grep -q '^1/' "$0.err"; do sleep 0.1; done
kill -INT $bench; wait $bench; echo "status $?"
cat "$0.out"; rm -f "$0.out" "$0.err"`;
    const result = await host1.run(['bash', '-mc', script, '/tmp/sockswitch-interrupt', ...words]);
    expect(result.stdout).toMatch(/^status 130$/m);
    expect(result.stdout).toMatch(/over AF_UNIX.*INCOMPLETE/s);
    expect(await left()).toBe('');
  });

  test.each([
    [['no-such'], /unknown workload "no-such"; known: throughput/],
    [['tcp-up', '--drivers', 'host,no-such'], /unknown driver "no-such"; known: host/],
    [['tcp-up', '--drivers', 'rootful-bridge'], /"rootful-bridge" needs root/],
    [['redis'], /"redis" needs the lab/],
    [['tcp-up'], /no --server given/],
    [['tcp-up', '--server', HOST1.v4], /is this machine itself/],
    [['tcp-up', '--server', HOST2.v4], /nothing answers at .* port 5201: run "iperf3 -s" there/],
    [['tcp-up', '--server', 'no.such.host'], /cannot resolve "no.such.host"/],
    [['tcp-up', '--server', REMOTE.v4, '--json', '/no/such/file'], /cannot write the result/],
    [
      ['compare', '/etc/passwd', '/etc/passwd'],
      /cannot read \/etc\/passwd as the raw data of a run/,
    ],
  ] as const)('%j', async (words, message) => {
    const result = await bench(...words);
    expect(result.stderr).toMatch(message);
    expect(result.status).toBe(1);
    expect(await left()).toBe('');
  });
});
