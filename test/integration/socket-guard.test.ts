/**
 * The program that loads socket filters is killed, and then cannot be had any more: sockets are guarded or not
 * given out, and containers keep their network.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { daemonStatus, startDaemon, stopDaemon } from './support/daemon.js';
import { describeOnLab, HOST1, HOST2, host1, host2, REMOTE } from './support/lab.js';
import { type Container, ENABLED, startContainer } from './support/podman.js';
import { curl } from './support/programs.js';
import { ask, listening, publish, service } from './support/published.js';

const PROGRAM = '/opt/sockswitch/build/Release/sockswitch-guard';
const PAGE = 'hello from remote\n';

const asRoot = (...argv: string[]): Promise<string> => host1.output(argv, { root: true });
const guardPid = async (): Promise<string> =>
  (await host1.run(['pgrep', '--exact', 'sockswitch-guar'])).stdout.trim(); // 15 characters are kept
const kill = () => asRoot('pkill', '-KILL', '--exact', 'sockswitch-guar');

describeOnLab('the socket guard', () => {
  let client: Container;
  beforeAll(async () => {
    client = await startContainer({ annotations: ENABLED });
    expect(await client.output(curl(REMOTE.v4))).toBe(PAGE);
  });
  afterAll(async () => {
    await asRoot('chmod', '755', PROGRAM);
    await stopDaemon();
    await startDaemon();
  });

  /** A service that begins now, and who its client is to it: itself, or the host where it comes by the relay. */
  async function clientOf(hostPort: number): Promise<string> {
    const command = service('tcp', '0.0.0.0', '80');
    const container = await startContainer({ annotations: publish(`${hostPort}:80`), command });
    await listening(container);
    const seen = await ask(host2, 'tcp', HOST1.v4, hostPort);
    await container.remove();
    return seen;
  }

  test('is started again when it was killed', async () => {
    const before = await guardPid();
    await kill();
    expect(await clientOf(8141)).toBe(HOST2.v4);
    const after = await guardPid();
    expect(after).toMatch(/^\d+$/);
    expect(after).not.toBe(before);
  });

  test('that does not come back gives out no socket that takes a new filter', async () => {
    await asRoot('chmod', '000', PROGRAM);
    await kill();
    expect(await clientOf(8142), 'over the relay').toBe(HOST1.v4);
    expect(await client.output(curl(REMOTE.v4)), 'with a filter that is there').toBe(PAGE);
    expect(await client.counters()).toMatchObject({ switched: 2 });
  });

  test('that is not there when the daemon starts is told, and costs no connection', async () => {
    await stopDaemon();
    await startDaemon();
    expect((await daemonStatus()).kernel.socketGuard).toBe(false);
    const doctor = await host1.run(['sockswitch', 'doctor']);
    expect(doctor.stdout).toContain(`sudo setcap cap_bpf=ep ${PROGRAM}`);
    expect(doctor.status).toBe(0);
    expect(await client.output(curl(REMOTE.v4))).toBe(PAGE);
    expect((await client.counters())?.switched, 'by this daemon').toBe(1);
  });

  test('that is required and not there keeps the daemon from running', async () => {
    const directory = '/tmp/guard-required';
    const config = `mkdir -p -m 700 ${directory}/sockswitch && echo 'require_guard = true' >${directory}/sockswitch/config.toml`;
    await host1.output(['sh', '-c', config]);
    const env = { XDG_CONFIG_HOME: directory, XDG_RUNTIME_DIR: directory };
    const result = await host1.run(['timeout', '60', 'sockswitch', 'daemon'], { env });
    expect(result.status).toBe(1);
    expect(result.stderr).toContain(`sudo setcap cap_bpf=ep ${PROGRAM}`);
    expect(result.stderr).toContain('require_guard');
    await host1.output(['rm', '-r', directory]);
  });
});
